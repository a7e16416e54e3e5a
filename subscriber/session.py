"""One subscriber's connection: frames in, the waiting for the log, and at most one task for it."""

import asyncio
import logging
from typing import Final, NamedTuple

from prometheus_client import Counter

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read, SubscribeRefusal
from fanline.queue.base import QueueClient
from fanline.server import Connection
from subscriber import commands
from subscriber.commands import Command
from subscriber.frame_codec import FRAME_CODECS
from subscriber.live_feed import LiveFeed
from subscriber.subscription import Steps, Subscription

logger = logging.getLogger(__name__)

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
        "_connection", "_feed", "_has_ignored", "_later", "_queue", "_rejected", "_subscription",
        "_task", "_timeout", "_waiting",
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
        self._later: list[Command | Rejected] = []  # the next one last
        self._task: asyncio.Task[None] | None = None
        self._has_ignored = False
        connection.on_pause = self._on_pause

    def on_frame(self, payload: bytes) -> None:
        """Execute the commands in a frame, after those of earlier frames that still wait."""
        self._later[:0] = reversed(commands.parse(payload))
        if self._waiting is None:
            self._execute_commands()
            if self._waiting is not None and self._task is not None:
                self._task.cancel()  # the next one catches up too, after the command
                self._task = None
            self._ensure_task()
        if self._waiting is not None:
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

    def _execute_commands(self) -> None:
        """Execute commands in order, up to the first that has to wait."""
        while self._later and self._waiting is None:
            command = self._later.pop()
            if isinstance(command, Rejected):
                self._reject(command)
                continue
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
        self._execute_commands()
        if self._waiting is None:
            self._connection.resume_reading()

    async def _fetch(self, needs: Read | None) -> PageAnswer | None:
        if needs is not None:
            return await self._queue.read(needs)
        await self._feed.wait_until_ready()
        return None

    # The task.

    def _ensure_task(self) -> None:
        if self._task is None and (self._waiting is not None or self._subscription.is_catching_up):
            self._task = self._connection.create_task(self._work())

    async def _work(self) -> None:
        """Finish the command that waits, if any; then catch up."""
        try:
            while True:
                if self._waiting is not None:
                    await self._finish_command(self._waiting)
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
        grown = self._feed.grown.next
        read = self._subscription.advance()
        if read is not None:
            self._subscription.take_page(read, await self._queue.read(read))
        elif self._subscription.is_ahead and not self._connection.paused:
            await asyncio.shield(grown)
