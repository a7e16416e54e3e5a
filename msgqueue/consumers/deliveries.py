"""Record of which connection holds which messages of a durable consumer.

It does no I/O.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from fanline.protocol import MAX_POSITION, Record
from msgqueue.store.claims import Claim

# Records that one connection may hold without reporting them done.
MAX_OUTSTANDING: Final = 1_000


@dataclass(slots=True)
class _Claimed:
    """Positions that may be dealt out, and how far that has got."""

    first: int
    last: int
    dealt: int

    def done_by(self, undone: Sequence[int]) -> int:
        """Return the position up to which the claim is done.

        ``undone`` has all positions that are not done, in ascending order.
        """
        index = bisect_left(undone, self.first)
        is_undone = index < len(undone) and undone[index] <= self.dealt
        return undone[index] - 1 if is_undone else self.dealt


class DeliveryTracker:
    """Tracks which member of a durable consumer holds which records. No I/O.

    Args:
        position: All records up to this position are done; what follows is dealt, until :meth:`keep`.
        max_held: Records that a member may hold without reporting them done.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.
    """

    def __init__(self, position: int, *, max_held: int = MAX_OUTSTANDING, max_deliveries: int = 0) -> None:
        self._position = position
        self._claims = [_Claimed(position + 1, MAX_POSITION, position)]
        self._max_held = max_held
        self._max_deliveries = max_deliveries
        self._failures: dict[int, int] = {}  # by seq, of records that are not done
        self._dead: dict[int, Record] = {}  # by seq
        self._held: dict[Hashable, OrderedDict[int, Record]] = {}  # by seq, in the order of delivery
        self._returned: list[Record] = []

    @property
    def position(self) -> int:
        """Position up to which all records that may be dealt are done."""
        self._position = min(self.done_in_claims.values(), default=self._position)
        return self._position

    @property
    def dealt(self) -> int:
        """Position up to which the current claim was delivered at least once."""
        claim = self._in_turn or (self._claims[-1] if self._claims else None)
        return claim.dealt if claim is not None else self._position

    @property
    def limit(self) -> int:
        """Position at which the current claim ends.

        If there is no current claim, the same as :attr:`dealt`.
        """
        return self._in_turn.last if self._in_turn is not None else self.dealt

    @property
    def done_in_claims(self) -> dict[int, int]:
        """Position up to which each claim is done, by its end."""
        if len(self._claims) == 1:  # without others, this is the only case, and there may be a million
            firsts = [min(held) for held in self._held.values() if held]
            undone = [min([*firsts, *(record.seq for record in self._returned[:1]), *self._dead], default=0)]
        else:
            returned = (record.seq for record in self._returned)
            undone = sorted(chain(*self._held.values(), returned, self._dead))
        return {each.last: each.done_by(undone) for each in self._claims}

    def keep(self, claims: Sequence[Claim], failures: Mapping[int, int]) -> None:
        """Deal out what is in some claims, and nothing else any more.

        Args:
            claims: What may be dealt out, oldest first.
            failures: Deliveries that have failed elsewhere, of records of new claims, by position.
        """
        known = {each.last: each for each in self._claims}
        ends = {each.last for each in claims}
        for lost in [each for last, each in known.items() if last not in ends]:
            self._forget(lost.first, lost.last)
        self._claims = [known.get(last) or _Claimed(first, last, first - 1) for first, last in claims]
        for first, last in (each for each in claims if each.last not in known):
            self._failures |= {seq: count for seq, count in failures.items() if first <= seq <= last}

    @property
    def has_returned(self) -> bool:
        """Return whether there are records that a former member has not done."""
        return bool(self._returned)

    @property
    def failing(self) -> int:
        """Number of records that are not done and whose delivery has failed."""
        return len(self._failures)

    @property
    def next_dead(self) -> Record | None:
        """The dead record that comes next, once all before it are done.

        Only the records of its own claim count.
        """
        if not self._dead:
            return None
        found = (self._dead.get(position + 1) for position in self.done_in_claims.values())
        return next((record for record in found if record is not None), None)

    @property
    def failures(self) -> Mapping[int, int]:
        """Number of failed deliveries of each unfinished record, by position."""
        return self._failures

    def bury(self, seq: int) -> None:
        """Mark a dead record as done."""
        del self._dead[seq], self._failures[seq]

    def room(self, member: Hashable) -> int:
        """Return how many more records a member may receive.

        A member that holds a record whose delivery has failed receives no other.
        """
        held = self._held.get(member, ())
        is_held_alone = any(seq in self._failures for seq in held) if self._failures else False
        return 0 if is_held_alone else self._max_held - len(held)

    def deal(self, member: Hashable, records: Sequence[Record], position: int) -> None:
        """Assign new records to a member.

        The log was read up to ``position``.
        """
        self._hold(member, records)
        self._read_to(position)

    def has_failed(self, records: Sequence[Record]) -> bool:
        """Return whether one of some new records has failed elsewhere."""
        return bool(self._failures) and any(record.seq in self._failures for record in records)

    def take_over(self, records: Sequence[Record], position: int) -> None:
        """Take in records as if a member had left them.

        The log was read up to ``position``.
        """
        for record in records:
            if self._max_deliveries and self._failures.get(record.seq, 0) >= self._max_deliveries:
                self._dead[record.seq] = record
        self._returned = sorted((*self._returned, *(each for each in records if each.seq not in self._dead)))
        self._read_to(position)

    def deal_returned(self, member: Hashable) -> list[Record]:
        """Assign as many returned records to a member as it may receive.

        One whose delivery has failed is assigned alone, to a member that holds nothing else.
        """
        room = min(self.room(member), self._first_alone(is_free=not self._held.get(member)))
        records, self._returned = self._returned[:room], self._returned[room:]
        self._hold(member, records)
        return records

    def done(self, member: Hashable, seq: int) -> None:
        """Mark the records of a member as done up to ``seq``.

        The order is that of delivery, not of the log: older, returned records may follow newer ones. A record
        that the member does not hold is ignored.
        """
        held = self._held.get(member, OrderedDict())
        if seq in held:
            for each in tuple(held):
                del held[each]
                self._failures.pop(each, None)
                if each == seq:
                    break

    def leave(self, member: Hashable) -> None:
        """Take back the records that a member has not done."""
        held = self._held.pop(member, OrderedDict())
        if self._max_deliveries and held:
            self._fail(next(iter(held.values())))
        returned = (record for record in held.values() if record.seq not in self._dead)
        self._returned = sorted((*self._returned, *returned))

    def _fail(self, record: Record) -> None:
        failures = self._failures[record.seq] = self._failures.get(record.seq, 0) + 1
        if failures >= self._max_deliveries:
            self._dead[record.seq] = record

    @property
    def _in_turn(self) -> "_Claimed | None":
        return next((each for each in self._claims if each.dealt < each.last), None)

    def _read_to(self, position: int) -> None:
        if self._in_turn is not None:
            self._in_turn.dealt = position

    def _forget(self, first: int, last: int) -> None:
        """Drop all records of a claim."""
        for held in self._held.values():
            for seq in [seq for seq in held if first <= seq <= last]:
                del held[seq]
        self._returned = [record for record in self._returned if not first <= record.seq <= last]
        for known in (self._dead, self._failures):
            for seq in [seq for seq in known if first <= seq <= last]:
                del known[seq]

    def _first_alone(self, *, is_free: bool) -> int:
        """Return how many returned records may be assigned together.

        They end before one that must be alone. If that is the first, it is assigned if the member is free.
        """
        count = len(self._returned)
        if self._failures:
            failing = (n for n, record in enumerate(self._returned) if record.seq in self._failures)
            count = next(failing, count)
        return count if count or not is_free else min(1, len(self._returned))

    def _hold(self, member: Hashable, records: Sequence[Record]) -> None:
        self._held.setdefault(member, OrderedDict()).update((record.seq, record) for record in records)
