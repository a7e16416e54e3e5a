"""Checks of a single message."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode
from fanline.protocol import (
    MAX_DEPTH,
    MAX_ID_LENGTH,
    MESSAGE_TYPES,
    NewMessage,
    check_message,
)
from fanline.protocol.topics import MAX_TOPIC_LENGTH
from tests.fanline.protocol.codec.conftest import depth, raw, values


def test_a_message_in_order_is_taken() -> None:
    """The limits themselves are allowed."""
    longest = NewMessage(
        "x" * MAX_TOPIC_LENGTH, msgspec.Raw(b'"' + b"x" * 98 + b'"'), "i" * MAX_ID_LENGTH, "u", "close"
    )
    assert check_message(longest, max_content=100) is None


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (NewMessage("", raw(1), "i"), "bad-topic", "it is empty"),
        (NewMessage("a b", raw(1), "i"), "bad-topic", "whitespace"),
        (NewMessage("a.*", raw(1), "i"), "bad-topic", "for subscriptions only"),
        (NewMessage("a", raw("x" * 99), "i"), "too-big", "the content has 101 bytes, and 100 are allowed"),
        (NewMessage("a", raw("é" * 50), "i"), "too-big", "the content has 102 bytes, and 100 are allowed"),
        (NewMessage("a", raw(1), "i", type="shout"), "bad-message", "type must be one of add, close, join"),
        (NewMessage("a", msgspec.Raw(b"[" * 65 + b"]" * 65), "i"), "too-big", "130 bytes"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(message: NewMessage, code: str, reason: str) -> None:
    """The refusal has the code, what was allowed, and the message's own id."""
    rejected = check_message(message, max_content=100)
    assert rejected is not None
    assert (rejected.code, rejected.id) == (code, "i")
    assert reason in rejected.reason


@pytest.mark.parametrize("id", ["", "i" * (MAX_ID_LENGTH + 1), "a\n", "a\x00", "\x7f", "a\u2028b"])
def test_an_id_must_be_short_and_printable(id: str) -> None:  # noqa: A002 - wire name
    """One that is not is not sent back either."""
    rejected = check_message(NewMessage("a", raw(1), id), max_content=100)
    assert rejected is not None
    assert (rejected.code, rejected.id) == (ErrorCode.BAD_ID, None)


@pytest.mark.parametrize("type", sorted(MESSAGE_TYPES))
def test_the_types_are_those_of_the_protocol(type: str) -> None:  # noqa: A002 - wire name
    """Each of them is taken."""
    assert check_message(NewMessage("a", raw(1), type=type), max_content=100) is None


@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[1,{"[[":', b"}]"), (b'["{[",', b"]")]
)
def test_content_may_be_nested_so_deep_and_no_deeper(opening: bytes, closing: bytes) -> None:
    """Arrays and objects count alike."""
    levels = closing.count(b"]") + closing.count(b"}")
    for depth_wanted, is_refused in ((MAX_DEPTH, False), (MAX_DEPTH + levels, True)):
        times = depth_wanted // levels
        content = msgspec.Raw(opening * times + b"1" + closing * times)
        rejected = check_message(NewMessage("a", content, "i"), max_content=10_000)
        assert (rejected is not None) is is_refused
        assert rejected is None or (rejected.code, rejected.id) == (ErrorCode.TOO_DEEP, "i")


def test_brackets_in_strings_are_not_nesting() -> None:
    """Whatever stands around them, quotes and backslashes included."""
    for text in ("[" * 1000, '"[' * 500, "\\[" * 500, '\\"{[' * 500):
        content = raw({text: [text, {"a": text}]})
        assert check_message(NewMessage("a", content), max_content=100_000) is None


@settings(max_examples=50)
@given(
    values,
    st.integers(MAX_DEPTH - 4, MAX_DEPTH),
    st.lists(st.booleans(), min_size=MAX_DEPTH, max_size=MAX_DEPTH),
)
def test_depth_is_that_of_the_parsed_value(value: Any, extra: int, shapes: list[bool]) -> None:
    """The check on the text agrees with a walk through the value."""
    for is_object in shapes[:extra]:
        value = {"[": value} if is_object else [[], value, "]"]
    content = raw(value)
    is_refused = check_message(NewMessage("a", content), max_content=100_000) is not None
    assert is_refused == (depth(value) > MAX_DEPTH)


def test_checking_a_long_text_takes_little_memory() -> None:
    """A megabyte of text that happens to have brackets in it is no burden."""
    message = NewMessage("a", raw('say "[{}]" ' * 100_000))
    tracemalloc.start()
    try:
        check_message(message, max_content=10_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(message.content)
