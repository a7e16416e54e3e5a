"""``sub``: write the messages of topics to standard output, one line each."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clientdemo.console.escape import content_of, json_line
from clientdemo.console.output import while_output_is_read
from clientdemo.exit_codes import ConnectionNotices, ExitCode, tell
from clientdemo.login import PipelineLogin
from fanline import Disconnected, Gap, Message, Subscriber

Render = Callable[[Message], bytes]


class Begin(NamedTuple):
    """Start of a subscription; without these fields, new messages only.

    Attributes:
        after: After this position.
        last: With this number of the newest messages of each topic.
        latest: With the newest message of each topic that matches.
    """

    after: int | None = None
    last: int | None = None
    latest: bool = False


def as_text(message: Message) -> bytes:
    """Return a message as ``topic: content``."""
    return f"{message.topic}: {content_of(message)}\n".encode()


def as_json(message: Message) -> bytes:
    """Return a whole message as a line of JSON."""
    return json_line(message) + b"\n"


async def follow(
    login: PipelineLogin,
    topics: Sequence[str],
    render: Render,
    begin: Begin,
    *,
    count: int | None,
    timeout: float | None,
) -> ExitCode:
    """Write messages to standard output, ``count`` of them or without end.

    Args:
        login: Services and credentials.
        topics: Topics and patterns to subscribe to.
        render: Converts a message to a line.
        begin: Where to begin.
        count: Number of messages to write; None for no limit.
        timeout: Seconds without a message after which to give up; None for no limit.

    Raises:
        FanlineError: If a topic is refused, or no message came within ``timeout``.
        BrokenPipeError: If standard output was closed.
    """
    subscriber = Subscriber(
        *topics,
        url=login.subscriber_url,
        user=login.user,
        password=login.password,
        tls=login.tls,
        after=begin.after,
        last=begin.last,
        latest=begin.latest,
        on_gap=tell_gap,
        on_state=ConnectionNotices(),
    )
    output = sys.stdout.buffer
    written = 0
    async with while_output_is_read(), subscriber:
        while count is None or written < count:
            if not subscriber.waiting:
                output.flush()
            output.write(render(await _next(subscriber, timeout)))
            written += 1
    output.flush()
    return ExitCode.DONE


def tell_gap(gap: Gap) -> None:
    """Print which messages are missing."""
    tell(explain_gap(gap))


def explain_gap(gap: Gap) -> str:
    """Return a sentence about missing messages and the reason."""
    where = gap.topic or "all subscriptions"
    if gap.first is None:
        return f"{where}: messages of the interruption are lost, because msgqueue keeps no positions"
    return f"{where}: positions {gap.first} to {gap.last} are missing, because retention has removed them"


async def _next(subscriber: Subscriber, timeout: float | None) -> Message:
    try:
        async with asyncio.timeout(timeout):
            return await anext(subscriber)
    except TimeoutError:
        raise Disconnected(subscriber.problem or f"no message for {timeout:g} s") from None
