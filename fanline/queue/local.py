"""A log in this process, reached by function calls."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Protocol

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import Ack, ConsumerState, NewMessage, PageAnswer, Read, Record, Refusal
from fanline.queue.base import GeneratedIds, LogListener, QueueClient, ReplySlot
from fanline.queue.fair_queue import WINDOW_BYTES, WINDOW_COUNT, FairQueue
from fanline.queue.pages import Pages, ReadableLog

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 0.2


class LocalLog(ReadableLog, Protocol):
    """The log, as msgqueue keeps it."""

    @property
    def write_error(self) -> str | None:
        """Reason why the log cannot be written now, or None."""
        ...

    def append(self, messages: Sequence[NewMessage]) -> "asyncio.Future[list[Any]]":
        """Return a future of each message's position and duplicate flag.

        A message is a duplicate if it was stored before under its id. The future fails with StoreError if
        none of the messages is stored.
        """
        ...

    @property
    def is_full(self) -> bool:
        """Return whether too much waits to be written."""
        ...

    async def wait_for_space(self) -> None:
        """Wait while too much waits to be written."""
        ...

    def followed_by(
        self, listener: Callable[[Sequence[Record]], None], topics: Collection[str] | None = None
    ) -> AbstractContextManager[None]:
        """Call a listener with everything stored during the block.

        ``topics`` restricts it.
        """
        ...


class LocalConsumers(Protocol):
    """The durable consumers of the log."""

    def states(self) -> Sequence[ConsumerState]:
        """Return what there is to tell of each."""
        ...

    async def forget(self, name: str) -> None:
        """Remove one."""
        ...


Batch = list[tuple[NewMessage, ReplySlot | None]]


class LocalQueue(QueueClient):
    """A queue that calls the log, whose owner opens and closes it.

    Args:
        log: The log.
        consumers: Its durable consumers.
        buffer_bytes: Size of the messages that wait for the log with which :meth:`wait_for_space` waits.
    """

    def __init__(self, log: LocalLog, consumers: LocalConsumers, *, buffer_bytes: int) -> None:
        self._log = log
        self._buffer_bytes = buffer_bytes
        self._consumers = consumers
        self._pages = Pages(log)
        self._loop = asyncio.get_running_loop()
        self._waiting: FairQueue[tuple[NewMessage, ReplySlot | None]] = FairQueue()
        self._passing: Batch = []  # what does not wait for its turn
        self._storing = self._storing_bytes = 0
        self._is_scheduled = False
        self._has_space = ChangeNotifier()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._read_error: str | None = None
        self._ids = GeneratedIds()

    async def run(self) -> None:
        """Wait until cancelled: the log writes by itself."""
        await asyncio.Event().wait()

    @property
    def problem(self) -> str | None:
        """Reason why the log cannot be used now, or None."""
        return self._log.write_error or self._read_error

    @property
    def pending(self) -> int:
        """Number of appended messages that are not stored yet."""
        return self._storing + len(self._passing) + len(self._waiting)

    def append(self, message: NewMessage, reply: ReplySlot | None, *, sender: object = None) -> None:
        """Store a message after all that its sender appended before."""
        if message.id is None and reply is not None:
            message.id = self._ids.next()  # the reply shows it
        size = len(message.content) + len(message.topic)
        sender, user, waiting = sender if reply is None else reply.group, message.sender, self._waiting
        if (waiting.size or not self._has_window) and waiting.may_pass(
            user, size, count=self._storing, total=self._storing_bytes
        ):
            self._passing.append((message, reply))
        else:
            waiting.add((message, reply), size, user=user, sender=sender)
        self._is_empty.clear()
        self._schedule()

    def is_full_for(self, user: str | None) -> bool:
        """Return whether too much waits to be written, for a user."""
        return self._log.is_full or (
            self._waiting.size >= self._buffer_bytes
            and (user is None or self._waiting.has_share(user, self._buffer_bytes))
        )

    async def wait_for_space(self, user: str | None) -> None:
        """Wait while too much waits to be written, for a user."""
        while self.is_full_for(user):
            if self._log.is_full:  # of what any writer has appended, so that nothing may wait here
                await self._log.wait_for_space()
            else:
                await asyncio.shield(self._has_space.next)

    async def flush(self) -> None:
        """Wait until every message is stored, or refused."""
        await self._is_empty.wait()

    def _schedule(self) -> None:
        can_write = self._passing or (self._waiting and self._has_window)
        if can_write and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._write)

    @property
    def _has_window(self) -> bool:
        return self._storing < WINDOW_COUNT and self._storing_bytes < WINDOW_BYTES

    def _write(self) -> None:
        self._is_scheduled = False
        batch, self._passing = self._passing, []
        self._note_storing(batch)
        while self._waiting and self._has_window:
            turn = self._waiting.take_turn()
            self._note_storing(turn)
            batch += turn
        storing = self._log.append([message for message, _ in batch])
        storing.add_done_callback(partial(self._settle, batch))
        self._has_space.fire()

    def _note_storing(self, taken: Batch) -> None:
        self._storing += len(taken)
        self._storing_bytes += _size(taken)

    def _settle(self, batch: Batch, storing: "asyncio.Future[list[Any]]") -> None:
        error = storing.exception()
        if error is None:
            for (message, reply), stored in zip(batch, storing.result(), strict=True):
                if reply is not None:
                    reply.settle(Ack(message.id, *stored))
        else:
            reason = f"the log cannot be written: {error}"
            for message, reply in batch:
                if reply is not None:
                    reply.settle(Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, message.id))
        self._storing -= len(batch)
        self._storing_bytes -= _size(batch)
        self._waiting.note_replies()
        if not self.pending:
            self._is_empty.set()
        self._schedule()

    async def follow(self, listener: LogListener) -> None:
        """Feed a listener, until cancelled."""
        is_same = listener.epoch in (None, self._log.epoch) and listener.head <= self._log.head
        if listener.is_ready and not (listener.can_resume and is_same):
            listener.restart()
        if not listener.is_ready:
            listener.begin(self._log.head, epoch=self._log.epoch, can_resume=True)
        while True:
            try:
                await self._catch_up(listener)
            except StoreError as error:
                self._read_error = f"the log cannot be read: {error}"
                logger.warning("%s; trying again", self._read_error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._read_error = None
            with self._log.followed_by(listener.take):
                await asyncio.Event().wait()

    async def follow_topic(
        self, topic: str, take: Callable[[Sequence[Record]], None], caught_up: Callable[[], None]
    ) -> None:
        """Feed a function with all records of a topic, until cancelled."""
        position = 0

        while True:
            try:
                while position < self._log.head:
                    page = await self._log.read(position, [topic])
                    take(page.records)
                    position = page.position
            except StoreError as error:
                logger.warning("the topic %s cannot be read: %s; trying again", topic, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                caught_up()
                with self._log.followed_by(take, [topic]):
                    await asyncio.Event().wait()

    async def _catch_up(self, listener: LogListener) -> None:
        """Feed a listener up to the end of the log.

        There is no wait after the last look at the end.
        """
        position, told = listener.head, 0
        while position < self._log.head:
            page = await self._log.read(position)
            gap = await self._pages.gap(position, None, told)
            if gap is not None:
                listener.report(gap)
                told = gap.last
            if page.gap is not None:
                listener.report(page.gap)
            if page.records:
                listener.take(page.records)
            position = page.position

    async def read(self, read: Read) -> PageAnswer:
        """Return a page of the log."""
        try:
            return await self._pages.read(read)
        except StoreError as error:
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, f"the log cannot be read: {error}") from error

    async def consumers(self) -> Sequence[ConsumerState]:
        """Return the durable consumers that there are."""
        return self._consumers.states()

    async def forget(self, consumer: str) -> None:
        """Remove a durable consumer."""
        await self._consumers.forget(consumer)


def _size(batch: Batch) -> int:
    return sum(len(message.content) for message, _ in batch)
