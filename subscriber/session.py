"""One WebSocket of a subscriber, whose frames are commands, in order."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from prometheus_client import Counter

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import SubscribeRefusal
from fanline.queue.page_turns import PageTurns
from fanline.server import ClientRates, Connection, RefusalLimit, rate_refusal
from subscriber import commands
from subscriber.backlog import Need, Steps
from subscriber.commands import Command, RefusedCommand
from subscriber.delivery import Delivery
from subscriber.frame_codec import FRAME_CODECS
from subscriber.live_feed import LiveFeed

logger = logging.getLogger(__name__)

# Commands of one frame that are executed before the other connections get their turn.
_SLICE: Final = 64


class _WaitingCommand(NamedTuple):
    """A command in progress, and what it waits for."""

    command: Command
    steps: Steps[None]
    needs: Need


class Session(Delivery):
    """Serves one subscriber.

    Commands are executed as they arrive, without a task. A task exists only while a command waits for the
    log, and while the subscriber catches up.

    Args:
        connection: Its connection.
        feed: The live end of the log.
        pages: Reads the rest of the log, in turn with all others.
        max_subscriptions: How many patterns it may hold.
        timeout: Seconds that a command may wait for msgqueue.
        rates: Limits the commands of each user and address.
        rejected: Counts rejected commands, by code.
    """

    __slots__ = (
        "_connection", "_has_ignored", "_is_resting", "_later", "_rates", "_refusals", "_rejected",
        "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        feed: LiveFeed,
        pages: PageTurns,
        *,
        max_subscriptions: int,
        timeout: float,
        rates: ClientRates,
        rejected: Counter,
    ) -> None:
        super().__init__(
            connection,
            FRAME_CODECS[connection.dialect],
            feed,
            pages,
            max_subscriptions=max_subscriptions,
            timeout=timeout,
        )
        self._connection = connection
        self._rates = rates
        self._rejected = rejected
        self._is_resting = False
        self._waiting: _WaitingCommand | None = None
        self._later: list[Iterator[Command | RefusedCommand]] = []  # of each frame, what is not executed
        self._refusals = RefusalLimit(connection)
        self._has_ignored = False

    def on_frame(self, payload: bytes) -> None:
        """Execute a frame's commands, after those that still wait."""
        was_busy = self._is_busy
        self._later.append(commands.parse(payload))
        if not was_busy:
            self._execute_commands()
            if self._can_execute and self._task is not None:
                self._task.cancel()  # the next one catches up too, after the commands
                self._task = None
            self._ensure_task()
        if self._is_busy:
            self._connection.pause_reading()

    # Commands.

    @property
    def _is_busy(self) -> bool:
        """True while there are commands that are not executed yet."""
        return self._waiting is not None or bool(self._later)

    @property
    def _can_execute(self) -> bool:
        """True while there are commands that can be executed now."""
        return self._waiting is not None or (bool(self._later) and not self._subscription.is_sending_newest)

    def _execute_commands(self) -> None:
        """Execute commands in order, up to a wait or a slice."""
        for _ in range(_SLICE):
            if self._subscription.is_sending_newest:
                break
            command = self._next_command()
            if command is None:
                break
            if (excess := self._check_rate()) is not None:
                self._reject(excess, command.verb, command.pattern)
            elif isinstance(command, RefusedCommand):
                self._reject(*command)
            else:
                self._execute(command)
            if self._waiting is not None or self._refusals.is_exceeded:
                break

    def _next_command(self) -> Command | RefusedCommand | None:
        while self._later and not self._refusals.is_exceeded:
            if (command := next(self._later[0], None)) is not None:
                return command
            del self._later[0]
        self._later.clear()
        return None

    def _check_rate(self) -> Rejected | None:
        """Return a refusal if the client sends too many commands.

        In the plain dialect the client has to wait instead.
        """
        user, address = self._connection.user, self._connection.peer.address
        if self._subscription.codec.has_notices:
            excess = self._rates.admit(user, address, 1)
            return None if excess is None else rate_refusal(excess, "commands")
        wait = self._rates.charge(user, address, 1)
        if wait and not self._is_resting:
            self._is_resting = True
            self._connection.pause_reading()
            self._connection.create_task(self._rest(wait))
        return None

    async def _rest(self, seconds: float) -> None:
        await self._connection.rest(seconds)
        self._is_resting = False
        self._resume_reading()

    def _resume_reading(self) -> None:
        if not (self._is_busy or self._is_resting):
            self._connection.resume_reading()

    def _execute(self, command: Command) -> None:
        steps = self._subscription.execute(command)
        try:
            self._waiting = _WaitingCommand(command, steps, next(steps))
        except StopIteration:
            pass
        except Rejected as rejected:
            self._reject(rejected, command.verb, command.pattern)

    def _reject(self, rejected: Rejected, verb: str | None, pattern: str | None) -> None:
        self._rejected.labels(rejected.code).inc()
        if not self._subscription.codec.has_notices:
            if not self._has_ignored:
                self._has_ignored = True
                logger.info("ignoring frames of %s: %s", self._connection.user.name, rejected)
            return
        answer = SubscribeRefusal(rejected.code, rejected.reason, retry_ms=rejected.retry_ms)
        if verb == "sub":
            answer.sub = pattern
        else:
            answer.unsub = pattern
        self._subscription.send(answer)
        if rejected.code != ErrorCode.QUEUE_UNAVAILABLE:
            self._refusals.count(rejected)

    async def _finish_command(self, waiting: _WaitingCommand) -> None:
        """Wait until a command is executed, and execute those after it."""
        command, steps, needs = waiting
        try:
            await self._complete(steps, needs)
        except Rejected as rejected:
            self._reject(rejected, command.verb, command.pattern)
        self._waiting = None
        await self._go_on()

    async def _go_on(self) -> None:
        """Execute what has waited, after the other connections had their turn."""
        await asyncio.sleep(0)
        self._execute_commands()
        self._resume_reading()

    # The task.

    @property
    def _has_work(self) -> bool:
        return self._is_busy or super()._has_work

    async def _step(self) -> None:
        """Finish the waiting commands, or take a step to catch up."""
        if self._waiting is not None:
            await self._finish_command(self._waiting)
        elif self._can_execute:
            await self._go_on()
        else:
            await super()._step()
