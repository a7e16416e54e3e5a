"""``pub``: publish one message or every line of standard input."""

from collections.abc import AsyncIterator, Callable

import msgspec

from clientdemo.commands.batch import LineError, send_lines
from clientdemo.console.grammar import Mistake, parse_send
from clientdemo.exit_codes import ConnectionNotices, ExitCode
from clientdemo.login import PipelineLogin
from fanline import Publisher, PublishResult


class Item(msgspec.Struct):
    """One message to publish: its content is JSON text."""

    topic: str
    content: msgspec.Raw
    id: str | None = None


Parse = Callable[[str], Item | None]


def read_text(topic: str | None) -> Parse:
    """Return a parser of lines: for ``topic``, or ``TOPIC message words``."""
    if topic is not None:
        return lambda line: Item(topic, msgspec.Raw(msgspec.json.encode(line)))
    return _read_topic_and_words


def read_json(topic: str | None) -> Parse:
    """Return a parser of JSON lines: contents, or whole messages.

    Contents are for one topic.
    """
    if topic is not None:
        return lambda line: Item(topic, msgspec.Raw(line.encode()))
    return _read_object


async def publish_one(login: PipelineLogin, item: Item, *, timeout: float) -> ExitCode:
    """Publish one message; print its position.

    Raises:
        FanlineError: If it was not stored.
    """
    async with _publisher(login) as publisher:
        ack = await publisher.publish(item.topic, item.content, id=item.id, timeout=timeout)
    again = " before, under the same id," if ack.duplicate else ""
    print(f"stored{again} at {ack.seq}")  # noqa: T201 - this is a command line
    return ExitCode.DONE


async def publish_lines(
    login: PipelineLogin, lines: AsyncIterator[bytes | None], parse: Parse, *, timeout: float
) -> ExitCode:
    """Publish every line; report the lines that fail.

    Args:
        login: Services and credentials.
        lines: The lines; None stands for one that is too long.
        parse: Converts a line to a message, or to None if it is blank.
        timeout: Seconds to wait for the ack of a message before giving up.

    Raises:
        FanlineError: If a message was not acknowledged in time.
    """
    async with _publisher(login) as publisher:

        async def send(line: str) -> PublishResult | None:
            item = parse(line)
            if item is None:
                return None
            return await publisher.send(item.topic, item.content, id=item.id)

        return await send_lines(lines, send, problem=lambda: publisher.problem, timeout=timeout)


def _publisher(login: PipelineLogin) -> Publisher:
    return Publisher(
        login.publisher_url,
        user=login.user,
        password=login.password,
        tls=login.tls,
        on_state=ConnectionNotices(),
    )


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
