"""JSON texts, damaged frames, and short forms of the codec."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from fanline.errors import Rejected
from fanline.protocol import (
    Dialect,
    NewMessage,
    encode,
)

# JSON can spell half of a surrogate pair, which cannot be sent as UTF-8.
texts = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
spaces = st.text(" \t\n\r", max_size=2)
dialects = pytest.mark.parametrize("dialect", list(Dialect))


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """JSON of any value, in any of the spellings that a publisher may choose."""
    separators = (draw(spaces) + "," + draw(spaces), draw(spaces) + ":" + draw(spaces))
    return json.dumps(draw(values), ensure_ascii=draw(st.booleans()), separators=separators).encode()


@st.composite
def damaged_frames(draw: st.DrawFn) -> bytes:
    """A frame that was nearly right: some of its bytes were replaced, removed or added."""
    name = draw(st.sampled_from([b"content", b"Content"]))
    frame = bytearray(b'{"topic": "a", "Topic": "a", "id": "\\u00e9", "%s": %s}' % (name, draw(json_texts())))
    if draw(st.booleans()):
        frame = bytearray(b"[%s,%s]" % (frame, frame))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(frame)))
        length = draw(st.integers(0, 2))
        frame[start : start + length] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"[", b"}"])
        )
    return bytes(frame)


def messages_in(frame: bytes, dialect: Dialect = Dialect.V1) -> list[NewMessage]:
    entries = dialect.codec.decode_published(frame)
    messages = [entry for entry in entries if isinstance(entry, NewMessage)]
    assert len(messages) == len(entries), entries
    return messages


def refusal_of(frame: bytes, dialect: Dialect = Dialect.V1) -> Rejected:
    [entry] = dialect.codec.decode_published(frame)
    assert isinstance(entry, Rejected), entry
    return entry


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


def depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0
