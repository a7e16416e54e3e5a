"""The frame: what goes in comes out, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgqueue.journal.frame import (
    FRAME_VERSION,
    Append,
    DeleteCursor,
    Frame,
    FrameError,
    FrameMessage,
    Genesis,
    Operation,
    SetCursor,
    decode_frame,
    encode_frame,
    from_frame,
    to_frame,
)

MESSAGE = FrameMessage("a.b", b'{ "n" : 1.0e3 }', "id", "hello", "join")
OPERATIONS: list[Operation] = [
    Genesis(3, 600_000),
    Append([MESSAGE]),
    SetCursor("billing", 7),
    DeleteCursor("billing"),
]


def test_a_frame_survives_the_way() -> None:
    """Every kind of operation comes out as it went in, content byte for byte."""
    frame = Frame(FRAME_VERSION, "e1", "origin", 2, 1_700_000_000_000, 41, b"chain", OPERATIONS)
    assert decode_frame(encode_frame(frame)) == frame
    assert to_frame(from_frame(MESSAGE)) == MESSAGE


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(1, 255))
def test_damage_is_noticed(noise: bytes, place: int, flip: int) -> None:
    """A byte that was altered, and bytes that never were a frame, are told by their checksum."""
    data = bytearray(encode_frame(Frame(FRAME_VERSION, "e1", "origin", 1, 1, 0, b"", OPERATIONS)))
    data[place % len(data)] ^= flip
    for damaged in (bytes(data), noise):
        with pytest.raises(FrameError, match="damaged"):
            decode_frame(damaged)


def test_a_newer_frame_asks_for_a_newer_msgqueue() -> None:
    """A version that is not known is refused in words, whatever the rest has become."""
    data = encode_frame(msgspec.structs.replace(Frame(FRAME_VERSION, "e1", "o", 1, 1, 0, b"", []), version=2))
    with pytest.raises(FrameError, match="version is 2, and this msgqueue knows 1: install a newer one"):
        decode_frame(data)
