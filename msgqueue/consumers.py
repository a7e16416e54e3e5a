"""Serve durable consumers: readers whose position in the log msgqueue stores.

Connections with the same name share the work: each record goes to one of them. Records that a connection has
not reported done when it leaves go to another one. All records up to the stored position are done, so after a
crash records may be delivered again, and none is skipped.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import ConsumerState, Record
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.log import Log

logger = logging.getLogger(__name__)

DEFAULT_CONSUMER: Final = "default"

# Records that one connection may hold without reporting them done.
MAX_OUTSTANDING: Final = 1_000

SAVE_SECONDS: Final = 0.2


class DeliveryTracker:
    """Tracks which member of a durable consumer holds which records. No I/O.

    Args:
        position: All records up to this position are done.
        max_held: Records that a member may hold without reporting them done.

    Attributes:
        dealt: All records up to this position were delivered at least once.
    """

    def __init__(self, position: int, *, max_held: int = MAX_OUTSTANDING) -> None:
        self.dealt = position
        self._max_held = max_held
        self._held: dict[Hashable, OrderedDict[int, Record]] = {}  # by seq, in the order of delivery
        self._returned: list[Record] = []

    @property
    def position(self) -> int:
        """All records up to this position are done."""
        held = [min(records) for records in self._held.values() if records]
        returned = [record.seq for record in self._returned[:1]]
        return min(held + returned, default=self.dealt + 1) - 1

    @property
    def has_returned(self) -> bool:
        """Return whether there are records that a former member has not done."""
        return bool(self._returned)

    def room(self, member: Hashable) -> int:
        """Return how many more records a member may receive."""
        return self._max_held - len(self._held.get(member, ()))

    def deal(self, member: Hashable, records: Sequence[Record], position: int) -> None:
        """Assign new records to a member; the log was read up to ``position``."""
        self._hold(member, records)
        self.dealt = position

    def deal_returned(self, member: Hashable) -> list[Record]:
        """Assign returned records to a member, as many as it has room for."""
        room = self.room(member)
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
            while held.popitem(last=False)[0] != seq:
                pass

    def leave(self, member: Hashable) -> None:
        """Take back the records that a member has not done."""
        self._returned = sorted((*self._returned, *self._held.pop(member, OrderedDict()).values()))

    def _hold(self, member: Hashable, records: Sequence[Record]) -> None:
        self._held.setdefault(member, OrderedDict()).update((record.seq, record) for record in records)


class Consumer:
    """One durable consumer, shared by the connections that named it.

    Args:
        log: The log it reads.
        position: All records up to this position are done.
    """

    def __init__(self, log: Log, position: int) -> None:
        self._log = log
        self._deliveries = DeliveryTracker(position)
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
        page = await self._log.read(self._deliveries.dealt)
        while not page.records and page.position < self._log.head:
            page = await self._log.read(page.position)  # there was nothing but damage
        records = page.records[:room]
        position = page.position if len(records) == len(page.records) else records[-1].seq
        self._deliveries.deal(member, records, position)
        return records


class Consumers:
    """The durable consumers of a log, by name."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_name: dict[str, Consumer] = {}
        self._saved: dict[str, int] = {}
        self._saver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the stored positions, and start to save changes."""
        self._saved = await self._log.cursors()
        self._by_name = {name: Consumer(self._log, position) for name, position in self._saved.items()}
        self._saver = start_task(self._save_forever())

    async def close(self) -> None:
        """Save every position a last time."""
        if self._saver is not None:
            await cancel_and_wait(self._saver)
            await self._save()

    def get(self, name: str, start: int) -> Consumer:
        """Return the consumer of this name; a new one begins after position ``start``."""
        if name not in self._by_name:
            self._by_name[name] = Consumer(self._log, start)
        return self._by_name[name]

    def states(self) -> list[ConsumerState]:
        """Return the state of each consumer, by name."""
        return [
            ConsumerState(name, consumer.position, self._log.head - consumer.position, consumer.members)
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
            await self._save()

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
