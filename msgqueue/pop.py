"""``/popmsg``: messages out, to subscribers and to durable consumers.

A v1 connection says what it wants, as :mod:`fanline.protocol.queue` tells. A plain connection says nothing
and gets its share of the durable consumer ``default``, a message to a frame; as it cannot say done, its
answer to a ping sent behind the messages says so in its place.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from fanline.errors import CloseCode, ErrorCode, Rejected, StoreError
from fanline.protocol import (
    ConsumerList,
    Dialect,
    Forgotten,
    GapNotice,
    PageAnswer,
    Pop,
    PopCommand,
    Popping,
    Read,
    Record,
    Refusal,
    decode_pop_command,
    join_array,
    refusal,
    split_array,
)
from fanline.protocol.topics import has_wildcard, matches_any, require_pattern
from fanline.queue.pages import Pages
from fanline.server import Connection, Handler, task_handler, text_frame
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.consumers.consumer import Consumer
from msgqueue.consumers.registry import DEFAULT_CONSUMER, Consumers
from msgqueue.log import PAGE_BYTES, Log

# Pages that one connection reads at the same time; then no more of its commands are read.
MAX_READS: Final = 16


class PopEndpoint:
    """Makes the handlers of the connections to ``/popmsg``.

    Args:
        log: What is read.
        consumers: Its durable consumers.
    """

    def __init__(self, log: Log, consumers: Consumers) -> None:
        self._log = log
        self._consumers = consumers
        self._open_v1 = task_handler(self._serve)

    def open(self, connection: Connection) -> Handler:
        """Return the handler of a connection."""
        if connection.dialect is Dialect.PLAIN:
            return _PlainPopping(connection, self._consumers.get(DEFAULT_CONSUMER, 0))
        return self._open_v1(connection)

    async def _serve(self, connection: Connection, frames: AsyncIterator[bytes]) -> None:
        await _Session(self._log, self._consumers, connection).run(frames)


class _PlainPopping:
    """Handler of a plain connection: a task feeds it, frames are ignored."""

    def __init__(self, connection: Connection, consumer: Consumer) -> None:
        self._feeding = connection.create_task(_feed_plain(connection, consumer))

    def on_frame(self, payload: bytes) -> None:
        """Ignore a frame."""

    def on_close(self) -> None:
        self._feeding.cancel()


async def _feed_plain(connection: Connection, consumer: Consumer) -> None:
    spell = connection.dialect.codec.encode_delivery
    try:
        while True:
            records = await consumer.take(connection)
            connection.write(b"".join(text_frame(spell(record.body)) for record in records))
            await connection.writable()
            await connection.round_trip()
            consumer.done(connection, records[-1].seq)
    except StoreError as error:
        connection.cut(CloseCode.TRY_AGAIN_LATER, f"the log cannot be read: {error}")
    finally:
        consumer.leave(connection)


class _Session:
    """One v1 connection: a command reader and the tasks that it starts.

    The tasks send popped records, and read pages.
    """

    def __init__(self, log: Log, consumers: Consumers, connection: Connection) -> None:
        self._log = log
        self._pages = Pages(log)
        self._consumers = consumers
        self._connection = connection
        self._consumer: Consumer | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._reads: dict[asyncio.Task[None], int] = {}  # with the number of each

    async def run(self, frames: AsyncIterator[bytes]) -> None:
        try:
            async for frame in frames:
                await self._obey_frame(frame)
        finally:
            # They are not kept: their tracebacks refer to this session, and so would keep the connection.
            tasks = [*self._reads, *([self._feeding] if self._feeding else [])]
            self._feeding = None
            await cancel_and_wait(*tasks)

    async def _obey_frame(self, frame: bytes) -> None:
        try:
            commands = [decode_pop_command(part) for part in split_array(frame)]
        except (msgspec.DecodeError, RecursionError) as error:
            self._connection.send_json(Refusal(ErrorCode.BAD_COMMAND, f"expected pop, read or done: {error}"))
            return
        for command in commands:
            try:
                await self._obey(command)
            except (Rejected, StoreError) as error:
                self._connection.send_json(refusal(_as_rejected(error)))

    async def _obey(self, command: PopCommand) -> None:
        if command.read is not None:
            await self._begin_read(command.read)
        elif command.cancel is not None:
            self._cancel_read(command.cancel)
        elif command.pop is not None:
            await self._pop(command.pop)
        elif command.done is not None and self._consumer is not None:
            self._consumer.done(self._connection, command.done)
        elif command.consumers:
            self._connection.send_json(ConsumerList(self._consumers.states()))
        elif command.forget is not None:
            await self._consumers.forget(command.forget)
            self._connection.send_json(Forgotten(command.forget))
        else:
            raise Rejected(ErrorCode.BAD_COMMAND, "expected pop, read, or done for a durable consumer")

    # Pages.

    async def _begin_read(self, read: Read) -> None:
        if len(self._reads) >= MAX_READS:
            await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
        reading = start_task(self._read(read))
        self._reads[reading] = read.ref
        reading.add_done_callback(self._reads.pop)

    async def _read(self, read: Read) -> None:
        try:
            page = await self._pages.read(read)
        except (Rejected, StoreError) as error:
            rejected = _as_rejected(error)
            page = PageAnswer(read.ref, error=rejected.code, reason=rejected.reason)
        self._connection.send_json(page)

    def _cancel_read(self, ref: int) -> None:
        for reading in [reading for reading, number in self._reads.items() if number == ref]:
            if reading.cancel():
                page = PageAnswer(ref, error=ErrorCode.QUEUE_UNAVAILABLE, reason="the request was cancelled")
                self._connection.send_json(page)

    # Popping.

    async def _pop(self, pop: Pop) -> None:
        if self._feeding is not None:
            raise Rejected(ErrorCode.BAD_COMMAND, "this connection pops already: open another one")
        if pop.consumer is None:
            await self._pop_from(pop)
        else:
            await self._pop_share(pop, pop.consumer)

    async def _pop_from(self, pop: Pop) -> None:
        for pattern in pop.topics or ():
            require_pattern(pattern)
        position = await self._start(pop)
        gap = await self._pages.gap(position, pop.topics)
        self._connection.send_json(Popping(None, position, gap, self._log.epoch))
        told = gap.last if gap else 0
        self._feeding = start_task(self._guard(self._feed_from(position, pop.topics, told)))

    async def _pop_share(self, pop: Pop, name: str) -> None:
        if pop.topics is not None:
            raise Rejected(ErrorCode.BAD_COMMAND, "a durable consumer gets all topics: leave out topics")
        if not 0 < len(name) <= 128 or not name.isprintable():
            raise Rejected(ErrorCode.BAD_COMMAND, "a consumer's name has 1 to 128 printable characters")
        start = 0 if pop.after is None else await self._start(pop)
        self._consumer = self._consumers.get(name, start)
        position = self._consumer.position
        gap = await self._pages.gap(position, None)
        self._connection.send_json(Popping(name, position, gap, self._log.epoch))
        self._feeding = start_task(self._guard(self._feed_share(self._consumer)))

    async def _start(self, pop: Pop) -> int:
        after = pop.after
        if pop.epoch not in (None, self._log.epoch):
            raise Rejected(ErrorCode.BAD_POSITION, f"{after} is a position of another log, {pop.epoch}")
        if after == "earliest":
            return 0
        if after is None or isinstance(after, str):
            return self._log.head
        await self._log.reach(after)
        if not 0 <= after <= self._log.head:
            reason = f"after must be 0 to {self._log.head}, the end of the log, and is {after}"
            raise Rejected(ErrorCode.BAD_POSITION, reason)
        return after

    async def _guard(self, feeding: Coroutine[Any, Any, None]) -> None:
        try:
            await feeding
        except StoreError as error:
            self._connection.cut(CloseCode.TRY_AGAIN_LATER, f"the log cannot be read: {error}")

    async def _feed_from(self, position: int, topics: Sequence[str] | None, told: int) -> None:
        while True:
            while position < self._log.head:
                page = await self._log.read(position, topics)
                gap = await self._pages.gap(position, topics, told)
                if gap is not None:
                    self._connection.send_json(GapNotice(gap))
                    told = gap.last
                if page.gap is not None:
                    self._connection.send_json(GapNotice(page.gap))
                self._send(page.records)
                position = page.position
                await self._connection.writable()
            position = await self._feed_live(position, topics)
            await self._connection.writable()

    async def _feed_live(self, position: int, topics: Sequence[str] | None) -> int:
        """Send records when they are committed, while the connection keeps up.

        Returns:
            The position it has got to.
        """
        behind: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        names = None if topics is None or any(map(has_wildcard, topics)) else frozenset(topics)
        select = _select_all if topics is None or names is not None else partial(_select, topics)

        def take(records: Sequence[Record]) -> None:
            nonlocal position
            if behind.done():
                return
            wanted = select(records)
            if sum(len(record.body) for record in wanted) > PAGE_BYTES:
                behind.set_result(None)  # for one frame that is too much
                return
            self._send(wanted)
            position = records[-1].seq
            if self._connection.paused:
                behind.set_result(None)

        with self._log.followed_by(take, names):
            await behind
        return position

    async def _feed_share(self, consumer: Consumer) -> None:
        try:
            while True:
                self._send(await consumer.take(self._connection))
                await self._connection.writable()
        finally:
            consumer.leave(self._connection)

    def _send(self, records: Sequence[Record]) -> None:
        if records:
            self._connection.write(text_frame(join_array([record.body for record in records])))


def _select_all(records: Sequence[Record]) -> Sequence[Record]:
    return records


def _select(topics: Sequence[str], records: Sequence[Record]) -> Sequence[Record]:
    return [record for record in records if matches_any(topics, record.topic)]


def _as_rejected(error: Rejected | StoreError) -> Rejected:
    if isinstance(error, Rejected):
        return error
    return Rejected(ErrorCode.QUEUE_UNAVAILABLE, f"the log cannot be read: {error}")
