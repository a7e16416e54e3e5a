"""Codecs of subscribers: how records and notices become frames. No I/O."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from fanline.protocol import Codec, Dialect, GapNotice, Record, encode, parse_position
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
        """Return an answer's or notice's frame; requires :attr:`has_notices`."""
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


class EventFrames:
    """Server-sent events, each one message.

    The id of an event has the message's position and the epoch of the log.

    Args:
        read_epoch: Returns the epoch of the log that is delivered.
    """

    has_notices = True

    def __init__(self, read_epoch: Callable[[], str | None]) -> None:
        self._read_epoch = read_epoch

    def encode_id(self, position: int) -> bytes:
        """Return the line of the id, by which a client resumes."""
        epoch = self._read_epoch()
        return b"id: %d\n" % position if epoch is None else b"id: %d-%b\n" % (position, epoch.encode())

    def encode_record(self, record: Record) -> bytes:
        """Return the event of a record's message."""
        body = record.body
        if b"\n" in body or b"\r" in body:  # which JSON allows between values, and events only as a new line
            body = b"\ndata: ".join(body.splitlines())
        return b"%bdata: %b\n\n" % (self.encode_id(record.seq), body)

    def encode_notice(self, notice: msgspec.Struct) -> bytes:
        """Return the event of a gap, the only notice that is sent."""
        assert isinstance(notice, GapNotice)
        return b"event: gap\ndata: %b\n\n" % encode(notice.gap)


def parse_event_id(text: str) -> tuple[int, str | None]:
    """Return the position and the epoch that an id stands for.

    Raises:
        Rejected: If it is none.
    """
    position, _, epoch = text.partition("-")
    return parse_position("Last-Event-ID", position or text), epoch or None


FRAME_CODECS: Final[Mapping[Dialect, FrameCodec]] = {
    Dialect.PLAIN: WebSocketFrames(Dialect.PLAIN.codec, has_notices=False),
    Dialect.V1: WebSocketFrames(Dialect.V1.codec, has_notices=True),
}
