"""Search of the log by topic, user, id or position.

The effort is bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Message, PageAnswer, Read

# Records that one request looks at, newest first; the answer says where to go on.
BUDGET: Final = 10_000
_PAGE: Final = 500

# Contents above this are shown by their beginning, except of a message that is asked for by its position.
SHOWN_BYTES: Final = 4_096
PREVIEW_BYTES: Final = 512

ReadPage = Callable[[Read], Awaitable[PageAnswer]]

_decode: Final = msgspec.json.Decoder(Message).decode


class FoundMessage(msgspec.Struct, omit_defaults=True):
    """A message of the log.

    Attributes:
        seq: Its position.
        topic: Where it was published.
        time: When it was committed, in Unix milliseconds.
        size: Bytes of its content.
        sender: The user who published it (``from`` on the wire).
        id: The publisher's idempotency key.
        type: ``message``, or the kind of presence event.
        content: Its content; left out if it is large.
        preview: Then the beginning of its JSON.
    """

    seq: int
    topic: str
    time: int
    size: int
    sender: str | None = msgspec.field(name="from", default=None)
    id: str | None = None
    type: str = "message"
    content: msgspec.Raw | None = None
    preview: str | None = None


class FoundMessages(msgspec.Struct):
    """Messages, the newest first.

    Attributes:
        messages: Those found.
        looked_at: How many were looked at.
        next: Position before which to go on, as ``before``; null at the beginning of the log.
        last: Where the log ends.
    """

    messages: list[FoundMessage]
    looked_at: int
    next: int | None
    last: int


class TopicPage(msgspec.Struct):
    """Topics, each with its newest message, in the order of these.

    Attributes:
        topics: The newest message of each.
        until: Up to which position they are the newest; to be given for the next page.
        next: Position after which to go on, as ``after``; null at the end.
    """

    topics: list[FoundMessage]
    until: int
    next: int | None


@dataclass(frozen=True, kw_only=True)
class Query:
    """Description of the messages to find.

    Attributes:
        pattern: A topic or pattern.
        user: Only messages of this user; None for all.
        id: Only messages with this id; None for all.
        before: Only those before this position; None for the newest.
        limit: Most messages to return.
    """

    pattern: str
    user: str | None = None
    id: str | None = None
    before: int | None = None
    limit: int = 50

    def matches(self, message: Message) -> bool:
        """Return whether a message of a matching topic is wanted."""
        return self.user in (None, message.sender) and self.id in (None, message.id)


async def search(read: ReadPage, query: Query, *, budget: int = BUDGET) -> FoundMessages:
    """Return the newest messages that a query describes.

    Args:
        read: Reads a page of the log.
        query: Which messages.
        budget: Records to look at, at most; rounded up to a page.

    Raises:
        Rejected: If the log cannot be read.
    """
    found = FoundMessages([], 0, query.before, 0)
    is_filtered = query.user is not None or query.id is not None
    while found.looked_at < budget:
        limit = _PAGE if is_filtered else query.limit - len(found.messages)
        page = await read(Read([query.pattern], before=found.next, limit=limit))
        found.last = max(found.last, page.last)
        if not page.messages:
            found.next = None
            break
        for body in reversed(page.messages):
            message = _decode(body)
            found.looked_at += 1
            found.next = message.seq
            if query.matches(message):
                found.messages.append(show(message))
                if len(found.messages) >= query.limit:
                    return found
        await asyncio.sleep(0)
    return found


async def message_at(read: ReadPage, position: int, pattern: str) -> FoundMessages:
    """Return the message at a position, with its whole content.

    The result has no message if there is none.

    Raises:
        Rejected: If the log cannot be read.
    """
    page = await read(Read([pattern], before=position + 1, limit=1))
    found = FoundMessages([], len(page.messages), position or None, page.last)
    message = _decode(page.messages[0]) if page.messages else None
    if message is not None and message.seq == position:
        found.messages.append(show(message, most=len(message.content)))
    return found


async def list_topics(read: ReadPage, pattern: str, *, after: int, until: int, limit: int) -> TopicPage:
    """Return a page of topics.

    Args:
        read: Reads a page of the log.
        pattern: Which topics.
        after: Only those whose newest message has a higher position.
        until: Up to which position messages count.
        limit: Most topics to return.

    Raises:
        Rejected: If the log cannot be read.
    """
    page = await read(Read([pattern], after=after, latest=until, limit=limit))
    shown = [show(_decode(body), most=PREVIEW_BYTES) for body in page.messages]
    is_end = page.position >= until or page.position <= after
    return TopicPage(shown, until, None if is_end else page.position)


def show(message: Message, *, most: int = SHOWN_BYTES) -> FoundMessage:
    """Return a message for display, with content of at most ``most`` bytes.

    A larger content has a preview.
    """
    size = len(message.content)
    shown = FoundMessage(
        message.seq, message.topic, message.time, size, message.sender, message.id, message.type
    )
    if size <= most:
        shown.content = message.content
    else:
        shown.preview = bytes(memoryview(message.content)[:PREVIEW_BYTES]).decode(errors="ignore")
    return shown


def require_one_of(position: int | None, others: tuple[object, ...]) -> None:
    """Refuse a position together with what else describes messages.

    Raises:
        Rejected: If both are given.
    """
    if position is not None and any(other is not None for other in others):
        raise Rejected(ErrorCode.BAD_COMMAND, "position goes with topic only")
