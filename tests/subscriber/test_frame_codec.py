"""Tests of how records and notices become WebSocket frames."""

import struct

import msgspec
import pytest

from fanline.errors import Rejected
from fanline.protocol import MAX_POSITION, Dialect, Message, Record, Unsubscribed, encode
from subscriber.frame_codec import FRAME_CODECS, parse_event_id


def payload_of(frame: bytes) -> bytes:
    """Return the payload of one complete, unmasked text frame (RFC 6455, 5.2)."""
    assert frame[0] == 0x81
    size, start = frame[1], 2
    if size == 126:
        (size,), start = struct.unpack_from("!H", frame, 2), 4
    elif size == 127:
        (size,), start = struct.unpack_from("!Q", frame, 2), 10
    assert len(frame) == start + size
    return frame[start:]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("size", [1, 126, 70_000])
def test_frame_carries_record(dialect: Dialect, size: int) -> None:
    """Short, medium and long frames have headers of their own; each dialect has its own text (line 9)."""
    body = encode(Message("a", msgspec.Raw(encode("x" * size)), 1, time=7))
    frame = FRAME_CODECS[dialect].encode_record(Record(1, "a", body))
    assert payload_of(frame) == dialect.codec.encode_delivery(body)


def test_only_v1_has_notices() -> None:
    """A plain client stops at anything that is not a message (line 9)."""
    assert not FRAME_CODECS[Dialect.PLAIN].has_notices
    assert FRAME_CODECS[Dialect.V1].has_notices
    assert payload_of(FRAME_CODECS[Dialect.V1].encode_notice(Unsubscribed("a"))) == b'{"unsubscribed":"a"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-5", "a whole number from 0 on, and is '-5'"),
        ("-5-e", "a whole number from 0 on, and is '-5-e'"),
        ("text", "a whole number from 0 on, and is 'text'"),
        ("9" * 20, f"a whole number from 0 to {MAX_POSITION:,}, and is '{'9' * 20}'"),
    ],
)
def test_refused_event_id_is_quoted(text: str, reason: str) -> None:
    """Of a negative one it was said that it is '', of a large one that it is no whole number."""
    with pytest.raises(Rejected) as caught:
        parse_event_id(text)
    assert caught.value.reason == f"Last-Event-ID must be {reason}"
