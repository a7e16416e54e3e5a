"""``pub``: publish one message, or every line of standard input, and end well only if all are stored."""

from collections.abc import AsyncIterator, Callable

import msgspec

from clientdemo.batch import LineError, send_lines
from clientdemo.exit_codes import ExitCode, Watch
from clientdemo.grammar import Mistake, parse_send
from clientdemo.login import Login
from fanline.client import Publisher, PublishResult


class Item(msgspec.Struct):
    """One message to publish: its content is JSON text."""

    topic: str
    content: msgspec.Raw
    id: str | None = None


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

        async def send(line: str) -> PublishResult | None:
            item = parse(line)
            if item is None:
                return None
            return await publisher.send(item.topic, item.content, id=item.id)

        return await send_lines(lines, send, problem=lambda: publisher.problem, timeout=timeout)


def _publisher(login: Login) -> Publisher:
    return Publisher(
        login.publisher_url, user=login.user, password=login.password, tls=login.tls, on_state=Watch()
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
