"""Frames between services, and to readers of the plain dialect."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import (
    MESSAGE_TYPES,
    Ack,
    Dialect,
    Message,
    NewMessage,
    Record,
    Refusal,
    decode_plain,
    decode_record,
    encode,
    fold_fields,
    join_array,
    refusal,
    split_array,
)
from tests.fanline.protocol.codec.conftest import damaged_frames, json_texts, raw, texts

# Between services


def test_fields_that_say_nothing_are_left_out() -> None:
    """Only topic, content and position are always there."""
    assert encode(NewMessage("a", raw(1))) == b'{"topic":"a","content":1}'
    assert encode(Message("a", raw(1), 42, 7)) == b'{"topic":"a","content":1,"seq":42,"time":7}'
    assert encode(Message("a", raw(1), 42, 7, "i", "u", "join")) == (
        b'{"topic":"a","content":1,"seq":42,"time":7,"id":"i","from":"u","type":"join"}'
    )
    assert encode(Ack("i", 42)) == b'{"ok":"i","seq":42}'
    assert encode(Ack("i", 42, duplicate=True)) == b'{"ok":"i","seq":42,"duplicate":true}'


def test_a_refusal_goes_out_with_its_code_reason_and_id() -> None:
    """An id that is not known is left out."""
    assert refusal(Rejected("c", "r", "i")) == Refusal("c", "r", "i")
    assert encode(refusal(Rejected(ErrorCode.BAD_ID, "r"))) == b'{"error":"bad-id","reason":"r"}'


@settings(max_examples=50)
@given(st.lists(json_texts(), max_size=5))
def test_joining_and_splitting_an_array_are_opposites(texts: list[bytes]) -> None:
    """Joined records are split again byte for byte."""
    assert list(split_array(join_array(texts))) == texts


def test_a_frame_that_is_no_array_is_its_own_only_element() -> None:
    """It is not looked into."""
    assert list(split_array(b' {"a":1}')) == [b' {"a":1}']
    with pytest.raises(msgspec.DecodeError):
        list(split_array(b"[1,"))


def test_a_record_is_a_message_with_what_routing_needs() -> None:
    """Position and topic are taken from the body, which stays as it is."""
    body = b' {"content":[1], "time":7, "topic":"a.b", "seq":42}'
    assert decode_record(body) == Record(42, "a.b", body)
    with pytest.raises(msgspec.ValidationError):
        decode_record(b'{"topic":"a","content":1}')


# The plain dialect on its way out


@settings(max_examples=50)
@given(json_texts(), texts, st.none() | texts, st.none() | texts, st.sampled_from(sorted(MESSAGE_TYPES)))
def test_a_plain_reader_gets_a_string_for_content(
    text: bytes,
    topic: str,
    key: str | None,
    sender: str | None,
    kind: str,
) -> None:
    """A string stays that string, anything else is its JSON text, and the rest goes along (line 9)."""
    body = encode(Message(topic, msgspec.Raw(text), 42, 7, key, sender, kind))
    plain = json.loads(Dialect.PLAIN.codec.encode_delivery(body).decode())
    content = json.loads(text)
    assert plain.pop("Topic") == topic
    assert plain.pop("Content") == (content if isinstance(content, str) else text.decode())
    rest = {"seq": 42, "time": 7, "id": key, "from": sender, "type": None if kind == "message" else kind}
    assert plain == {name: value for name, value in rest.items() if value is not None}


def test_every_field_of_a_message_goes_to_plain_readers() -> None:
    """Also those that later versions add (line 9)."""
    values: dict[str, Any] = {field.name: f"a {field.name}" for field in msgspec.structs.fields(Message)}
    stored = Message(**values | {"content": raw("x"), "seq": 42, "time": 7})
    plain = json.loads(Dialect.PLAIN.codec.encode_delivery(encode(stored)))
    assert plain.pop("Topic") == stored.topic
    assert plain.pop("Content") == "x"
    v1 = json.loads(encode(stored))
    assert plain == {name: v1[name] for name in v1.keys() - {"topic", "content"}}


def test_a_message_without_position_goes_out_in_two_fields() -> None:
    """As the original programs write it, to the byte (line 9)."""
    message = NewMessage("a", raw("x"), "i", "u", "join")
    assert Dialect.PLAIN.codec.encode_published(message) == b'{"Topic":"a","Content":"x"}'
    assert (
        Dialect.PLAIN.codec.encode_delivery(encode(NewMessage("a", raw({"n": 1}))))
        == b'{"Topic":"a","Content":"{\\"n\\":1}"}'
    )


@settings(max_examples=50)
@given(texts, texts)
def test_a_plain_message_comes_back_as_it_was(topic: str, content: str) -> None:
    """A message written and read in the plain dialect is the same."""
    message = NewMessage(topic, raw(content))
    assert msgspec.json.decode(decode_plain(Dialect.PLAIN.codec.encode_published(message)).content) == content
    assert decode_plain(Dialect.PLAIN.codec.encode_published(message)).topic == topic


@settings(max_examples=60)
@given(st.binary(max_size=40) | damaged_frames())
def test_a_plain_peer_can_send_anything(frame: bytes) -> None:
    """It is a message that can be handed on, or one and the same kind of error (line 6)."""
    try:
        message = decode_plain(frame)
    except msgspec.DecodeError:
        return
    json.loads(Dialect.PLAIN.codec.encode_delivery(encode(message)).decode())


@pytest.mark.parametrize(
    "frame",
    [
        b'{"Topic":"a","Content":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"Topic":"a","Content":"\xff"}',
        b'{"Topic":"\xff","Content":"x"}',
        b'{"topic":"\xff"}',
        b'{"\xff":1}',
    ],
)
def test_no_frame_of_a_plain_peer_is_an_error_of_another_kind(frame: bytes) -> None:
    """Endless nesting and invalid UTF-8 are refused like any other garbage (line 6)."""
    with pytest.raises(msgspec.DecodeError):
        decode_plain(frame)


def test_of_two_fields_alike_the_last_counts() -> None:
    """Names that differ in case alone are one field (line 9)."""
    assert fold_fields(b'{"SUB":1,"Sub":2,"after":3}') == {
        "sub": msgspec.Raw(b"2"),
        "after": msgspec.Raw(b"3"),
    }
    with pytest.raises(msgspec.DecodeError):
        fold_fields(b"[]")
