"""Messages, and the codec between them and the wire.

A message on its way in, one JSON object or an array of them to a frame::

    {"topic": "orders.eu", "content": <any JSON>, "id": "a1", "from": "hello", "type": "join"}

and on its way out, one object to a frame for an end client, an array between services::

    {"topic": "orders.eu", "content": <any JSON>, "seq": 42, "time": 1795209095123, "id": "a1",
     "from": "hello"}

``id``, ``from`` and ``type`` are left out where they say nothing. That is the v1 dialect. In the *plain*
dialect, that of the original Go services, the first two fields are spelled ``Topic`` and ``Content``, read
without regard to case, and ``Content`` is always a string, because their readers stop at anything else.

``content`` is never parsed on the way: it travels as the publisher's own bytes.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from fanline.protocol.errors import ErrorCode, Rejected
from fanline.protocol.topics import require_topic

SUBPROTOCOL: Final = "fanline.v1"

MAX_ID_LENGTH: Final = 128
MAX_DEPTH: Final = 64
MESSAGE_TYPES: Final = frozenset({"message", "join", "add", "remove", "leave", "close"})

# Possessive, because what there is to go back to would be kept for every byte.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))


class Dialect(StrEnum):
    """How a connection spells its frames; chosen by subprotocol when it opens."""

    PLAIN = "plain"
    V1 = "v1"


class NewMessage(msgspec.Struct, omit_defaults=True):
    """A message on its way to the log: it has no position yet."""

    topic: str
    content: msgspec.Raw
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"


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
    """

    topic: str
    content: msgspec.Raw
    seq: int
    time: int
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"

    def value(self) -> Any:
        """Return the content as Python objects."""
        return msgspec.json.decode(self.content)


class Record(NamedTuple):
    """A stored message with what routing needs, and the bytes that carry it.

    ``body`` is the v1 JSON object of the message: it is encoded once, when the message is committed, and
    handed on unchanged from there to the last subscriber.
    """

    seq: int
    topic: str
    body: bytes


class Page(NamedTuple):
    """A stretch of the log.

    Attributes:
        records: Those asked for, in order.
        position: How far the log was looked at: the next page begins after it. With a filter it can lie
            beyond the last record, and advance where there is no record at all.
    """

    records: Sequence[Record]
    position: int


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """The queue's word that a message is on disk."""

    ok: str | None
    seq: int
    duplicate: bool = False


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wire form of :class:`~fanline.errors.Rejected`."""

    error: str
    reason: str
    id: str | None = None


class _PlainIn(msgspec.Struct):
    """The usual spelling of a plain message; any other goes through :func:`fold_fields`."""

    topic: str = msgspec.field(name="Topic")
    content: msgspec.Raw = msgspec.field(name="Content")


class _V1Out(msgspec.Struct):
    """A message in v1, of which a queue that speaks the plain dialect gives the first two fields only."""

    topic: str
    content: msgspec.Raw
    seq: int = 0
    time: int = 0
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"


class _PlainOut(msgspec.Struct, omit_defaults=True):
    topic: str = msgspec.field(name="Topic")
    content: str = msgspec.field(name="Content")
    seq: int = 0
    time: int = 0
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"


class _Header(msgspec.Struct):
    seq: int
    topic: str


_EMPTY: Final = msgspec.Raw(b'""')

encode = msgspec.json.Encoder().encode

_decode_new = msgspec.json.Decoder(NewMessage).decode
_decode_many_new = msgspec.json.Decoder(list[NewMessage]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_plain_in = msgspec.json.Decoder(_PlainIn).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_v1_out = msgspec.json.Decoder(_V1Out).decode
_decode_header = msgspec.json.Decoder(_Header).decode
decode_message = msgspec.json.Decoder(Message).decode


def decode_published(frame: bytes, dialect: Dialect) -> list[NewMessage | Rejected]:
    """Read what a publisher sent in one frame.

    Args:
        frame: The frame's payload.
        dialect: How the publisher spells it.

    Returns:
        One entry per message, in order; where a message cannot be taken its entry is the refusal to send.
        A frame without messages (an empty one, or ``[]``) gives an empty list.
    """
    try:
        # Not for the text: msgspec does not look into the strings of a Raw, and invalid UTF-8
        # handed on would make every receiver close its connection (RFC 6455, 8.1).
        frame.decode()
    except UnicodeDecodeError:
        return [Rejected(ErrorCode.BAD_JSON, "the frame is not valid UTF-8")]
    if not frame.strip():
        return []
    if dialect is Dialect.PLAIN:
        return [_checked(_decode_plain, frame)]
    if frame.lstrip().startswith(b"["):
        return _decode_array(frame)
    return [_checked(_decode_new, frame)]


def check_message(message: NewMessage, *, max_content: int) -> Rejected | None:
    """Return why a decoded message cannot be taken, or None if it can.

    Args:
        message: As a publisher sent it.
        max_content: Largest content allowed, in bytes.
    """
    if rejected := _refused_topic(message):
        return rejected
    if len(message.content) > max_content:
        reason = f"the content has {len(message.content):,} bytes, and {max_content:,} are allowed"
        return Rejected(ErrorCode.TOO_BIG, reason, message.id)
    if message.id is not None and not _is_id(message.id):
        reason = f"an id has 1 to {MAX_ID_LENGTH} characters, none of them a control character"
        return Rejected(ErrorCode.BAD_ID, reason)
    if message.type not in MESSAGE_TYPES:
        reason = f"type must be one of {', '.join(sorted(MESSAGE_TYPES))}"
        return Rejected(ErrorCode.BAD_MESSAGE, reason, message.id)
    if _is_deep(message.content):
        reason = f"the content is nested more than {MAX_DEPTH} levels deep"
        return Rejected(ErrorCode.TOO_DEEP, reason, message.id)
    return None


def refusal(rejected: Rejected) -> Refusal:
    """Return the wire form of a refusal."""
    return Refusal(rejected.code, rejected.reason, rejected.id)


def join_array(bodies: Sequence[bytes]) -> bytes:
    """Return the JSON array of values that are encoded already."""
    return b"[" + b",".join(bodies) + b"]"


def split_array(frame: bytes) -> Iterator[bytes]:
    """Yield the JSON text of each element of an array, or of the one value that is not an array.

    Raises:
        msgspec.DecodeError: If the frame is not JSON.
    """
    if not frame.lstrip().startswith(b"["):
        yield frame
        return
    for element in _decode_raws(frame):
        yield bytes(element)


def decode_record(body: bytes) -> Record:
    """Return the record that a message's v1 JSON text stands for.

    Raises:
        msgspec.ValidationError: If it is JSON, but not a stored message.
    """
    header = _decode_header(body)
    return Record(header.seq, header.topic, body)


def to_plain(body: bytes) -> bytes:
    """Return a v1 message's JSON text in the plain dialect."""
    message = _decode_v1_out(body)
    return encode(
        _PlainOut(
            topic=message.topic,
            content=_as_text(message.content),
            seq=message.seq,
            time=message.time,
            id=message.id,
            sender=message.sender,
            type=message.type,
        )
    )


def decode_new(body: bytes) -> NewMessage:
    """Read one v1 message that has no position yet.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    return _decode_new(body)


def plain_from_new(message: NewMessage) -> bytes:
    """Return a message that has no position yet in the plain dialect, for a plain neighbour."""
    return encode(_PlainOut(topic=message.topic, content=_as_text(message.content)))


def decode_plain(frame: bytes) -> NewMessage:
    """Read one message of the plain dialect.

    Raises:
        msgspec.DecodeError: If the frame is not JSON in valid UTF-8, not an object with a string for a
            topic, or nested too deep.
    """
    try:
        frame.decode()
        return _decode_plain(frame)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def fold_fields(frame: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of a JSON object under lower-case names; of two alike the last one counts.

    Raises:
        msgspec.DecodeError: If the frame is not a JSON object.
    """
    return {name.lower(): value for name, value in _decode_fields(frame).items()}


def _decode_plain(frame: bytes) -> NewMessage:
    try:
        message = _decode_plain_in(frame)
    except msgspec.ValidationError:
        fields = fold_fields(frame)
        topic = _decode_text(fields.get("topic", _EMPTY))
        return NewMessage(topic, fields.get("content", _EMPTY))
    return NewMessage(message.topic, message.content)


def _decode_array(frame: bytes) -> list[NewMessage | Rejected]:
    try:
        return list(_decode_many_new(frame))
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        elements = _decode_raws(frame)
    except (msgspec.DecodeError, RecursionError) as error:
        return [_refused_json(error)]
    return [_checked(_decode_new, bytes(element)) for element in elements]


def _checked(decode: Any, data: bytes) -> NewMessage | Rejected:
    try:
        message: NewMessage = decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        return _refused_json(error)
    return message


def _refused_json(error: Exception) -> Rejected:
    if isinstance(error, msgspec.ValidationError):
        return Rejected(ErrorCode.BAD_MESSAGE, f'expected {{"topic", "content", "id"?}}: {error}')
    if isinstance(error, RecursionError):
        return Rejected(ErrorCode.TOO_DEEP, f"the frame is nested more than {MAX_DEPTH} levels deep")
    return Rejected(ErrorCode.BAD_JSON, f"the frame is not JSON: {error}")


def _refused_topic(message: NewMessage) -> Rejected | None:
    try:
        require_topic(message.topic)
    except Rejected as rejected:
        rejected.id = message.id
        return rejected
    return None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ID_LENGTH and text.isprintable()


def _is_deep(content: msgspec.Raw) -> bool:
    """Whether JSON text is nested too deep; counting brackets first spares nearly all of it the rest."""
    data = bytes(content)
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", data).translate(_TO_SQUARE, delete=_NO_BRACKET)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # takes off the innermost level, everywhere
    return bool(brackets)


def _as_text(content: msgspec.Raw) -> str:
    """Return the string that content is, or the JSON text of any other content."""
    data = bytes(content)
    return _decode_text(data) if data.startswith(b'"') else data.decode()
