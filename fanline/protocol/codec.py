"""The two dialects, and a codec for each between messages and frames.

In *v1* a frame is one JSON object or an array of them, with the field names of
:mod:`fanline.protocol.messages`. In the *plain* dialect, that of the original Go services, a frame is one
object whose fields are spelled ``Topic`` and ``Content``, read without regard to case, and ``Content`` is
always a string, because the original readers stop at anything else.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, Protocol, Self

import msgspec

from fanline.protocol.arrays import as_rejected, decode_messages, decode_new, decode_or_refuse, split_array
from fanline.protocol.content import check_readable, may_be_unreadable
from fanline.protocol.errors import ErrorCode, Rejected
from fanline.protocol.messages import Message, NewMessage, Record
from fanline.protocol.subscribe import (
    SubscribeRequest,
    SubscriberNotice,
    UnsubscribeRequest,
    decode_subscriber_notice,
)

SUBPROTOCOL: Final = "fanline.v1"
CHAT_SUBPROTOCOL: Final = "fanline.chat.v1"

# Requests of a subscriber in one frame, which then fits in the 64 KiB that a service takes.
REQUESTS_PER_FRAME: Final = 50

Delivery = Message | SubscriberNotice
Request = SubscribeRequest | UnsubscribeRequest


class _PlainIn(msgspec.Struct):
    """The usual spelling of a plain message; any other goes through :func:`fold_fields`."""

    topic: str = msgspec.field(name="Topic")
    content: msgspec.Raw = msgspec.field(name="Content")


class _V1Out(Message, frozen=True):
    """A message in v1, of which a plain queue fills two fields."""

    seq: int = 0
    time: int = 0


class _PlainOut(msgspec.Struct, omit_defaults=True):
    """A message in plain; original programs ignore all but two fields."""

    topic: str = msgspec.field(name="Topic")
    content: str = msgspec.field(name="Content")
    seq: int = 0
    time: int = 0
    id: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    type: str = "message"
    traceparent: str | None = None


class _Header(msgspec.Struct):
    seq: int
    topic: str


_EMPTY: Final = msgspec.Raw(b'""')

encode = msgspec.json.Encoder().encode

_decode_content = msgspec.json.Decoder(msgspec.Raw).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_plain_in = msgspec.json.Decoder(_PlainIn).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_v1_out = msgspec.json.Decoder(_V1Out).decode
_decode_header = msgspec.json.Decoder(_Header).decode
decode_message = msgspec.json.Decoder(Message).decode


class Codec(Protocol):
    """Frames in the spelling of one dialect."""

    def decode_published(self, frame: bytes) -> list[NewMessage | Rejected]:
        """Read what a publisher sent in one frame.

        Returns:
            One entry per message, in order; where a message cannot be read its entry is the refusal to
            send. A frame without messages (an empty one, or ``[]``) gives an empty list.
        """
        ...

    def encode_published(self, message: NewMessage) -> bytes:
        """Return the frame that publishes one message."""
        ...

    def encode_delivery(self, body: bytes) -> bytes:
        """Return a stored message's JSON text, given it in v1."""
        ...

    def decode_deliveries(self, frame: bytes) -> Iterator[Delivery]:
        """Yield the deliveries of a frame, without those of unknown types.

        Raises:
            msgspec.DecodeError: If the frame is not JSON.
        """
        ...

    def encode_requests(self, requests: Sequence[Request]) -> list[bytes]:
        """Return the frames that carry a subscriber's requests."""
        ...


class V1Codec:
    """The dialect ``fanline.v1``."""

    def decode_published(self, frame: bytes) -> list[NewMessage | Rejected]:
        """Read one message, or an array of them."""
        if (rejected := _check_utf8(frame)) is not None:
            return [rejected]
        stripped = frame.lstrip()
        if not stripped:
            return []
        is_array = stripped.startswith(b"[")
        return _readable(frame, decode_messages(frame) if is_array else [decode_or_refuse(decode_new, frame)])

    def encode_published(self, message: NewMessage) -> bytes:
        """Return a message with all of its fields."""
        return encode(message)

    def encode_delivery(self, body: bytes) -> bytes:
        """Return the text unchanged."""
        return body

    def decode_deliveries(self, frame: bytes) -> Iterator[Delivery]:
        """Yield messages and notices."""
        for body in split_array(frame):
            try:
                yield decode_message(body)
                continue
            except msgspec.ValidationError:
                pass
            try:
                message = _decode_v1_out(body)
            except msgspec.ValidationError:
                pass
            else:
                yield Message(message.topic, message.content, seq=0, time=0)
                continue
            try:
                yield decode_subscriber_notice(body)
            except msgspec.ValidationError:
                continue

    def encode_requests(self, requests: Sequence[Request]) -> list[bytes]:
        """Return frames with several of them each."""
        starts = range(0, len(requests), REQUESTS_PER_FRAME)
        return [encode(requests[start : start + REQUESTS_PER_FRAME]) for start in starts]


class PlainCodec:
    """The dialect of the original Go services."""

    def decode_published(self, frame: bytes) -> list[NewMessage | Rejected]:
        """Read one message."""
        if (rejected := _check_utf8(frame)) is not None:
            return [rejected]
        return _readable(frame, [decode_or_refuse(_decode_plain, frame)]) if frame.strip() else []

    def encode_published(self, message: NewMessage) -> bytes:
        """Return the topic, and the content as a string."""
        return encode(_PlainOut(topic=message.topic, content=_as_text(message.content)))

    def encode_delivery(self, body: bytes) -> bytes:
        """Return the message with its content as a string.

        The other fields are as in v1.
        """
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
                traceparent=message.traceparent,
            )
        )

    def decode_deliveries(self, frame: bytes) -> Iterator[Delivery]:
        """Yield the one message of the frame; it has no position."""
        message = decode_plain(frame)
        yield Message(message.topic, message.content, seq=0, time=0)

    def encode_requests(self, requests: Sequence[Request]) -> list[bytes]:
        """Return a frame for each; the plain dialect has no options."""
        return [
            encode(
                _PlainOut(request.sub, "sub")
                if isinstance(request, SubscribeRequest)
                else _PlainOut(request.unsub, "unsub")
            )
            for request in requests
        ]


class Dialect(StrEnum):
    """Spelling of a connection's frames, chosen by subprotocol when it opens."""

    codec: Codec

    PLAIN = "plain", PlainCodec()
    V1 = "v1", V1Codec()

    def __new__(cls, name: str, codec: Codec) -> Self:
        """Return the member of this name, with its codec."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.codec = codec
        return member


# What both sides of every endpoint use.


def decode_content(text: bytes) -> msgspec.Raw:
    """Return a JSON text's content, without the whitespace around it.

    It is not changed otherwise.

    Raises:
        Rejected: If the text is not JSON that readers can hold.
    """
    if (rejected := _check_utf8(text)) is not None:
        raise rejected
    try:
        content = _decode_content(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise as_rejected(error) from None
    if (rejected := check_readable(bytes(content))) is not None:
        raise rejected
    return content


def decode_record(body: bytes) -> Record:
    """Return the record that a message's v1 JSON text stands for.

    Raises:
        msgspec.ValidationError: If it is JSON, but not a stored message.
    """
    header = _decode_header(body)
    return Record(header.seq, header.topic, body)


def decode_records(frame: bytes) -> list[Record]:
    """Return the records of a v1 frame; other frames have none.

    Raises:
        msgspec.DecodeError: If the frame is not JSON, or what has a position is not a stored message.
    """
    records: list[Record] = []
    for body in split_array(frame):
        try:
            records.append(decode_record(body))
        except msgspec.ValidationError:
            if "seq" in _decode_fields(body):
                raise
    return records


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
    """Return a JSON object's fields under lower-case names.

    Of two names that differ only in case the last one counts.

    Raises:
        msgspec.DecodeError: If the frame is not a JSON object.
    """
    return {name.lower(): value for name, value in _decode_fields(frame).items()}


def _readable(frame: bytes, entries: list[NewMessage | Rejected]) -> list[NewMessage | Rejected]:
    """Refuse messages that no reader could hold.

    For most frames one look decides.
    """
    if len(entries) == 1 and isinstance(entries[0], Rejected):
        return entries  # of a large frame, as a rule
    return [_require_readable(entry) for entry in entries] if may_be_unreadable(frame) else entries


def _require_readable(entry: NewMessage | Rejected) -> NewMessage | Rejected:
    if isinstance(entry, Rejected) or (rejected := check_readable(bytes(entry.content))) is None:
        return entry
    rejected.id = entry.id
    return rejected


def _check_utf8(frame: bytes) -> Rejected | None:
    try:
        # msgspec does not look into the strings of a Raw, and invalid UTF-8
        # handed on would make every receiver close its connection (RFC 6455, 8.1).
        frame.decode()
    except UnicodeDecodeError:
        return Rejected(ErrorCode.BAD_JSON, "what was sent is not valid UTF-8")
    return None


def _decode_plain(frame: bytes) -> NewMessage:
    try:
        message = _decode_plain_in(frame)
    except msgspec.ValidationError:
        fields = fold_fields(frame)
        topic = _decode_text(fields.get("topic", _EMPTY))
        return NewMessage(topic, fields.get("content", _EMPTY))
    return NewMessage(message.topic, message.content)


def _as_text(content: msgspec.Raw) -> str:
    """Return a string as it is, other content as JSON text."""
    data = bytes(content)
    return _decode_text(data) if data.startswith(b'"') else data.decode()
