"""Frames of a member's WebSocket in both protocols: decoded, or joined."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chat.domain import sentences
from chat.domain.errors import Refused
from fanline.server import join_array, split_array

# The size up to which bodies are joined into one frame; a larger body is a frame of its own.
FRAME_BYTES: Final = 65_536


class ChatMessage(msgspec.Struct, frozen=True):
    """A message from a client.

    Attributes:
        message: The text.
        id: Identifies the message among all of the same token.
    """

    message: str
    id: str | None = None


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag="failed", rename="camel"):
    """Tells the sender that a message could not be stored."""

    room_id: str
    message: str
    reason: str
    id: str | None = None


class _Id(msgspec.Struct):
    id: str | None = None


_decode_message: Final = msgspec.json.Decoder(ChatMessage).decode
_decode_id: Final = msgspec.json.Decoder(_Id).decode


def read_plain(frame: bytes) -> Iterator[ChatMessage | Refused]:
    """Yield the message of a frame in the plain protocol: its text."""
    try:
        yield ChatMessage(frame.decode())
    except UnicodeDecodeError:
        yield Refused(sentences.NOT_TEXT)


def read_v1(frame: bytes) -> Iterator[ChatMessage | Refused]:
    """Yield the messages of a ``fanline.chat.v1`` frame, or their rejections."""
    try:
        for body in split_array(frame):
            yield _read_message(body)
    except (msgspec.DecodeError, RecursionError) as error:
        yield Refused(sentences.NOT_JSON, error=error)


def join_bodies(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield payloads of few frames: arrays of texts, or single texts.

    The texts are JSON.
    """
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and size + len(body) > FRAME_BYTES:
            yield _join(batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    yield _join(batch)


def _join(bodies: Sequence[bytes]) -> bytes:
    return bodies[0] if len(bodies) == 1 else join_array(bodies)


def _read_message(body: bytes) -> ChatMessage | Refused:
    try:
        return _decode_message(body)
    except msgspec.ValidationError as error:
        return Refused(sentences.NOT_A_MESSAGE, _read_id(body), error=error)


def _read_id(body: bytes) -> str | None:
    """Return the id of an invalid message, for its sender."""
    try:
        return _decode_id(body).id
    except msgspec.ValidationError:
        return None
