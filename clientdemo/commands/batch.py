"""Lines sent to a service in order, with acks and progress."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final, Protocol

from clientdemo.exit_codes import CLEAR_LINE, ExitCode, tell, ungrouped
from fanline import Ack, Disconnected, Rejected

# Number of failed lines that are reported one by one.
MAX_TOLD: Final = 20

# Lines sent and not yet acknowledged.
_WINDOW: Final = 1_000

PROGRESS_SECONDS: Final = 5.0
TERMINAL_PROGRESS_SECONDS: Final = 0.5


class LineError(Exception):
    """A line that cannot be sent; the text says why."""


class PendingAck(Protocol):
    """Awaitable for the ack of a line."""

    def done(self) -> bool:
        """Return whether the ack has arrived."""
        ...

    def __await__(self) -> Generator[Any, None, Ack]: ...


Send = Callable[[str], Coroutine[Any, Any, PendingAck | None]]


async def send_lines(
    lines: AsyncIterator[bytes | None],
    send: Send,
    *,
    problem: Callable[[], str | None],
    timeout: float,
    is_silent: bool = False,
) -> ExitCode:
    """Send every line; report the lines that fail.

    Args:
        lines: The lines; None stands for one that is too long.
        send: Sends a line; returns None for an empty one. Raises LineError or Rejected if it cannot be sent.
        problem: Returns why there is no connection, if there is none.
        timeout: Seconds to wait for the ack of a line before giving up.
        is_silent: Report only the outcome, no progress.

    Raises:
        FanlineError: If a line was not acknowledged in time.
    """
    batch = _Batch(send, problem, timeout)
    async with _counting(batch), nullcontext() if is_silent else _reporting(batch):
        await batch.run(lines)
    return ExitCode.REFUSED if batch.failed else ExitCode.DONE


class _Batch:
    """A batch of lines: one task sends, another awaits the acks.

    Both keep the same order.

    Attributes:
        stored: Lines acknowledged.
        failed: Lines that could not be sent, or were refused.
    """

    def __init__(self, send: Send, problem: Callable[[], str | None], timeout: float) -> None:
        self.stored = 0
        self.failed = 0
        self._send = send
        self._problem = problem
        self._timeout = timeout
        self._sent: asyncio.Queue[tuple[int, PendingAck] | None] = asyncio.Queue(_WINDOW)

    async def run(self, lines: AsyncIterator[bytes | None]) -> None:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_all(lines))
                tasks.create_task(self._collect())

    async def _send_all(self, lines: AsyncIterator[bytes | None]) -> None:
        number = 0
        async for line in lines:
            number += 1
            try:
                answer = await self._send(_decode(line))
                if answer is not None:
                    await self._sent.put((number, answer))
            except (LineError, Rejected) as error:
                self._fail(number, error)
        await self._sent.put(None)

    async def _collect(self) -> None:
        while (entry := await self._sent.get()) is not None:
            number, answer = entry
            try:
                await self._wait(number, answer)
                self.stored += 1
            except Rejected as error:
                self._fail(number, error)

    async def _wait(self, number: int, answer: PendingAck) -> None:
        try:
            async with asyncio.timeout(None if answer.done() else self._timeout):
                await answer
        except TimeoutError:
            problem = self._problem() or "the server does not answer"
            raise Disconnected(
                f"line {number}: not acknowledged within {self._timeout:g} s, so this line and the "
                f"following ones may be stored or not: {problem}"
            ) from None

    def _fail(self, number: int, error: Exception) -> None:
        self.failed += 1
        if self.failed <= MAX_TOLD:
            tell(f"line {number}: {error}")
        elif self.failed == MAX_TOLD + 1:
            tell("more lines failed; they are counted, but not named")


@asynccontextmanager
async def _counting(batch: _Batch) -> AsyncIterator[None]:
    """Report the outcome at the end of the block."""
    start = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - start
        failed = f"; {batch.failed:,} line{'s' if batch.failed > 1 else ''} failed" if batch.failed else ""
        rate = f"{batch.stored / seconds:,.0f}/s"
        tell(f"{batch.stored:,} messages stored in {seconds:.1f} s ({rate}){failed}")


@asynccontextmanager
async def _reporting(batch: _Batch) -> AsyncIterator[None]:
    """Report progress during the block."""
    reporting = asyncio.create_task(_report(batch))
    try:
        yield
    finally:
        reporting.cancel()


async def _report(batch: _Batch) -> None:
    is_terminal = sys.stderr.isatty()
    while True:
        await asyncio.sleep(TERMINAL_PROGRESS_SECONDS if is_terminal else PROGRESS_SECONDS)
        if is_terminal:
            print(f"{CLEAR_LINE}{batch.stored:,} stored", end="", file=sys.stderr, flush=True)  # noqa: T201
        else:
            tell(f"{batch.stored:,} stored")


def _decode(line: bytes | None) -> str:
    if line is None:
        raise LineError("is longer than 16 MiB; not sent")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"is not valid UTF-8 at byte {error.start + 1}; not sent") from None
