"""One subscriber's connection: frames in, the waiting for the log, and at most one task for it."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from prometheus_client import Counter

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read, SubscribeRefusal
from fanline.queue.base import QueueClient
from fanline.server import Connection, RefusalLimit
from subscriber import commands
from subscriber.commands import Command
from subscriber.frame_codec import FRAME_CODECS
from subscriber.live_feed import LiveFeed
from subscriber.subscription import Steps, Subscription

logger = logging.getLogger(__name__)

# Commands of one frame that are executed before the other connections get their turn.
SLICE: Final = 64

_UNREACHABLE: Final = "msgqueue cannot be reached; the subscription was not made"
_NO_ANSWER: Final = "msgqueue does not answer; the subscription was not made"


class _WaitingCommand(NamedTuple):
    """A command in progress, and what it waits for: a page, or the end of the log to be known."""

    command: Command
    steps: Steps
    needs: Read | None


class Session:
    """Serves one subscriber.

    Commands are executed as they arrive, without a task. A task exists only while a command waits for the
    log, and while the subscriber catches up.

    Args:
        connection: Its connection.
        feed: The live end of the log.
        queue: Reads the rest of the log.
        max_subscriptions: How many patterns it may hold.
        timeout: Seconds that a command may wait for msgqueue.
        rejected: Counts rejected commands, by code.
    """

    __slots__ = (
        "_connection", "_feed", "_has_ignored", "_later", "_queue", "_refusals", "_rejected",
        "_subscription", "_task", "_timeout", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        feed: LiveFeed,
        queue: QueueClient,
        *,
        max_subscriptions: int,
        timeout: float,
        rejected: Counter,
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._queue = queue
        self._timeout = timeout
        self._rejected = rejected
        self._subscription = Subscription(
            connection,
            FRAME_CODECS[connection.dialect],
            feed,
            user=connection.user,
            max_patterns=max_subscriptions,
        )
        self._waiting: _WaitingCommand | None = None
        self._later: list[Iterator[Command | Rejected]] = []  # of each frame, what is not executed
        self._refusals = RefusalLimit(connection)
        self._task: asyncio.Task[None] | None = None
        self._has_ignored = False
        connection.on_pause = self._on_pause

    def on_frame(self, payload: bytes) -> None:
        """Execute the commands in a frame, after those of earlier frames that still wait."""
        was_busy = self._is_busy
        self._later.append(commands.parse(payload))
        if not was_busy:
            self._execute_commands()
            if self._is_busy and self._task is not None:
                self._task.cancel()  # the next one catches up too, after the commands
                self._task = None
            self._ensure_task()
        if self._is_busy:
            self._connection.pause_reading()

    def on_close(self) -> None:
        """End the subscription."""
        self._subscription.close()
        if self._task is not None:
            self._task.cancel()

    def _on_pause(self) -> None:
        self._subscription.leave_live()
        self._ensure_task()

    # Commands.

    @property
    def _is_busy(self) -> bool:
        """True while there are commands that are not executed yet."""
        return self._waiting is not None or bool(self._later)

    def _execute_commands(self) -> None:
        """Execute commands in order, up to the first that has to wait, and no more than one slice."""
        for _ in range(SLICE):
            command = self._next_command()
            if command is None:
                break
            if isinstance(command, Rejected):
                self._reject(command)
            else:
                self._execute(command)
            if self._waiting is not None or self._refusals.is_exceeded:
                break

    def _next_command(self) -> Command | Rejected | None:
        while self._later and not self._refusals.is_exceeded:
            if (command := next(self._later[0], None)) is not None:
                return command
            del self._later[0]
        self._later.clear()
        return None

    def _execute(self, command: Command) -> None:
        steps = self._subscription.execute(command)
        try:
            self._waiting = _WaitingCommand(command, steps, next(steps))
        except StopIteration:
            pass
        except Rejected as rejected:
            self._reject(rejected, command)

    def _reject(self, rejected: Rejected, command: Command | None = None) -> None:
        self._rejected.labels(rejected.code).inc()
        if not self._subscription.codec.has_notices:
            if not self._has_ignored:
                self._has_ignored = True
                logger.info("ignoring frames of %s: %s", self._connection.user.name, rejected)
            return
        answer = SubscribeRefusal(rejected.code, rejected.reason)
        if command is not None and command.subscribe:
            answer.sub = command.pattern
        elif command is not None:
            answer.unsub = command.pattern
        self._subscription.send(answer)
        if rejected.code != ErrorCode.QUEUE_UNAVAILABLE:
            self._refusals.count(rejected)

    async def _finish_command(self, waiting: _WaitingCommand) -> None:
        """Wait for what a command needs until it is executed; then execute those after it."""
        command, steps, needs = waiting
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    needs = steps.send(await self._fetch(needs))
        except StopIteration:
            pass
        except TimeoutError:
            reason = _UNREACHABLE if needs is None else _NO_ANSWER
            self._reject(Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason), command)
        except Rejected as rejected:
            self._reject(rejected, command)
        self._waiting = None
        await self._go_on()

    async def _go_on(self) -> None:
        """Execute what has waited, after the other connections had their turn."""
        await asyncio.sleep(0)
        self._execute_commands()
        if not self._is_busy:
            self._connection.resume_reading()

    async def _fetch(self, needs: Read | None) -> PageAnswer | None:
        if needs is not None:
            return await self._queue.read(needs)
        await self._feed.wait_until_ready()
        return None

    # The task.

    def _ensure_task(self) -> None:
        if self._task is None and (self._is_busy or self._subscription.is_catching_up):
            self._task = self._connection.create_task(self._work())

    async def _work(self) -> None:
        """Finish the commands that wait, if any; then catch up."""
        try:
            while True:
                if self._waiting is not None:
                    await self._finish_command(self._waiting)
                elif self._later:
                    await self._go_on()
                elif self._subscription.is_catching_up:
                    await self._catch_up()
                else:
                    break
        except Rejected as rejected:
            self._subscription.cut(CloseCode.TRY_AGAIN_LATER, f"cannot catch up: {rejected.reason}")
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _catch_up(self) -> None:
        """Take one step on the way back to live, as soon as the subscriber takes data."""
        await self._connection.writable()
        async with self._feed.turn:
            grown = self._feed.grown.next
            read = self._subscription.advance()
            await asyncio.sleep(0)  # live deliveries, and then the next one that catches up
        if read is not None:
            page = await self._queue.read(read)
            async with self._feed.turn:
                self._subscription.take_page(read, page)
                await asyncio.sleep(0)
        elif self._subscription.is_ahead and not self._connection.paused:
            await asyncio.shield(grown)
