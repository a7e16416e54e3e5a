"""Answers to publishers, on ``/publish``, ``/pushmsg`` and in a chat room.

::

    {"ok": "a1", "seq": 42}                              on disk, at this position
    {"ok": "a1", "seq": 42, "duplicate": true}           it was stored before, under the same id
    {"error": "too-big", "reason": "…", "id": "a1"}      refused
    {"error": "rate-limited", "reason": "…", "id": "a1", "retry_ms": 1000}
    {"drain": {"retry_ms": 812}}                         the service stops: come back later

Fields and whole frames that are not known here are ignored, so that a newer service can say more.
"""

from typing import Final

import msgspec

from fanline.protocol.errors import Rejected


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says that a message is on disk."""

    ok: str | None
    seq: int
    duplicate: bool = False


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wire form of :class:`~fanline.protocol.errors.Rejected`."""

    error: str
    reason: str
    id: str | None = None
    retry_ms: int | None = None


class Drain(msgspec.Struct):
    """The service stops: come back after this many milliseconds."""

    retry_ms: float


class DrainNotice(msgspec.Struct):
    """Tells a client of ``fanline.v1`` that the service stops."""

    drain: Drain


class PublishReply(msgspec.Struct):
    """A reply to a publisher: ack, refusal, or drain notice."""

    ok: str | msgspec.UnsetType | None = msgspec.UNSET
    seq: int = 0
    duplicate: bool = False
    error: str | None = None
    reason: str = ""
    id: str | None = None
    retry_ms: float | None = None
    drain: Drain | None = None

    def outcome(self) -> Ack | Refusal | None:
        """Return the reply as ack or refusal; None for a drain notice."""
        if self.error is not None:
            return Refusal(self.error, self.reason, self.id)
        return None if isinstance(self.ok, msgspec.UnsetType) else Ack(self.ok, self.seq, self.duplicate)


decode_publish_reply: Final = msgspec.json.Decoder(PublishReply).decode
_decode_many: Final = msgspec.json.Decoder(list[PublishReply]).decode
decode_refusal: Final = msgspec.json.Decoder(Refusal).decode


def decode_publish_replies(frame: bytes) -> list[PublishReply]:
    """Return the replies of a frame, an array or a single one.

    Raises:
        msgspec.DecodeError: If one of them is no reply.
    """
    return _decode_many(frame) if frame.startswith(b"[") else [decode_publish_reply(frame)]


def refusal(rejected: Rejected) -> Refusal:
    """Return the wire form of a refusal."""
    return Refusal(rejected.code, rejected.reason, rejected.id, rejected.retry_ms)
