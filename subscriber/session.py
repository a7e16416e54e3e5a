"""One subscriber: its commands, and its way from the log to live and back.

It is live as long as it keeps up. When its write buffer is full it leaves the live path, at a position that
is known exactly, and a task reads the log for it from there, as fast as it takes the data and no faster,
until it is at the end and live again. A subscription that begins in the past goes the same way.
"""

import asyncio
import logging
from typing import Final

import msgspec
from prometheus_client import Counter

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import (
    Dialect,
    GapNotice,
    GapRange,
    Page,
    Read,
    Subscribed,
    SubscribeRefusal,
    Unsubscribed,
)
from fanline.queue.base import QueueClient
from fanline.server.connection import Connection
from fanline.tasks import cancel_and_wait
from subscriber import commands
from subscriber.backlog import Catchup
from subscriber.commands import Command
from subscriber.fanout import encode_frame
from subscriber.live_feed import Live

logger = logging.getLogger(__name__)

# What is read for one connection at a time: with the write buffer, all that a slow one holds.
PAGE_BYTES: Final = 65_536


class _Start(msgspec.Struct):
    """Where a subscription begins, and what retention has removed behind it."""

    after: int
    gap: GapRange | None = None


class Session:
    """Serves one subscriber.

    Args:
        connection: Its connection.
        live: Where the live messages come from.
        queue: Where the others come from.
        max_subscriptions: How many it may hold.
        patience: Seconds that a command waits for the queue.
        refused: Counts the commands that were refused, by code.
    """

    def __init__(
        self,
        connection: Connection,
        live: Live,
        queue: QueueClient,
        *,
        max_subscriptions: int,
        patience: float,
        refused: Counter,
    ) -> None:
        self.dialect = connection.dialect
        self.write = connection.write
        self._connection = connection
        self._live = live
        self._fanout = live.fanout
        self._queue = queue
        self._max_subscriptions = max_subscriptions
        self._patience = patience
        self._refused = refused
        self._patterns: set[str] = set()
        self._catchup = Catchup()
        self._catching_up: asyncio.Task[None] | None = None
        self._gap_told = 0
        self._has_ignored = False

    async def run(self) -> None:
        """Obey commands until the subscriber goes away; nothing is kept of it."""
        connection = self._connection
        connection.on_pause = self._fall_behind
        self._live.connections.add(connection)
        try:
            async for frame in connection.frames():
                for entry in commands.parse(frame):
                    await self._obey(entry)
        finally:
            self._live.connections.discard(connection)
            self._fanout.leave(self)
            if self._catching_up is not None:
                await cancel_and_wait(self._catching_up)

    # Commands.

    async def _obey(self, entry: Command | Rejected) -> None:
        try:
            if isinstance(entry, Rejected):
                raise entry
            await (self._subscribe(entry) if entry.subscribe else self._unsubscribe(entry))
        except Rejected as rejected:
            self._refuse(rejected, entry)

    def _refuse(self, rejected: Rejected, entry: Command | Rejected) -> None:
        self._refused.labels(rejected.code).inc()
        if self.dialect is Dialect.PLAIN:
            if not self._has_ignored:
                self._has_ignored = True
                logger.info("ignoring frames of %s: %s", self._connection.user.name, rejected)
            return
        answer = SubscribeRefusal(rejected.code, rejected.reason)
        if isinstance(entry, Command):
            is_sub, pattern = entry.subscribe, entry.pattern
            answer.sub, answer.unsub = (pattern, None) if is_sub else (None, pattern)
        self._connection.send_json(answer)

    async def _subscribe(self, command: Command) -> None:
        self._check(command.pattern)
        if self.dialect is Dialect.V1 or not command.is_from_now:
            # Otherwise no position is told, and nobody could be told that there is no queue yet.
            await self._live.ready(self._patience)
        if command.pattern in self._patterns:
            self._answer(self._subscribed(command.pattern, self._position_of(command.pattern)))
            return
        start = await self._find_start(command)
        self._patterns.add(command.pattern)
        is_behind = self._catching_up is not None or self._connection.paused
        if is_behind or start.after != self._fanout.head:
            self._fall_behind()
            self._catchup.add(command.pattern, start.after)
            self._start_catching_up()
        elif self._fanout.is_member(self):
            self._fanout.add(self, command.pattern)
        else:
            self._fanout.join(self, self._patterns)
        # Only now: what was held back for other subscriptions has been handed over.
        self._answer(self._subscribed(command.pattern, start.after, start.gap))

    def _position_of(self, pattern: str) -> int:
        return self._fanout.head if self._fanout.is_member(self) else self._catchup.position_of(pattern)

    def _subscribed(self, pattern: str, seq: int, gap: GapRange | None = None) -> Subscribed:
        return Subscribed(pattern, seq if self._live.can_resume else None, gap)

    def _check(self, pattern: str) -> None:
        if not self._connection.user.may_subscribe(pattern):
            name = self._connection.user.name
            raise Rejected(ErrorCode.FORBIDDEN, f'{name} may not subscribe to "{pattern}"')
        if len(self._patterns) >= self._max_subscriptions and pattern not in self._patterns:
            reason = f"a connection may hold {self._max_subscriptions:,} subscriptions"
            raise Rejected(ErrorCode.TOO_MANY_SUBSCRIPTIONS, reason)

    async def _unsubscribe(self, command: Command) -> None:
        if command.pattern in self._patterns:
            self._patterns.discard(command.pattern)
            self._catchup.remove(command.pattern)
            if not self._patterns:
                self._fanout.leave(self)
            elif self._fanout.is_member(self):
                self._fanout.remove(self, command.pattern)
        # Only now: what was held back to be joined has been handed over.
        self._answer(Unsubscribed(command.pattern))

    def _answer(self, answer: msgspec.Struct) -> None:
        if self.dialect is Dialect.V1:
            self._connection.send_json(answer)

    # Where a subscription begins.

    async def _find_start(self, command: Command) -> _Start:
        if not command.is_from_now and not self._live.can_resume:
            raise Rejected(ErrorCode.RESUME_UNAVAILABLE, "the queue keeps no log that could be read")
        try:
            async with asyncio.timeout(self._patience):
                if command.last is not None:
                    return await self._start_before_last(command.pattern, command.last)
                if command.after is not None:
                    return await self._start_after(command.pattern, command.after)
        except TimeoutError:
            reason = "the queue does not answer; the subscription was not made"
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason) from None
        return _Start(self._fanout.head)

    async def _start_after(self, pattern: str, after: int) -> _Start:
        if self._live.recent.covers(after) and after <= self._fanout.head:
            return _Start(after)
        page = await self._queue.read(Read([pattern], after=after, limit=1))
        if after > page.last:
            reason = f"after must be 0 to {page.last}, the end of the log, and is {after}"
            raise Rejected(ErrorCode.BAD_POSITION, reason)
        self._gap_told = max(self._gap_told, page.gap.last if page.gap else 0)
        return _Start(after, page.gap)

    async def _start_before_last(self, pattern: str, last: int) -> _Start:
        before, wanted = self._fanout.head + 1, last
        while wanted > 0:
            page = await self._queue.read(Read([pattern], before=before, limit=wanted))
            if not page.messages:
                break
            before = page.position
            wanted -= len(page.messages)
        return _Start(before - 1)

    # Catching up.

    def _fall_behind(self) -> None:
        """Leave the live path, if on it; everything up to the head has been handed over."""
        if not self._fanout.is_member(self):
            return
        self._fanout.leave(self)
        self._catchup = Catchup()
        for pattern in self._patterns:
            self._catchup.add(pattern, self._fanout.head)
        self._start_catching_up()

    def _start_catching_up(self) -> None:
        if self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        try:
            while self._catchup:
                await self._connection.writable()
                if self._is_at_end():
                    self._catchup = Catchup()
                    self._fanout.join(self, self._patterns)
                    break
                await self._send_page()
        except Rejected as rejected:
            self._connection.cut(CloseCode.TRY_AGAIN_LATER, f"cannot catch up: {rejected.reason}")
        finally:
            self._catching_up = None

    def _is_at_end(self) -> bool:
        return self._catchup.is_complete(self._fanout.head) and not self._connection.paused

    async def _send_page(self) -> None:
        grown = self._live.grown.next
        version = self._catchup.version
        if self._catchup.position >= self._fanout.head:
            # It has seen, elsewhere, what has not come here yet.
            await asyncio.shield(grown)
            return
        page = await self._next_page()
        if version != self._catchup.version:
            return  # subscriptions have changed meanwhile, and the page was read for the old ones
        frames = [
            encode_frame(record, self.dialect)
            for record in page.records
            if self._catchup.wants(record.topic, record.seq)
        ]
        self._catchup.advance(page.position)
        if frames:
            self._fanout.delivered += len(frames)
            self._connection.write(b"".join(frames))

    async def _next_page(self) -> Page:
        position, patterns = self._catchup.position, self._catchup.patterns
        if self._live.recent.covers(position):
            return self._live.recent.read(position, patterns=patterns, max_bytes=PAGE_BYTES)
        page = await self._queue.read(Read(patterns, after=position, limit=self._catchup.limit))
        self._report(page.gap)
        return page.records()

    def _report(self, gap: GapRange | None) -> None:
        """Tell of what retention removed while the subscriber was on its way, unless it was told before."""
        if gap is not None and gap.last > self._gap_told:
            self._gap_told = gap.last
            self._answer(GapNotice(gap))
