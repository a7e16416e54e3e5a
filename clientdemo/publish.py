"""``pub``: publish one message, or every line of standard input, and end well only if all are stored."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from clientdemo.exits import ExitCode, tell
from clientdemo.grammar import Mistake, parse_send
from clientdemo.login import Login
from fanline.client import Publisher, Receipt
from fanline.errors import Disconnected, Rejected

# Enough to keep a link of some milliseconds busy.
WINDOW: Final = 4_000

# Lines that went wrong are named; of a flood, the first are enough.
MAX_TOLD: Final = 20

PROGRESS_SECONDS: Final = 5.0
TERMINAL_PROGRESS_SECONDS: Final = 0.5


class Item(msgspec.Struct):
    """One message to publish."""

    topic: str
    content: Any
    id: str | None = None


class LineError(Exception):
    """A line that cannot be sent; the text says why."""


Parse = Callable[[str], Item | None]


def read_text(topic: str | None) -> Parse:
    """Return what makes a message of a line of text: for ``topic``, or ``TOPIC message words``."""
    if topic is not None:
        return lambda line: Item(topic, line)
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
    again = " before, under the same id" if ack.duplicate else ""
    print(f"stored{again} at {ack.seq}")  # noqa: T201 - this is a command line
    return ExitCode.DONE


async def publish_lines(
    login: Login, lines: AsyncIterator[bytes | None], parse: Parse, *, timeout: float
) -> ExitCode:
    """Publish every line, and say which could not be.

    Args:
        login: Where to connect, and as whom.
        lines: The lines; None stands for one that is too long.
        parse: Makes a message of a line; None for a line without one.
        timeout: Seconds without any ack after which to give up.

    Raises:
        FanlineError: If the rest cannot be published either.
    """
    run = _Run(timeout)
    async with _publisher(login) as publisher, _showing(run):
        await run.publish(publisher, lines, parse)
    run.conclude()
    return ExitCode.REFUSED if run.failed else ExitCode.DONE
