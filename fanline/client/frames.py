"""What the services say to a client, and what a subscriber says to them.

Fields and whole frames that are not known here are ignored, so that a newer service can say more.
"""

from typing import Final

import msgspec

from fanline.protocol.message import Message, decode_message, decode_plain, encode


class Drain(msgspec.Struct):
    """The service stops: come back after this many milliseconds."""

    retry_ms: float


class Answer(msgspec.Struct):
    """Anything that a publisher is told: an ack, a refusal, or a drain notice."""

    ok: str | msgspec.UnsetType | None = msgspec.UNSET
    seq: int = 0
    duplicate: bool = False
    error: str | None = None
    reason: str = ""
    id: str | None = None
    drain: Drain | None = None


class Stretch(msgspec.Struct):
    """Positions that are missing, both ends included."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    topic: str | None = None


class Notice(msgspec.Struct):
    """Anything that a subscriber is told, other than a message."""

    subscribed: str | None = None
    seq: int | None = None
    unsubscribed: str | None = None
    gap: Stretch | None = None
    error: str | None = None
    reason: str = ""
    sub: str | None = None
    unsub: str | None = None
    drain: Drain | None = None


class _Unnumbered(msgspec.Struct):
    """A message from a queue that keeps no positions."""

    topic: str
    content: msgspec.Raw


class Subscribe(msgspec.Struct, frozen=True, omit_defaults=True):
    """Asks for a pattern: from behind ``after``, from the ``last`` so many, or else from now on."""

    sub: str
    after: int | None = None
    last: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """Asks for no more of a pattern."""

    unsub: str


class _PlainCommand(msgspec.Struct):
    topic: str = msgspec.field(name="Topic")
    content: str = msgspec.field(name="Content")


def spell_plain(command: Subscribe | Unsubscribe) -> bytes:
    """Return a command in the plain dialect, which has no options."""
    if isinstance(command, Subscribe):
        return encode(_PlainCommand(command.sub, "sub"))
    return encode(_PlainCommand(command.unsub, "unsub"))


def decode_plain_delivery(frame: bytes) -> Message:
    """Read a message of the plain dialect.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    message = decode_plain(frame)
    return Message(message.topic, message.content, seq=0, time=0)


decode_answer: Final = msgspec.json.Decoder(Answer).decode
_decode_notice: Final = msgspec.json.Decoder(Notice).decode
_decode_unnumbered: Final = msgspec.json.Decoder(_Unnumbered).decode


def decode_delivery(body: bytes) -> Message | Notice:
    """Read one thing that a subscriber is told; most are messages.

    Raises:
        msgspec.ValidationError: If it is JSON, but nothing that is known here.
        msgspec.DecodeError: If it is not JSON.
    """
    try:
        return decode_message(body)
    except msgspec.ValidationError:
        pass
    try:
        message = _decode_unnumbered(body)
    except msgspec.ValidationError:
        return _decode_notice(body)
    return Message(message.topic, message.content, seq=0, time=0)
