"""Serve durable consumers: readers whose position in the log msgqueue stores.

Connections with the same name share the work: each record goes to one of them. Records that a connection has
not reported done when it leaves go to another one. All records up to the stored position are done, so after a
crash records may be delivered again, and none is skipped.

With a limit of deliveries, a record that no connection survives does not come back for ever. When one ends,
the delivery of the oldest record that it has not done fails: it worked on that. From then on the record is
delivered alone, which shows if it is the cause. After so many failures it is dead: a message about it goes
to ``$dead.CONSUMER``, in the same commit as the position after it.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import ConsumerState, NewMessage, Record, encode
from fanline.protocol.topics import MAX_TOPIC_LENGTH
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.log import Log

logger = logging.getLogger(__name__)

DEFAULT_CONSUMER: Final = "default"

# Records that one connection may hold without reporting them done.
MAX_OUTSTANDING: Final = 1_000

SAVE_SECONDS: Final = 0.2

DEAD_LETTERS: Final = "$dead."


def dead_letter(consumer: str, record: Record, deliveries: int) -> NewMessage:
    """Return the message that tells of a dead record; what a topic cannot have is ``%XX`` in the name."""
    token = re.sub("[ .*>%]", lambda found: f"%{ord(found[0]):02X}", consumer)
    content = {"consumer": consumer, "deliveries": deliveries, "message": msgspec.Raw(record.body)}
    topic = f"{DEAD_LETTERS}{token}"[:MAX_TOPIC_LENGTH]
    # With an id, as it is stored again if it is unknown whether it was.
    return NewMessage(topic, msgspec.Raw(encode(content)), f"{DEAD_LETTERS}{consumer}.{record.seq}")


class DeliveryTracker:
    """Tracks which member of a durable consumer holds which records. No I/O.

    Args:
        position: All records up to this position are done.
        max_held: Records that a member may hold without reporting them done.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.

    Attributes:
        dealt: All records up to this position were delivered at least once.
    """

    def __init__(self, position: int, *, max_held: int = MAX_OUTSTANDING, max_deliveries: int = 0) -> None:
        self.dealt = position
        self._max_held = max_held
        self._max_deliveries = max_deliveries
        self._failures: dict[int, int] = {}  # by seq, of records that are not done
        self._dead: dict[int, Record] = {}  # by seq
        self._held: dict[Hashable, OrderedDict[int, Record]] = {}  # by seq, in the order of delivery
        self._returned: list[Record] = []

    @property
    def position(self) -> int:
        """All records up to this position are done."""
        held = [min(records) for records in self._held.values() if records]
        returned = [record.seq for record in self._returned[:1]]
        return min(held + returned + list(self._dead), default=self.dealt + 1) - 1

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
        """A dead record, once all records before it are done."""
        return self._dead.get(self.position + 1)

    def bury(self, seq: int) -> None:
        """Mark a dead record as done."""
        del self._dead[seq], self._failures[seq]

    def room(self, member: Hashable) -> int:
        """Return how many more records a member may receive; none next to one whose delivery has failed."""
        held = self._held.get(member, ())
        is_held_alone = any(seq in self._failures for seq in held) if self._failures else False
        return 0 if is_held_alone else self._max_held - len(held)

    def deal(self, member: Hashable, records: Sequence[Record], position: int) -> None:
        """Assign new records to a member; the log was read up to ``position``."""
        self._hold(member, records)
        self.dealt = position

    def deal_returned(self, member: Hashable) -> list[Record]:
        """Assign returned records to a member, as many as it has room for.

        One whose delivery has failed is assigned alone, to a member that holds nothing else.
        """
        room = min(self.room(member), self._first_alone(is_free=not self._held.get(member)))
        records, self._returned = self._returned[:room], self._returned[room:]
        self._hold(member, records)
        return records

    def done(self, member: Hashable, seq: int) -> None:
        """Mark the records of a member as done, up to ``seq`` in the order of delivery.

        Not in the order of the log: older, returned records may follow newer ones. A record that the member
        does not hold is ignored.
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

    def _first_alone(self, *, is_free: bool) -> int:
        """Return how many returned records come before one that must be alone, or 1 if that is the first."""
        count = len(self._returned)
        if self._failures:
            failing = (n for n, record in enumerate(self._returned) if record.seq in self._failures)
            count = next(failing, count)
        return count if count or not is_free else min(1, len(self._returned))

    def _hold(self, member: Hashable, records: Sequence[Record]) -> None:
        self._held.setdefault(member, OrderedDict()).update((record.seq, record) for record in records)


class Consumer:
    """One durable consumer, shared by the connections that named it.

    Args:
        log: The log it reads.
        position: All records up to this position are done.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.
    """

    def __init__(self, log: Log, position: int, *, max_deliveries: int = 0) -> None:
        self._log = log
        self._deliveries = DeliveryTracker(position, max_deliveries=max_deliveries)
        self.dead_letters = 0
        self._dealing = asyncio.Lock()
        self._changed = ChangeNotifier()
        self._members: set[Hashable] = set()

    @property
    def position(self) -> int:
        """All records up to this position are done."""
        return self._deliveries.position

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
            StoreError: If the log cannot be read.
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
        """Take back the records that a member has not done, for other members."""
        self._members.discard(member)
        self._deliveries.leave(member)
        self._changed.fire()

    async def _deal(self, member: Hashable) -> Sequence[Record]:
        room = self._deliveries.room(member)
        if room <= 0:
            return ()
        if self._deliveries.has_returned:
            return self._deliveries.deal_returned(member)
        position, wanted = self._deliveries.dealt, list[Record]()
        while True:
            page = await self._log.read(position)
            wanted = [record for record in page.records if not record.topic.startswith(DEAD_LETTERS)]
            position = page.position
            if wanted or position >= self._log.head:  # else there was nothing but damage and dead letters
                break
        records = wanted[:room]
        position = position if len(records) == len(wanted) else records[-1].seq
        self._deliveries.deal(member, records, position)
        return records


class Consumers:
    """The durable consumers of a log, by name.

    Args:
        log: The log.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.
        is_shared: Whether other msgqueues serve the same log.
    """

    def __init__(self, log: Log, *, max_deliveries: int = 0, is_shared: bool = False) -> None:
        self._log = log
        self._is_shared = is_shared
        self._max_deliveries = max_deliveries
        self._by_name: dict[str, Consumer] = {}
        self._saved: dict[str, int] = {}
        self._saver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the stored positions, and start to save changes."""
        self._saved = await self._log.cursors()
        for name, position in self._saved.items():
            self.get(name, position)
        self._saver = start_task(self._save_forever())

    async def close(self) -> None:
        """Save every position a last time."""
        if self._saver is not None:
            await cancel_and_wait(self._saver)
            await self._save()

    @property
    def refusal(self) -> str | None:
        """Why no connection can be a durable consumer, or None."""
        if not self._is_shared:
            return None
        return "a cluster serves no durable consumers yet: each msgqueue would deliver every message"

    def get(self, name: str, start: int) -> Consumer:
        """Return the consumer of this name; a new one begins after position ``start``."""
        if name not in self._by_name:
            self._by_name[name] = Consumer(self._log, start, max_deliveries=self._max_deliveries)
        return self._by_name[name]

    @property
    def dead_letters(self) -> int:
        """Number of messages that consumers failed at too often, since the start."""
        return sum(consumer.dead_letters for consumer in self._by_name.values())

    def states(self) -> list[ConsumerState]:
        """Return the state of each consumer, by name."""
        return [
            ConsumerState(
                name,
                consumer.position,
                self._log.head - consumer.position,
                consumer.members,
                consumer.failing,
                consumer.dead_letters,
            )
            for name, consumer in sorted(self._by_name.items())
        ]

    async def forget(self, name: str) -> None:
        """Remove a consumer and its position.

        Raises:
            Rejected: If there is no such consumer, or a connection uses it.
            StoreError: If the log cannot be written.
        """
        consumer = self._by_name.get(name)
        if consumer is None:
            raise Rejected(ErrorCode.BAD_COMMAND, f"there is no durable consumer {name!a}")
        if consumer.members:
            reason = f"{consumer.members} connections share the consumer {name}: end them first"
            raise Rejected(ErrorCode.BAD_COMMAND, reason)
        del self._by_name[name]
        self._saved.pop(name, None)
        await self._log.delete_cursor(name)

    async def _save_forever(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            for name, consumer in tuple(self._by_name.items()):
                await self._bury_dead(name, consumer)
            await self._save()

    async def _bury_dead(self, name: str, consumer: Consumer) -> None:
        """Store a message about each dead record that is the next one of a consumer."""
        while (record := consumer.next_dead) is not None and self._by_name.get(name) is consumer:
            letter = dead_letter(name, record, self._max_deliveries)
            try:
                await self._log.append_and_set_cursor(letter, name, record.seq)
            except StoreError as error:
                logger.warning("cannot store a dead letter of %s, will try again: %s", name, error)
                return
            self._saved[name] = record.seq
            consumer.bury(record.seq)
            logger.error(
                "consumer %s failed at message %d %d times: it is in %s now",
                name,
                record.seq,
                self._max_deliveries,
                letter.topic,
            )

    async def _save(self) -> None:
        for name, consumer in tuple(self._by_name.items()):
            position = consumer.position
            is_forgotten = self._by_name.get(name) is not consumer  # while another one was saved
            if is_forgotten or self._saved.get(name) == position:
                continue
            try:
                await self._log.set_cursor(name, position)
            except StoreError as error:
                logger.warning("cannot save the position of consumer %s, will try again: %s", name, error)
                return
            self._saved[name] = position
