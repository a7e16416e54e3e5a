"""Frames and TLS records by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from bench.load.wire import (
    RECORD_HEADER,
    RECORD_OVERHEAD,
    MarkCounter,
    RecordCounter,
    client_frame,
    server_header_size,
)

SIZES = (0, 1, 125, 126, 65_535, 65_536)


def record(size: int) -> bytes:
    """Return a TLS 1.3 record with so many bytes of data."""
    return b"\x17\x03\x03" + (size + RECORD_OVERHEAD).to_bytes(2, "big") + bytes(size + RECORD_OVERHEAD)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return a stream cut at some places."""
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[start:end] for start, end in pairwise(places)]


def feed(counter: RecordCounter, stream: bytes, cuts: list[int]) -> None:
    for piece in pieces(stream, cuts):
        counter.feed(bytearray(RECORD_HEADER) + piece, len(piece))


@given(st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(0, 6_000), max_size=20))
def test_counts_data_of_records_wherever_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    counter = RecordCounter()
    feed(counter, b"".join(map(record, sizes)), cuts)
    assert (counter.total, counter.records) == (sum(sizes), len(sizes))


def test_ignores_records_of_given_sizes() -> None:
    """Records that hold a frame header count as records, not as data."""
    counter = RecordCounter(frozenset({2, 4}))
    feed(counter, record(2) + record(100) + record(4) + record(100), [])
    assert (counter.total, counter.records) == (200, 4)


@given(st.integers(0, 20), st.lists(st.integers(0, 200), max_size=20))
def test_counts_each_mark_once_wherever_it_is_cut(times: int, cuts: list[int]) -> None:
    counter = MarkCounter(b"mark")
    found = [counter.feed(piece) for piece in pieces(b"--mark--" * times, cuts)]
    assert counter.total == sum(found) == times


@pytest.mark.parametrize("size", SIZES)
def test_client_frame_is_valid(size: int) -> None:
    reader = StreamReader()
    reader.feed_data(client_frame(b"x" * size))
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    assert parsed.value.value == Frame(Opcode.TEXT, b"x" * size)


@pytest.mark.parametrize("size", SIZES)
def test_server_header_size_is_that_of_the_library(size: int) -> None:
    assert server_header_size(size) == len(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)) - size
