"""What the services say to a client, and what a subscriber says to them.

Fields and whole frames that are not known here are ignored, so that a newer service can say more.
"""

from typing import Final

import msgspec


class Drain(msgspec.Struct):
    """The service stops: come back after this many milliseconds."""

    retry_ms: float


class Answer(msgspec.Struct):
    """Anything that a publisher is told: an ack, a refusal, or a drain notice."""

    ok: str | None | msgspec.UnsetType = msgspec.UNSET
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
    unsubscribed: str | None = None
    seq: int | None = None
    gap: Stretch | None = None
    error: str | None = None
    reason: str = ""
    sub: str | None = None
    drain: Drain | None = None


class Subscribe(msgspec.Struct, frozen=True, omit_defaults=True):
    """Asks for a pattern: what follows ``after``, or the ``last`` so many and then the rest, or what is new."""

    sub: str
    after: int | None = None
    last: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """Asks for no more of a pattern."""

    unsub: str


decode_answer: Final = msgspec.json.Decoder(Answer).decode
decode_notice: Final = msgspec.json.Decoder(Notice).decode
