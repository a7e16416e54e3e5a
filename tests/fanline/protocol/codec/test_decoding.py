"""Frames that publishers send, in both dialects."""

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import (
    MAX_ELEMENTS,
    Dialect,
    Message,
    NewMessage,
    SubscribeRequest,
    decode_message,
    decode_record,
    encode,
    join_array,
    refusal,
    split_array,
)
from tests.fanline.protocol.codec.conftest import (
    damaged_frames,
    dialects,
    json_texts,
    messages_in,
    refusal_of,
    spaces,
)


def test_a_v1_message_has_five_fields() -> None:
    """Three of them may be left out, and unknown ones are passed over."""
    [message] = messages_in(
        b'{"topic": "a.b", "content": {"n": 1}, "id": "i", "from": "u", "type": "join", "color": [1]}'
    )
    assert message == NewMessage("a.b", msgspec.Raw(b'{"n": 1}'), "i", "u", "join")
    [message] = messages_in(b'{"topic":"a","content":null}')
    assert message == NewMessage("a", msgspec.Raw(b"null"), None, None, "message")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"Topic":"a","Content":"x"}',
        b'{"topic":"a","content":"x"}',
        b' {"CONTENT" : "x", "extra": {}, "tOPIC" : "a"} ',
        b'{"topic":"b","Topic":"a","Content":"x"}',
        b'{"topic":"b","TOPIC":"a","Content":"x"}',
    ],
)
def test_plain_fields_are_read_without_regard_to_case(frame: bytes) -> None:
    """Topic and Content in any spelling are the same two fields (line 9)."""
    assert messages_in(frame, Dialect.PLAIN) == [NewMessage("a", msgspec.Raw(b'"x"'))]


def test_a_plain_message_may_lack_a_field() -> None:
    """Missing fields are empty, as the original programs read them (line 9)."""
    assert messages_in(b'{"Topic":"a"}', Dialect.PLAIN) == [NewMessage("a", msgspec.Raw(b'""'))]
    assert messages_in(b'{"content":5}', Dialect.PLAIN) == [NewMessage("", msgspec.Raw(b"5"))]


def test_plain_publishers_set_nothing_but_topic_and_content() -> None:
    """Names that mean something in v1 mean nothing in the plain dialect."""
    [message] = messages_in(
        b'{"Topic":"a","Content":"x","id":"i","from":"root","type":"close","seq":1}', Dialect.PLAIN
    )
    assert message == NewMessage("a", msgspec.Raw(b'"x"'))


@dialects
@pytest.mark.parametrize("frame", [b"", b" ", b"\r\n\t "])
def test_an_empty_frame_has_no_message(frame: bytes, dialect: Dialect) -> None:
    """It is nothing to complain of, either (line 6)."""
    assert dialect.codec.decode_published(frame) == []


def test_an_array_has_any_number_of_messages() -> None:
    """They come in the order of the array."""
    assert messages_in(b"[]") == messages_in(b" [ ] ") == []
    frame = join_array([b'{"topic":"a","content":%d}' % n for n in range(100)])
    assert [int(bytes(message.content)) for message in messages_in(frame)] == list(range(100))


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (b'{"topic":"a","content":1}', "5,000 elements"),
        (b'{"topic":"a","content":"' + b"x" * 100 + b'"}', "5,000 elements"),
        (b"{}", "5,000 elements"),
        (b"1", "got `int`"),
        (b'""', "got `str`"),
    ],
)
def test_too_many_elements_get_one_refusal(element: bytes, reason: str) -> None:
    """A frame of a million elements is given up early, where each had cost an object and an answer."""
    frame = join_array([element] * (MAX_ELEMENTS + 100_000))
    tracemalloc.start()
    try:
        rejected = refusal_of(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reason in rejected.reason
    assert peak < len(frame) + 4_000_000


def test_as_many_elements_as_allowed_are_taken() -> None:
    """Commas within messages count for nothing, and each wrong message has its own refusal."""
    message = b'{"topic":"a","content":[%s]}' % b",".join([b"1"] * 50)
    entries = Dialect.V1.codec.decode_published(join_array([message] * (MAX_ELEMENTS - 1) + [b"{}"]))
    assert [type(entry) for entry in entries].count(Rejected) == 1
    assert len(entries) == MAX_ELEMENTS


def test_requests_are_split_into_frames_that_fit() -> None:
    """A client with a thousand long patterns keeps to the limit on frames of ``/subscribe``."""
    requests = [SubscribeRequest("é" * 251 + f"{n:04}", after=1 << 62) for n in range(1_000)]
    frames = Dialect.V1.codec.encode_requests(requests)
    assert [
        each for frame in frames for each in msgspec.json.decode(frame, type=list[SubscribeRequest])
    ] == requests
    assert max(map(len, frames)) <= 65_536


def test_a_wrong_message_in_an_array_harms_no_other() -> None:
    """It is refused in its place, and those around it are taken (line 6)."""
    entries = Dialect.V1.codec.decode_published(
        b'[{"topic":"a","content":1},{"topic":5,"content":2},7,[],{"topic":"b"},{"topic":"c","content":3}]'
    )
    taken = [entry.topic if isinstance(entry, NewMessage) else entry.code for entry in entries]
    assert taken == ["a", *["bad-message"] * 4, "c"]


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (b'{"topic":5,"content":1,"id":"a"}', ["a"]),
        (b'{"topic":"t","id":"a"}', ["a"]),
        (b'[{"topic":"t","id":"a"},{"id":"b"},{"content":1},{"id":7},[]]', ["a", "b", None, None, None]),
    ],
)
def test_a_refused_message_is_named(frame: bytes, named: list[str | None]) -> None:
    """Its id is read whatever else is wrong, or its publisher would wait for an answer to it."""
    entries = Dialect.V1.codec.decode_published(frame)
    assert [entry.id for entry in entries if isinstance(entry, Rejected)] == named


@dialects
@pytest.mark.parametrize(
    "frame",
    [
        b"hello",
        b"{",
        b'{"topic":',
        b"\x00",
        b"'a'",
        b"{'topic':'a'}",
        b'\xef\xbb\xbf{"topic":"a"}',
        b"}",
    ],
)
def test_what_is_not_json_is_refused(frame: bytes, dialect: Dialect) -> None:
    """The refusal says so (line 6)."""
    assert refusal_of(frame, dialect).code == ErrorCode.BAD_JSON


@dialects
@pytest.mark.parametrize(
    "frame",
    [
        b"5",
        b'"sub a"',
        b"null",
        b'{"topic":5,"content":1}',
        b'{"Topic":["a"],"Content":1}',
        b'{"Topic":null}',
    ],
)
def test_json_that_is_no_message_is_refused(frame: bytes, dialect: Dialect) -> None:
    """The refusal names the fields that were expected (line 6)."""
    rejected = refusal_of(frame, dialect)
    assert rejected.code == ErrorCode.BAD_MESSAGE
    assert rejected.reason.startswith('expected {"topic", "content", "id"?}: ')


def test_the_plain_dialect_has_no_arrays() -> None:
    """As in the original, a frame is one message."""
    assert refusal_of(b'[{"Topic":"a","Content":"x"}]', Dialect.PLAIN).code == ErrorCode.BAD_MESSAGE


@dialects
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"topic":"a","content":[', b'[{"topic":'])
def test_endless_nesting_is_refused(opening: bytes, dialect: Dialect) -> None:
    """A frame of brackets exhausts no stack (line 6)."""
    rejected = refusal_of(b'{"topic":"a","content":' + opening * 100_000, dialect)
    assert rejected.code == ErrorCode.TOO_DEEP


@dialects
@pytest.mark.parametrize(
    "text", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"']
)
def test_invalid_utf8_is_refused_wherever_it_stands(text: bytes, dialect: Dialect) -> None:
    """Handed on it would make every receiver close its connection (line 6)."""
    for frame in (
        b'{"topic":"a","content":%s}',
        b'{"topic":%s,"content":1}',
        b'{"topic":"a","content":1,%s:1}',
        b'{"topic":"a","content":{%s:1}}',
        b'[{"topic":"a","content":1},%s]',
    ):
        rejected = refusal_of(frame % text, dialect)
        assert rejected.code == ErrorCode.BAD_JSON
        assert rejected.reason == "what was sent is not valid UTF-8"


@dialects
@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'"\udc00\ud800"', rb'"\q"', b'"\n"', b"01", b"1.", b"NaN", b"[1,]"]
)
def test_content_that_a_receiver_could_not_parse_is_refused(text: bytes, dialect: Dialect) -> None:
    """Content is not looked into, but it is JSON to the letter (line 6)."""
    assert refusal_of(b'{"topic":"a","content":%s}' % text, dialect).code == ErrorCode.BAD_JSON


@settings(max_examples=60)
@given(st.binary(max_size=40) | damaged_frames(), st.sampled_from(Dialect))
def test_whatever_is_sent_can_be_handed_on_or_is_refused(frame: bytes, dialect: Dialect) -> None:
    """No bytes raise, and what is taken is valid UTF-8 and JSON in both dialects on its way out (line 6)."""
    for entry in dialect.codec.decode_published(frame):
        if isinstance(entry, Rejected):
            json.loads(encode(refusal(entry)))
            continue
        for out in (encode(entry), Dialect.PLAIN.codec.encode_published(entry)):
            json.loads(out.decode(), parse_constant=pytest.fail)


@settings(max_examples=50)
@given(json_texts(), spaces, spaces, st.booleans())
def test_content_travels_byte_for_byte(text: bytes, before: str, behind: str, in_array: bool) -> None:
    """From the publisher's frame through the log to a subscriber, its spelling is its own."""
    frame = b'{"topic":"a","content":%s%s%s}' % (before.encode(), text, behind.encode())
    [message] = messages_in(b"[%s]" % frame if in_array else frame)
    assert bytes(message.content) == text
    stored = Message(message.topic, message.content, seq=1, time=2)
    [body] = split_array(join_array([encode(stored)]))
    delivered = decode_message(decode_record(body).body)
    assert bytes(delivered.content) == text
    assert delivered.value() == json.loads(text)
