"""``pub``: publish one message, or every line of standard input, and end well only if all are stored."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from clientdemo.exits import CLEAR_LINE, ExitCode, Watch, tell, ungrouped
from clientdemo.grammar import Mistake, parse_send
from clientdemo.login import Login
from fanline.client import Publisher, Receipt
from fanline.errors import Disconnected, Rejected

# Lines that went wrong are named; of a flood, the first are enough.
MAX_TOLD: Final = 20

PROGRESS_SECONDS: Final = 5.0
TERMINAL_PROGRESS_SECONDS: Final = 0.5


class Item(msgspec.Struct):
    """One message to publish: its content is JSON text."""

    topic: str
    content: msgspec.Raw
    id: str | None = None


class LineError(Exception):
    """A line that cannot be sent; the text says why."""


Parse = Callable[[str], Item | None]


def read_text(topic: str | None) -> Parse:
    """Return what makes a message of a line of text: for ``topic``, or ``TOPIC message words``."""
    if topic is not None:
        return lambda line: Item(topic, msgspec.Raw(msgspec.json.encode(line)))
    return _read_topic_and_words


def read_json(topic: str | None) -> Parse:
    """Return what makes a message of a line of JSON: content for ``topic``, or a whole message."""
    if topic is not None:
        return lambda line: Item(topic, msgspec.Raw(line.encode()))
    return _read_object


async def publish_one(login: Login, item: Item, *, timeout: float) -> ExitCode:
    """Publish one message, and say where it was stored.

    Raises:
        FanlineError: If it was not.
    """
    async with _publisher(login) as publisher:
        ack = await publisher.publish(item.topic, item.content, id=item.id, timeout=timeout)
    again = " before, under the same id," if ack.duplicate else ""
    print(f"stored{again} at {ack.seq}")  # noqa: T201 - this is a command line
    return ExitCode.DONE


async def publish_lines(
    login: Login, lines: AsyncIterator[bytes | None], parse: Parse, *, timeout: float
) -> ExitCode:
    """Publish every line, and say which could not be.

    Args:
        login: Where to connect, and as whom.
        lines: The lines; None stands for one that is too long.
        parse: Makes a message of a line, or None of one that holds none.
        timeout: Seconds that a message may be without an ack before the rest is given up.

    Raises:
        FanlineError: If the rest was given up.
    """
    async with _publisher(login) as publisher:
        pipe = _Pipe(publisher, timeout)
        async with _telling(pipe):
            await pipe.run(lines, parse)
    return ExitCode.REFUSED if pipe.failed else ExitCode.DONE


class _Pipe:
    """Lines on their way: one task sends them, another takes their acks, in the same order.

    Attributes:
        stored: Lines acknowledged.
        failed: Lines that could not be sent, or were refused.
    """

    def __init__(self, publisher: Publisher, timeout: float) -> None:
        self.stored = 0
        self.failed = 0
        self._publisher = publisher
        self._timeout = timeout
        self._sent: asyncio.Queue[tuple[int, Receipt] | None] = asyncio.Queue(1_000)

    async def run(self, lines: AsyncIterator[bytes | None], parse: Parse) -> None:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(lines, parse))
                tasks.create_task(self._collect())

    async def _send(self, lines: AsyncIterator[bytes | None], parse: Parse) -> None:
        number = 0
        async for line in lines:
            number += 1
            try:
                item = parse(_decode(line))
                if item is not None:
                    receipt = await self._publisher.send(item.topic, item.content, id=item.id)
                    await self._sent.put((number, receipt))
            except (LineError, Rejected) as error:
                self._fail(number, error)
        await self._sent.put(None)

    async def _collect(self) -> None:
        while (entry := await self._sent.get()) is not None:
            number, receipt = entry
            try:
                await self._answer(number, receipt)
                self.stored += 1
            except Rejected as error:
                self._fail(number, error)

    async def _answer(self, number: int, receipt: Receipt) -> None:
        try:
            async with asyncio.timeout(None if receipt.done() else self._timeout):
                await receipt
        except TimeoutError:
            problem = self._publisher.problem or "the server does not answer"
            raise Disconnected(
                f"line {number}: not acknowledged within {self._timeout:g} s, so this line and those "
                f"behind it may be stored or not: {problem}"
            ) from None

    def _fail(self, number: int, error: Exception) -> None:
        self.failed += 1
        if self.failed <= MAX_TOLD:
            tell(f"line {number}: {error}")
        elif self.failed == MAX_TOLD + 1:
            tell("more lines failed; they are counted, but not named")


@asynccontextmanager
async def _telling(pipe: _Pipe) -> AsyncIterator[None]:
    """Tell of progress while the block runs, and of the outcome at its end."""
    start = time.monotonic()
    reporting = asyncio.create_task(_report(pipe))
    try:
        yield
    finally:
        reporting.cancel()
        seconds = time.monotonic() - start
        failed = f"; {pipe.failed:,} line{'s' if pipe.failed > 1 else ''} failed" if pipe.failed else ""
        rate = f"{pipe.stored / seconds:,.0f}/s"
        tell(f"{pipe.stored:,} messages stored in {seconds:.1f} s ({rate}){failed}")


async def _report(pipe: _Pipe) -> None:
    is_terminal = sys.stderr.isatty()
    while True:
        await asyncio.sleep(TERMINAL_PROGRESS_SECONDS if is_terminal else PROGRESS_SECONDS)
        if is_terminal:
            print(f"{CLEAR_LINE}{pipe.stored:,} stored", end="", file=sys.stderr, flush=True)  # noqa: T201
        else:
            tell(f"{pipe.stored:,} stored")


def _publisher(login: Login) -> Publisher:
    return Publisher(
        login.publisher_url, user=login.user, password=login.password, tls=login.tls, on_state=Watch()
    )


def _decode(line: bytes | None) -> str:
    if line is None:
        raise LineError("is longer than 16 MiB; not sent")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"is not valid UTF-8 at byte {error.start + 1}; not sent") from None


def _read_topic_and_words(line: str) -> Item | None:
    if not line.strip():
        return None
    send = parse_send(line)
    if isinstance(send, Mistake):
        raise LineError(f"{send.reason}; not sent")
    return Item(send.topic, msgspec.Raw(msgspec.json.encode(send.content)))


def _read_object(line: str) -> Item | None:
    if not line.strip():
        return None
    try:
        return msgspec.json.decode(line, type=Item)
    except msgspec.DecodeError as error:
        raise LineError(f'expected {{"topic", "content", "id"?}}: {error}; not sent') from None
