"""One durable consumer, which deals claimed records out to its connections."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Final

from fanline.change_notifier import ChangeNotifier
from fanline.protocol import Record
from msgqueue.consumers.deliveries import DeliveryTracker
from msgqueue.log import Log

# Topics of the messages about dead records, which consumers do not get.
DEAD_LETTERS: Final = "$dead."


class Consumer:
    """One durable consumer, shared by the connections that named it.

    Args:
        name: Its name.
        log: The log it reads.
        position: All records up to this position are done.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.
        is_stored: Whether the log has that position.
    """

    def __init__(
        self, name: str, log: Log, position: int, *, max_deliveries: int = 0, is_stored: bool = False
    ) -> None:
        self.name = name
        self._log = log
        self._deliveries = DeliveryTracker(position, max_deliveries=max_deliveries)
        self._saved: dict[int, int] = {}  # what is stored as done of each claim, by the position of its end
        self.dead_letters = 0
        self._dealing = asyncio.Lock()
        self._changed = ChangeNotifier()
        self._members: set[Hashable] = set()
        self._may_be_released = False  # then a later claim tells
        self._refresh()
        if is_stored:
            self._saved = self._deliveries.done_in_claims

    @property
    def position(self) -> int:
        """Position up to which all records are done."""
        return self._log.claims.positions().get(self.name, self._deliveries.position)

    @property
    def members(self) -> int:
        """Number of connections that share the work."""
        return len(self._members)

    @property
    def failing(self) -> int:
        """Number of records that are not done and whose delivery has failed."""
        return self._deliveries.failing

    @property
    def next_dead(self) -> Record | None:
        """A dead record, once all records before it are done."""
        return self._deliveries.next_dead

    def bury(self, seq: int) -> None:
        """Mark a dead record as done."""
        self._deliveries.bury(seq)
        self.dead_letters += 1

    async def take(self, member: Hashable) -> Sequence[Record]:
        """Wait for records for a member; returned ones come first.

        Args:
            member: Key of the member, which calls :meth:`done`, and :meth:`leave` at the end.

        Returns:
            At least one record. Cancelling it loses none.

        Raises:
            StoreError: If the log cannot be read, or nothing of it claimed.
        """
        self._members.add(member)
        while True:
            changes = [self._changed.next]
            if self._deliveries.room(member) > 0:
                changes.append(self._log.grown.next)
            async with self._dealing:
                records = await self._deal(member)
            if records:
                return records
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)

    def done(self, member: Hashable, seq: int) -> None:
        """Mark the records of a member as done, up to ``seq``."""
        self._deliveries.done(member, seq)
        self._changed.fire()

    def leave(self, member: Hashable) -> None:
        """Remove a member, and return its unfinished records to the others."""
        self._members.discard(member)
        self._deliveries.leave(member)
        self._changed.fire()

    # Claims, where there are other msgqueues.

    def notice(self) -> None:
        """Wake the members if there is something to claim.

        It may be what other msgqueues have given back.
        """
        if self._members and self._log.claims.is_claimable(self.name, self._log.head):
            self._changed.fire()

    async def save(self) -> None:
        """Store what is done.

        Raises:
            StoreError: If that fails.
        """
        done = self._deliveries.done_in_claims
        changed = [position for last, position in done.items() if position > self._saved.get(last, -1)]
        await asyncio.gather(*(self._log.set_cursor(self.name, position) for position in changed))
        self._saved |= done

    async def release(self) -> None:
        """Release unfinished claims to other msgqueues, if there are no members.

        Raises:
            StoreError: If that fails.
        """
        claims = self._log.claims
        if self._members or not claims.is_shared or not claims.of(self.name, self._deliveries.dealt):
            return
        async with self._dealing:
            if not self._members:
                self._may_be_released = True
                await claims.release(self.name, self._deliveries.failures)
                self._may_be_released = False
                self._refresh()

    def _refresh(self) -> None:
        """Deal out what this msgqueue has claimed now, and nothing else."""
        claims = self._log.claims
        mine = claims.of(self.name, self._deliveries.dealt)
        self._deliveries.keep(mine, claims.failures(self.name))
        if claims.is_shared:
            self._saved = {claim.last: self._saved.get(claim.last, claim.first - 1) for claim in mine}

    async def _deal(self, member: Hashable) -> Sequence[Record]:
        if self._deliveries.room(member) <= 0:
            return ()
        if self._may_be_released:
            await self._claim()
        self._refresh()
        if self._deliveries.has_returned:
            return self._deliveries.deal_returned(member)
        if self._has_dealt_all and self._log.claims.is_claimable(self.name, self._log.head):
            await self._claim()
            self._refresh()
        return await self._deal_new(member)

    async def _claim(self) -> None:
        await self._log.claims.claim(self.name, self.position)
        self._may_be_released = False

    @property
    def _has_dealt_all(self) -> bool:
        return self._deliveries.dealt >= min(self._deliveries.limit, self._log.head)

    async def _deal_new(self, member: Hashable) -> Sequence[Record]:
        while not self._has_dealt_all:
            limit = self._deliveries.limit
            page = await self._log.read(self._deliveries.dealt)
            wanted = [
                record
                for record in page.records
                if record.seq <= limit and not record.topic.startswith(DEAD_LETTERS)
            ]
            position = min(page.position, limit)
            if self._deliveries.has_failed(wanted):
                self._deliveries.take_over(wanted, position)
                return self._deliveries.deal_returned(member)
            records = wanted[: self._deliveries.room(member)]
            position = position if len(records) == len(wanted) else records[-1].seq
            self._deliveries.deal(member, records, position)
            if records:
                return records
        return ()
