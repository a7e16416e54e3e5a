"""Frames: what a msgqueue commits at a time, encoded for the journal.

::

    4 bytes     CRC-32 of all that follows, big-endian
    msgpack     [version, log, origin, number, clock, seen, chain, operations]

    log         epoch of the log: a frame of another one is not ours
    origin      random name of the process that sent it
    number      1, 2, 3 … of that origin, one at a time
    clock       the time of the origin, in Unix milliseconds
    seen        index up to which the origin had applied the journal
    chain       its checksum of all that it had applied up to there, and of all decisions made on the way
    operations  what to do: store messages, move or forget a cursor, claim or release a consumer's share
"""

import sys
import zlib
from typing import Final

import msgspec

from fanline.errors import FanlineError
from fanline.protocol import NewMessage

FRAME_VERSION: Final = 1

_CHECKSUM_BYTES: Final = 4


class FrameError(FanlineError):
    """A frame is damaged, or of a newer version."""


class FrameMessage(msgspec.Struct, array_like=True, frozen=True):
    """A message to be stored; ``content`` is its JSON text."""

    topic: str
    content: bytes
    id: str | None
    sender: str | None
    type: str
    traceparent: str | None = None


class Genesis(msgspec.Struct, array_like=True, frozen=True, tag="genesis"):
    """The first frame: what holds for the whole journal.

    Attributes:
        after: Position after which its first message is stored: the end of the log that it continues, or 0.
        window: Milliseconds for which an id counts.
    """

    after: int
    window: int


class Append(msgspec.Struct, array_like=True, frozen=True, tag="append"):
    """Store messages, all or none of them, and put cursors at positions."""

    messages: list[FrameMessage]
    cursors: dict[str, int] = {}


class SetCursor(msgspec.Struct, array_like=True, frozen=True, tag="cursor"):
    """Put the cursor of a durable consumer at a position."""

    name: str
    position: int


class DeleteCursor(msgspec.Struct, array_like=True, frozen=True, tag="forget"):
    """Forget a durable consumer."""

    name: str


class ClaimShare(msgspec.Struct, array_like=True, frozen=True, tag="claim"):
    """Claim a part of the log for a durable consumer.

    A new consumer begins after position ``after``.
    """

    name: str
    after: int


class ReleaseShare(msgspec.Struct, array_like=True, frozen=True, tag="release"):
    """Release all claims of the sender, and report its failed deliveries.

    ``failures`` has their number by position.
    """

    name: str
    failures: dict[int, int] = {}


Operation = Genesis | Append | SetCursor | DeleteCursor | ClaimShare | ReleaseShare


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """A frame; its fields are told above."""

    version: int
    log: str
    origin: str
    number: int
    clock: int
    seen: int
    chain: bytes
    operations: list[Operation]


class _Versioned(msgspec.Struct, array_like=True):
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)
_version_decoder = msgspec.msgpack.Decoder(_Versioned)


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    body = _encoder.encode(frame)
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") + body


def decode_frame(data: bytes) -> Frame:
    """Return the frame that some bytes are.

    Raises:
        FrameError: If they are damaged, or a newer msgqueue wrote them.
    """
    body = memoryview(data)[_CHECKSUM_BYTES:]
    if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != data[:_CHECKSUM_BYTES]:
        raise FrameError("it is damaged: its checksum is wrong")
    try:
        version = _version_decoder.decode(body).version
        if version != FRAME_VERSION:
            raise FrameError(
                f"its version is {version}, and this msgqueue knows {FRAME_VERSION}: install a newer one"
            )
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(f"it is no frame: {error}") from None


def to_frame(message: NewMessage) -> FrameMessage:
    """Return a message as a frame has it."""
    content = bytes(message.content)
    return FrameMessage(message.topic, content, message.id, message.sender, message.type, message.traceparent)


def from_frame(message: FrameMessage) -> NewMessage:
    """Return a message of a frame as a store takes it."""
    # The encoder leaves out a default that is the same object, so that the type must be that.
    type_ = sys.intern(message.type)
    content = msgspec.Raw(message.content)
    return NewMessage(message.topic, content, message.id, message.sender, type_, message.traceparent)
