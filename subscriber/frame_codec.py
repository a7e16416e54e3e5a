"""Codecs of subscribers: how records and notices become frames. No I/O."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from fanline.protocol import Codec, Dialect, Record, encode
from fanline.server import text_frame


class FrameCodec(Protocol):
    """Makes the frames of one kind of subscriber; compared by identity.

    Attributes:
        has_notices: Whether such a subscriber is sent answers and notices besides messages.
    """

    has_notices: bool

    def encode_record(self, record: Record) -> bytes:
        """Return the frame that delivers a record."""
        ...

    def encode_notice(self, notice: msgspec.Struct) -> bytes:
        """Return the frame of an answer or a notice; only asked for with :attr:`has_notices`."""
        ...


class WebSocketFrames:
    """Text frames of a WebSocket.

    Args:
        codec: The codec of the connection's dialect.
        has_notices: Whether the dialect has answers and notices.
    """

    def __init__(self, codec: Codec, *, has_notices: bool) -> None:
        self.has_notices = has_notices
        self._encode = codec.encode_delivery

    def encode_record(self, record: Record) -> bytes:
        """Return the text frame of a record's message."""
        return text_frame(self._encode(record.body))

    def encode_notice(self, notice: msgspec.Struct) -> bytes:
        """Return the text frame of a notice's JSON."""
        return text_frame(encode(notice))


FRAME_CODECS: Final[Mapping[Dialect, FrameCodec]] = {
    Dialect.PLAIN: WebSocketFrames(Dialect.PLAIN.codec, has_notices=False),
    Dialect.V1: WebSocketFrames(Dialect.V1.codec, has_notices=True),
}
