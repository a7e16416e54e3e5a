"""Tests of messages and their codec, in both dialects."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_ID_LENGTH,
    MESSAGE_TYPES,
    Ack,
    Dialect,
    Message,
    NewMessage,
    Record,
    Refusal,
    SubscribeRequest,
    check_message,
    decode_message,
    decode_plain,
    decode_record,
    encode,
    fold_fields,
    join_array,
    refusal,
    split_array,
)
from fanline.protocol.topics import MAX_TOPIC_LENGTH

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


# What publishers send


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
        assert rejected.reason == "the frame is not valid UTF-8"


@dialects
@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'"\udc00\ud800"', rb'"\q"', b'"\n"', b"01", b"1.", b"NaN", b"[1,]"]
)
def test_content_that_a_receiver_could_not_parse_is_refused(text: bytes, dialect: Dialect) -> None:
    """Content is not looked into, but it is JSON to the letter (line 6)."""
    assert refusal_of(b'{"topic":"a","content":%s}' % text, dialect).code == ErrorCode.BAD_JSON


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40) | damaged_frames(), st.sampled_from(Dialect))
def test_whatever_is_sent_can_be_handed_on_or_is_refused(frame: bytes, dialect: Dialect) -> None:
    """No bytes raise, and what is taken is valid UTF-8 and JSON in both dialects on its way out (line 6)."""
    for entry in dialect.codec.decode_published(frame):
        if isinstance(entry, Rejected):
            json.loads(encode(refusal(entry)))
            continue
        for out in (encode(entry), Dialect.PLAIN.codec.encode_published(entry)):
            json.loads(out.decode(), parse_constant=pytest.fail)


@settings(max_examples=50, deadline=None)
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


# What is checked


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


@settings(max_examples=50, deadline=None)
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


@settings(max_examples=50, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
