"""Durable consumers: readers whose place in the log the queue remembers.

Connections with the same name share the work: each record goes to one of them. What one of them was given
and has not said done when it leaves goes to the next. The remembered position is the one up to which
everything is done, so that after a crash records may come again, and none is passed over.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import ConsumerState, Record
from fanline.tasks import cancel_and_wait
from msgqueue.log import Log

logger = logging.getLogger(__name__)

DEFAULT_CONSUMER: Final = "default"

# Records that one connection may hold without having said done.
MAX_OUTSTANDING: Final = 1_000

SAVE_SECONDS: Final = 0.2


class Ledger:
    """Who holds which records: the bookkeeping of one durable consumer, without I/O.

    Args:
        position: Everything up to here is done.

    Attributes:
        dealt: Everything up to here was given out at least once.
    """

    def __init__(self, position: int) -> None:
        self.dealt = position
        self._held: dict[Hashable, OrderedDict[int, Record]] = {}  # by seq, in the order of giving
        self._returned: list[Record] = []

    @property
    def position(self) -> int:
        """Everything up to here is done."""
        held = [min(records) for records in self._held.values() if records]
        returned = [record.seq for record in self._returned[:1]]
        return min(held + returned, default=self.dealt + 1) - 1

    @property
    def has_returned(self) -> bool:
        """Whether there are records that somebody left behind."""
        return bool(self._returned)

    def room(self, member: Hashable) -> int:
        """Return how many more records a member may be given."""
        return MAX_OUTSTANDING - len(self._held.get(member, ()))

    def deal(self, member: Hashable, records: Sequence[Record], position: int) -> None:
        """Note that a member was given new records, and the log was looked at up to ``position``."""
        self._hold(member, records)
        self.dealt = position

    def deal_returned(self, member: Hashable) -> list[Record]:
        """Give a member what others left behind, as much as it has room for; older than anything new."""
        room = self.room(member)
        records, self._returned = self._returned[:room], self._returned[room:]
        self._hold(member, records)
        return records

    def done(self, member: Hashable, seq: int) -> None:
        """Take a member's word that it has done everything it was given, up to the record ``seq``.

        Up to in the order of giving, not of the log: when it speaks of a new record, older ones that another
        left behind may still be on their way to it. A record that it does not hold says nothing.
        """
        held = self._held.get(member, OrderedDict())
        if seq in held:
            while held.popitem(last=False)[0] != seq:
                pass

    def leave(self, member: Hashable) -> None:
        """Take back what a member has not done."""
        self._returned = sorted((*self._returned, *self._held.pop(member, OrderedDict()).values()))

    def _hold(self, member: Hashable, records: Sequence[Record]) -> None:
        self._held.setdefault(member, OrderedDict()).update((record.seq, record) for record in records)


class Consumer:
    """One durable consumer, shared by the connections that named it.

    Args:
        log: The log it reads.
        position: Everything up to here is done.
    """

    def __init__(self, log: Log, position: int) -> None:
        self._log = log
        self._ledger = Ledger(position)
        self._dealing = asyncio.Lock()
        self._changed = ChangeNotifier()
        self._members: set[Hashable] = set()

    @property
    def position(self) -> int:
        """Everything up to here is done."""
        return self._ledger.position

    @property
    def members(self) -> int:
        """How many share the work at present."""
        return len(self._members)

    async def take(self, member: Hashable) -> Sequence[Record]:
        """Wait for records for a member; those that another left behind come first.

        Args:
            member: Whoever takes them; says :meth:`done`, and :meth:`leave` at the end.

        Returns:
            At least one record. Cancelling it loses none.

        Raises:
            StoreError: If the log cannot be read.
        """
        self._members.add(member)
        while True:
            changes = [self._changed.next]
            if self._ledger.room(member) > 0:
                changes.append(self._log.grown.next)
            async with self._dealing:
                records = await self._deal(member)
            if records:
                return records
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)

    def done(self, member: Hashable, seq: int) -> None:
        """Take a member's word that it has done everything it was given, up to ``seq``."""
        self._ledger.done(member, seq)
        self._changed.fire()

    def leave(self, member: Hashable) -> None:
        """Take back what a member has not done, for the others or for later."""
        self._members.discard(member)
        self._ledger.leave(member)
        self._changed.fire()

    async def _deal(self, member: Hashable) -> Sequence[Record]:
        room = self._ledger.room(member)
        if room <= 0:
            return ()
        if self._ledger.has_returned:
            return self._ledger.deal_returned(member)
        page = await self._log.read(self._ledger.dealt)
        records = page.records[:room]
        position = page.position if len(records) == len(page.records) else records[-1].seq
        self._ledger.deal(member, records, position)
        return records


class Consumers:
    """The durable consumers of a log, by name."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_name: dict[str, Consumer] = {}
        self._saved: dict[str, int] = {}
        self._saver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the remembered positions, and begin to save them as they change."""
        self._saved = await self._log.cursors()
        self._by_name = {name: Consumer(self._log, position) for name, position in self._saved.items()}
        self._saver = asyncio.create_task(self._save_forever())

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
        """Return what there is to tell of each consumer, by name."""
        return [
            ConsumerState(name, consumer.position, self._log.head - consumer.position, consumer.members)
            for name, consumer in sorted(self._by_name.items())
        ]

    async def forget(self, name: str) -> None:
        """Remove a consumer and its position.

        Raises:
            Rejected: If there is none of that name, or somebody uses it.
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
