"""Tests of content: what is accepted, and what Python values become."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Dialect, decode_content, encode_content, join_array
from fanline.protocol.content import check_readable


@dataclass
class Reading:
    """A value of a kind that msgspec writes as an object."""

    value: float


@pytest.mark.parametrize(
    "text",
    [
        b"1e400",
        b"-1E+400",
        b'{"a":[1,{"b":12.5e309}]}',
        b"9" * 220 + b"e99",
        b"9" * 5_000,
        b'"\\ud800"',
        b'"\\uDC00\\uD800"',
        b'{"\\udfff":1}',
    ],
)
def test_content_that_no_reader_can_hold_is_refused(text: bytes) -> None:
    """A number beyond a double and half of a surrogate pair are valid JSON, and made every reader fail."""
    rejected = check_readable(text)
    assert rejected is not None
    assert rejected.code == ErrorCode.BAD_MESSAGE


@pytest.mark.parametrize(
    "text",
    [
        b"1e308",
        b"1e-400",
        b"0e999",
        b"0.1e+30",
        b'"1e400"',
        b'{"1e400":"e999"}',
        b'"\\ud83d\\ude00"',
        b'"\\u00e9"',
        b"9" * 300,
        b"[" + b"1," * 10_000 + b"1]",
    ],
)
def test_unusual_content_is_accepted(text: bytes) -> None:
    """Digits in strings, small and long numbers and whole surrogate pairs are no fault."""
    assert check_readable(text) is None


mantissas = st.sampled_from([b"0", b"-1", b"12.5", b"0.001", b"9" * 200, b"9" * 308, b"9" * 320 + b".5"])
exponents = st.sampled_from([b"", b"e9", b"E+40", b"e99", b"e+0110", b"e307", b"e310", b"e-400", b"E9999"])
numbers = st.builds(bytes.__add__, mantissas, exponents)
escapes = [b"e99", b"a", b"\\u00e9", b"\\ud83d", b"\\uDE00", b"\\\\"]
strings = st.lists(st.sampled_from(escapes), max_size=4).map(lambda parts: b'"%s"' % b"".join(parts))


@given(st.lists(numbers | strings, max_size=3).map(lambda parts: b"[" + b",".join(parts) + b"]"))
def test_exactly_what_cannot_be_parsed_is_refused(text: bytes) -> None:
    """The quick look at the text agrees with a parse of all of it."""
    try:
        msgspec.json.decode(text)
        is_readable = True
    except msgspec.DecodeError:
        is_readable = False
    assert (check_readable(text) is None) is is_readable


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_published_message_that_no_reader_can_hold_is_refused(dialect: Dialect) -> None:
    """Other messages of the frame are taken, and the refusal has its id."""
    good, bad = b'{"topic":"a","content":"1e400","id":"1"}', b'{"topic":"a","content":1e400,"id":"2"}'
    if dialect is Dialect.V1:
        _, rejected, _ = dialect.codec.decode_published(join_array([good, bad, good]))
    else:
        (rejected,) = dialect.codec.decode_published(bad)
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.id) == (ErrorCode.BAD_MESSAGE, "2" if dialect is Dialect.V1 else None)
    with pytest.raises(Rejected):
        decode_content(b"1e400")


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        {"a": [1, None, (2, math.inf)]},
        {"a": {math.nan}},
        Reading(math.nan),
        [msgspec.Raw(b"null"), math.nan],
        msgspec.Raw(b"1e400"),
        msgspec.Raw(b"NaN"),
        msgspec.Raw(b""),
        "\ud800",
        {"\ud800": 1},
        object(),
    ],
)
def test_values_that_are_not_json_are_refused(value: Any) -> None:
    """NaN was published as null, without a word."""
    with pytest.raises(Rejected, match="cannot be written as JSON") as caught:
        encode_content(value)
    assert caught.value.code == ErrorCode.BAD_MESSAGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null"),
        ([None, 1.5, {"a": None}], b'[null,1.5,{"a":null}]'),
        (Reading(0.5), b'{"value":0.5}'),
        ([msgspec.Raw(b"null")], b"[null]"),
        (msgspec.Raw(b' {"a" : 1}'), b' {"a" : 1}'),
    ],
)
def test_values_become_json(value: Any, text: bytes) -> None:
    """A null stays a null, and JSON text is not rewritten."""
    assert bytes(encode_content(value)) == text
