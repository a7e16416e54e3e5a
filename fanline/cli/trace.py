"""``fanline trace``: the log's facts about a message or a trace."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from fanline.client import history
from fanline.errors import Disconnected
from fanline.protocol import ConsumerState, Message
from fanline.queue.remote import RemoteQueue
from fanline.security.tls import link_context
from fanline.setting_sources import read
from fanline.settings import Settings

_PAGE: Final = 1_000

_TRACE: Final = re.compile("[0-9a-f]{32}")

Wanted = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A position, the id of a trace, or that of a message.", show_default=False
    ),
]
Pattern = Annotated[str, typer.Option("--topic", metavar="PATTERN", help="Where to look.")]
Within = Annotated[
    int, typer.Option("--within", metavar="COUNT", min=1, help="How many of the newest messages to look at.")
]


def trace(wanted: Wanted, pattern: Pattern = ">", within: Within = 100_000) -> None:
    """Show when a message was stored, its sender, and its consumers' progress.

    Exits with 1 if there is no such message.
    """
    found, consumers = asyncio.run(_look(read(Settings), pattern, wanted, within))
    for message in found:
        typer.echo("\n".join(describe(message, consumers)))
    if not found:
        typer.echo(f"{wanted}: not among the newest {within:,} messages of {pattern}", err=True)
        raise typer.Exit(1)


def describe(message: Message, consumers: Sequence[ConsumerState]) -> Iterator[str]:
    """Yield what the log tells of a message.

    Args:
        message: The message.
        consumers: The durable consumers.
    """
    stored = datetime.fromtimestamp(message.time / 1000, UTC)
    yield f"position {message.seq} on {message.topic}"
    if message.traceparent is not None:
        yield f"  trace      {message.trace_id}, under the span {message.traceparent.split('-')[2]}"
    id_ = "" if message.id is None else f", with the id {message.id}"
    yield f"  received   from {message.sender or 'a service'}{id_}"
    yield f"  stored     {stored:%Y-%m-%d %H:%M:%S}.{message.time % 1000:03} UTC"
    for each in consumers:
        if each.position >= message.seq:
            yield f"  delivered  to the consumer {each.name}, if it asks for this topic: it is past it"
        else:
            yield f"  waits      for the consumer {each.name}, which is at {each.position}"
    yield "  Subscribers without a durable consumer leave nothing in the log."


async def find(log: history.History, pattern: str, wanted: str, within: int) -> list[Message]:
    """Return the messages by position, trace id or message id, in order.

    Args:
        log: Reads the log.
        pattern: Topics to look at.
        wanted: What to find.
        within: How many of the newest messages to look at.
    """
    if wanted.isascii() and wanted.isdigit() and not _TRACE.fullmatch(wanted):
        page = await log.page(pattern, before=int(wanted) + 1, limit=1)
        return [each for each in page.messages if each.seq == int(wanted)]
    found: list[Message] = []
    messages = (await log.page(pattern, limit=_PAGE)).messages
    while messages and within > 0:
        within -= len(messages)
        found += [each for each in reversed(messages) if wanted in (each.id, each.trace_id)]
        if found and not _TRACE.fullmatch(wanted):
            break  # the newest one of an id, which counts for a window of time
        messages = (await log.page(pattern, before=messages[0].seq, limit=_PAGE)).messages
    return found[::-1]


async def _look(
    settings: Settings, pattern: str, wanted: str, within: int
) -> tuple[list[Message], Sequence[ConsumerState]]:
    secret = settings.link_secret()
    tls = link_context(settings)
    user = None if secret is None else settings.link_user
    async with history.History(settings.subscriber_url, user=user, password=secret, tls=tls) as log:
        found = await find(log, pattern, wanted, within)
    try:
        return found, await RemoteQueue.from_settings(settings).consumers() if found else ()
    except Disconnected:
        return found, ()  # msgqueue is for services, and may be out of reach from here
