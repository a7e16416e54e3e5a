"""Frames and TLS records by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from bench.wire import (
    RECORD_HEADER,
    RECORD_OVERHEAD,
    MarkCounter,
    RecordCounter,
    client_frame,
    server_header_size,
)

SIZES = (0, 1, 125, 126, 65_535, 65_536)


def record(size: int) -> bytes:
    """A TLS 1.3 record with so many bytes of data."""
    return b"\x17\x03\x03" + (size + RECORD_OVERHEAD).to_bytes(2, "big") + bytes(size + RECORD_OVERHEAD)


def feed(counter: RecordCounter, stream: bytes, cuts: list[int]) -> None:
    """Hand a stream to a counter in the pieces that it is cut into."""
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(places):
        counter.feed(bytearray(RECORD_HEADER) + stream[start:end], end - start)


@given(st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(0, 6_000), max_size=20))
def test_records_are_counted_however_they_come(sizes: list[int], cuts: list[int]) -> None:
    """The data of all records is counted, wherever the stream is cut, also within a header."""
    counter = RecordCounter()
    feed(counter, b"".join(map(record, sizes)), cuts)
    assert (counter.total, counter.records) == (sum(sizes), len(sizes))


def test_trifles_are_not_counted() -> None:
    """Records of the sizes of a frame header count as records, but not as data."""
    counter = RecordCounter(frozenset({2, 4}))
    feed(counter, record(2) + record(100) + record(4) + record(100), [])
    assert (counter.total, counter.records) == (200, 4)


@pytest.mark.parametrize("size", SIZES)
def test_a_client_frame_is_one(size: int) -> None:
    """What the generator sends is read by the library as the frame that was meant."""
    reader = StreamReader()
    reader.feed_data(client_frame(b"x" * size))
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    assert parsed.value.value == Frame(Opcode.TEXT, b"x" * size)


@pytest.mark.parametrize("size", SIZES)
def test_a_server_header_has_its_size(size: int) -> None:
    """The size of a server's frame header is that of the library's."""
    assert server_header_size(size) == len(Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)) - size


@given(st.integers(0, 20), st.lists(st.integers(0, 200), max_size=20))
def test_marks_are_counted_however_they_come(times: int, cuts: list[int]) -> None:
    """Each mark is counted once, wherever the stream is cut, also within a mark."""
    counter, stream = MarkCounter(b"mark"), b"--mark--" * times
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    found = [counter.feed(stream[start:end]) for start, end in pairwise(places)]
    assert counter.total == sum(found) == times
