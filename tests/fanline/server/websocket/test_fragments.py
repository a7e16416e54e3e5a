"""Tests of messages in fragments, without a socket."""

import tracemalloc

import pytest

from fanline.server.websocket.fragments import FIRST_SLICE, Fragments, Unparsed, is_utf8


def test_fragments_are_joined_in_order() -> None:
    """A message is all of its fragments, one after the other."""
    fragments = Fragments(None, is_text=True)
    for part in (b"one ", b"", b"two"):
        fragments.add(part)
    assert fragments.join() == (b"one two", True)


def test_tiny_fragments_take_no_more_than_their_bytes() -> None:
    """A peer made the service keep dozens of times what it had sent, by fragments of a byte or none."""
    tracemalloc.start()
    fragments = Fragments(None, is_text=True)
    for number in range(20_000):
        fragments.add(b"" if number % 2 else bytes((97 + number % 26,)))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fragments.kept_size == 10_000
    assert kept < 20_000


def test_what_comes_after_the_limit_is_discarded() -> None:
    """At most one fragment goes past the limit, and a text that was cut need not be valid UTF-8."""
    fragments = Fragments(4, is_text=True)
    for part in (b"abc", "€".encode()[:2], b"lost", b"lost"):
        fragments.add(part)
    assert fragments.join() == ("abc€".encode()[:5], False)


def test_binary_messages_need_not_be_utf8() -> None:
    """Only texts are checked."""
    fragments = Fragments(None, is_text=False)
    fragments.add(b"\xff")
    assert fragments.join() == (b"\xff", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"", True), (b"abc", True), ("€".encode(), True), (b"\xff", False), (b"\xe2\x82", False)],
)
def test_utf8_is_recognized(text: bytes, expected: bool) -> None:
    """Also an incomplete character at the end is invalid."""
    assert is_utf8(text) is expected


def test_slices_grow_while_they_have_few_frames() -> None:
    """Bytes come back in order, in slices that are small as long as they may have many frames."""
    data = bytes(range(256)) * 400
    unparsed = Unparsed(data[:50_000])
    unparsed.add(data[50_000:])
    slices = [unparsed.next()]
    unparsed.note(1_000)
    slices.append(unparsed.next())
    unparsed.note(1)
    while piece := unparsed.next():
        slices.append(piece)
        unparsed.note(1)
    assert b"".join(slices) == data
    assert [len(piece) for piece in slices[:4]] == [FIRST_SLICE, FIRST_SLICE, 4 * FIRST_SLICE, 25_424]
