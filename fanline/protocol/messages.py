"""Messages: new, stored, and in pages of the log.

A message on its way in is one JSON object::

    {"topic": "orders.eu", "content": <any JSON>, "id": "a1", "from": "hello", "type": "join"}

and a stored one has its position and time as well::

    {"topic": "orders.eu", "content": <any JSON>, "seq": 42, "time": 1795209095123, "id": "a1",
     "from": "hello"}

``id``, ``from``, ``type`` and ``traceparent`` (W3C Trace Context) are left out where they have their default.
The content is never parsed on the way: it travels as the publisher's own bytes.
:mod:`fanline.protocol.codec` has the spelling of each dialect.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fanline.protocol.content import FLAT_BYTES, check_content
from fanline.protocol.errors import ErrorCode, Rejected
from fanline.protocol.topics import is_topic, require_topic

MAX_ID_LENGTH: Final = 128
MESSAGE_TYPES: Final = frozenset({"message", "join", "add", "remove", "leave", "close"})

# Version, trace, parent, flags (W3C Trace Context, 3.2.2); an id of zeros alone is none.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)

# The highest that a store can count to.
MAX_POSITION: Final = (1 << 63) - 1


class NewMessage(msgspec.Struct, omit_defaults=True):
    """A message for the log, without a position yet."""

    topic: str
    content: msgspec.Raw
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"
    traceparent: str | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message as it is stored and delivered.

    Attributes:
        topic: Where it was published.
        content: Its JSON text, byte for byte as it was published; :meth:`value` parses it.
        seq: Its position in the one log; strictly increasing over all topics.
        time: When it was committed, in Unix milliseconds.
        id: The publisher's idempotency key, if it gave one.
        sender: The user who published it (``from`` on the wire).
        type: ``"message"``, or the kind of presence event.
        traceparent: The trace that its publisher has named, if any.
    """

    topic: str
    content: msgspec.Raw
    seq: int
    time: int
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"
    traceparent: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The id of its trace; None without one."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]

    def value(self) -> Any:
        """Return the content as Python objects."""
        return msgspec.json.decode(self.content)


class Record(NamedTuple):
    """A stored message: what routing needs, and the bytes to send.

    ``body`` is the v1 JSON object of the message: it is encoded once, when the message is committed, and
    handed on unchanged from there to the last subscriber.
    """

    seq: int
    topic: str
    body: bytes


class GapRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Positions, first and last, of removed or damaged messages.

    Retention has removed them.
    """

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    topic: str | None = None


class Page(NamedTuple):
    """Part of the log.

    Attributes:
        records: Those asked for, in order.
        position: How far the log was read: the next page begins after it. With a filter it can lie
            after the last record, and advance where there is no record at all.
        gap: Positions before the records that are damaged, and left out.
    """

    records: Sequence[Record]
    position: int
    gap: GapRange | None = None


def parse_position(name: str, text: str) -> int:
    """Read a position, or a count, that was written in decimal digits.

    Args:
        name: Of the parameter, for the error.
        text: ASCII digits; leading zeros do no harm.

    Raises:
        Rejected: If it is no whole number from 0 to :data:`MAX_POSITION`.
    """
    if text.isascii() and text.isdigit() and len(text) < 20 and (value := int(text)) <= MAX_POSITION:
        return value
    most = f"to {MAX_POSITION:,}" if text.isdigit() else "on"
    reason = f"{name} must be a whole number from 0 {most}, and is {text[:40]!a}"
    raise Rejected(ErrorCode.BAD_POSITION, reason)


def check_message(message: NewMessage, *, max_content: int) -> Rejected | None:
    """Return why a decoded message cannot be accepted, or None.

    A ``traceparent`` that is not valid is removed, as W3C Trace Context (3.3) has it.

    Args:
        message: As a publisher sent it.
        max_content: Largest content allowed, in bytes.
    """
    message_id = message.id
    if not is_topic(message.topic):
        return _refuse_topic(message)
    if message_id is not None and not (0 < len(message_id) <= MAX_ID_LENGTH and message_id.isprintable()):
        reason = f"an id has 1 to {MAX_ID_LENGTH} characters, none of them a control character"
        return Rejected(ErrorCode.BAD_ID, reason)
    if message.type not in MESSAGE_TYPES:
        reason = f"type must be one of {', '.join(sorted(MESSAGE_TYPES))}"
        return Rejected(ErrorCode.BAD_MESSAGE, reason, message.id)
    if message.traceparent is not None and not _TRACEPARENT.fullmatch(message.traceparent):
        message.traceparent = None
    if len(message.content) > min(FLAT_BYTES, max_content):
        rejected = check_content(bytes(message.content), max_bytes=max_content)
        if rejected is not None:
            rejected.id = message_id
            return rejected
    return None


def _refuse_topic(message: NewMessage) -> Rejected | None:
    try:
        require_topic(message.topic)
    except Rejected as rejected:
        rejected.id = message.id
        return rejected
    return None
