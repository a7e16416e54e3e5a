"""Tests of what subscribers say, in all three spellings."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import join_array
from fanline.protocol.topics import is_pattern
from subscriber import commands
from subscriber.commands import Command, RefusedCommand


def parse(frame: bytes) -> list[Command | RefusedCommand]:
    """Return all commands of a frame."""
    return list(commands.parse(frame))


LARGEST = (1 << 63) - 1

texts = st.text(st.characters(codec="utf-8"), max_size=6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["sub", "unsub", "a.*"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
names = (
    st.sampled_from(["sub", "unsub", "Sub", "topic", "Topic", "content", "Content", "after", "last"]) | texts
)
objects = st.dictionaries(names, json_values, max_size=4)


def refusal_of(frame: bytes) -> Rejected:
    [entry] = parse(frame)
    assert isinstance(entry, RefusedCommand), entry
    return entry.rejected


@pytest.mark.parametrize(
    ("frame", "verb", "pattern"),
    [
        (b"sub a..b", "sub", "a..b"),
        (b"unsub a x=1", "unsub", "a"),
        (b'{"sub":"a b","after":3}', "sub", "a b"),
        (b'{"sub":"a","after":-1}', "sub", "a"),
        (b'{"unsub":"a","last":1}', "unsub", "a"),
        (b'{"Topic":"","Content":"sub"}', "sub", ""),
        (b'{"sub":"a","after":' + b"9" * 10_000 + b"}", "sub", "a"),
        (b'{"sub":7}', None, None),
        (b"subscribe a", None, None),
    ],
)
def test_refusal_names_the_command(frame: bytes, verb: str | None, pattern: str | None) -> None:
    """A client with several requests on their way knows which is refused, whatever is wrong with it."""
    [entry] = parse(frame)
    assert isinstance(entry, RefusedCommand)
    assert (entry.verb, entry.pattern) == (verb, pattern)


# What is understood


@pytest.mark.parametrize(
    "frame",
    [
        b"sub orders.eu",
        b"  sub \t orders.eu \r\n",
        b'{"Topic":"orders.eu","Content":"sub"}',
        b' {"topic": "orders.eu", "CONTENT": "sub"}',
        b'{"sub":"orders.eu"}',
        b'{"Sub":"orders.eu"}',
        b'[{"sub":"orders.eu"}]',
    ],
)
def test_parses_sub_in_three_spellings(frame: bytes) -> None:
    """Text, the original JSON and that of v1 say the same (line 5)."""
    assert parse(frame) == [Command(True, "orders.eu")]


@pytest.mark.parametrize(
    "frame", [b"unsub orders.*", b'{"Topic":"orders.*","Content":"unsub"}', b'{"unsub":"orders.*"}']
)
def test_parses_unsub_in_three_spellings(frame: bytes) -> None:
    """Likewise (line 5)."""
    assert parse(frame) == [Command(False, "orders.*")]


@pytest.mark.parametrize(
    "frame",
    [
        b"sub a latest=true",
        b'{"sub":"a","latest":true}',
        b'{"Topic":"a","Content":"sub","Latest":true}',
        b'[{"sub":"a","latest":true}]',
    ],
)
def test_latest_in_every_spelling(frame: bytes) -> None:
    """It asks for the newest message of each topic (line 49)."""
    assert parse(frame) == [Command(True, "a", latest=True)]
    assert parse(frame.replace(b"true", b"false")) == [Command(True, "a")]


@pytest.mark.parametrize("name", ["after", "last"])
@pytest.mark.parametrize("value", [0, 41, LARGEST])
@pytest.mark.parametrize(
    "frame",
    ["sub a.> {0}={1}", '{{"sub":"a.>","{0}":{1}}}', '{{"Topic":"a.>","Content":"sub","{0}":{1}}}'],
)
def test_parses_options_in_every_spelling(frame: str, name: str, value: int) -> None:
    """After a position, or with so many of the newest messages; in every spelling (line 5)."""
    [command] = parse(frame.format(name, value).encode())
    options: dict[str, Any] = {name: value}
    assert command == Command(True, "a.>", **options)


@pytest.mark.parametrize(
    "frame",
    [
        b"sub a.> after=41 epoch=e9f86d081884c",
        b'{"sub":"a.>","after":41,"epoch":"e9f86d081884c"}',
        b'{"Topic":"a.>","Content":"sub","after":41,"epoch":"e9f86d081884c"}',
    ],
)
def test_parses_the_epoch_of_a_position(frame: bytes) -> None:
    """A position may say which log it is of; in every spelling."""
    assert parse(frame) == [Command(True, "a.>", after=41, epoch="e9f86d081884c")]


@pytest.mark.parametrize(
    "frame", [b"sub a epoch=e1", b'{"sub":"a","last":1,"epoch":"e1"}', b'{"sub":"a","after":1,"epoch":7}']
)
def test_refuses_an_epoch_of_no_position(frame: bytes) -> None:
    """An epoch goes with a position, and is text."""
    assert refusal_of(frame).code == ErrorCode.BAD_COMMAND


def test_accepts_topics_of_any_language() -> None:
    """A topic may also look like a command, or like an option."""
    assert parse("sub käse.日本".encode()) == parse('{"sub":"käse.日本"}'.encode())
    assert parse(b"sub sub") == [Command(True, "sub")]
    assert parse(b"unsub after=1") == [Command(False, "after=1")]


@pytest.mark.parametrize("frame", [b"", b"  \r\n", b"[]", b" [ ] "])
def test_ignores_empty_frames(frame: bytes) -> None:
    """It is not refused either (line 6)."""
    assert parse(frame) == []


def test_parses_arrays_of_commands() -> None:
    """They are executed in order, and a wrong one among them harms no other (line 6)."""
    entries = parse(b'[{"sub":"a","after":5},{"sub":7},{"unsub":"b"},"sub c",{"topic":"c","content":"sub"}]')
    assert [entry.rejected.code if isinstance(entry, RefusedCommand) else entry for entry in entries] == [
        Command(True, "a", after=5),
        ErrorCode.BAD_COMMAND,
        Command(False, "b"),
        ErrorCode.BAD_JSON,
        Command(True, "c"),
    ]


def test_subscription_without_option_begins_now() -> None:
    """Position 0 is an option too."""
    assert Command(True, "a").is_from_now
    assert not Command(True, "a", after=0).is_from_now
    assert not Command(True, "a", last=0).is_from_now


# What is not


@pytest.mark.parametrize(
    "frame",
    [
        b"sub",
        b"unsub",
        b"hello",
        b"SUB a",
        b"subscribe a",
        b"\x1c",
        b"\xe2\x80\x83",
        b"5",
        b'"sub a"',
        b"null",
        b"{}",
        b'{"sub":null}',
        b'{"sub":["a"]}',
        b'{"unsub":5}',
        b'{"topic":"a"}',
        b'{"topic":"a","content":"hello"}',
        b'{"topic":"a","content":["sub"]}',
        b'{"topic":5,"content":"sub"}',
        b'{"topic":"a","sub":"a"}',
        b'{"after":5}',
    ],
)
def test_unknown_command_is_answered_with_the_spellings(frame: bytes) -> None:
    """The spellings are shown (line 6)."""
    rejected = refusal_of(frame)
    assert rejected.code == ErrorCode.BAD_COMMAND
    assert rejected.reason == 'expected: sub TOPIC, unsub TOPIC, {"sub": TOPIC} or {"unsub": TOPIC}'


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"sub a b", "sub has no option 'b'"),
        (b"sub a since=5", "sub has no option 'since'"),
        (b"unsub a after=5", "unsub has no option 'after'"),
        (b'{"unsub":"a","last":5}', "unsub has no option 'last'"),
        (b'{"sub":"a","unsub":"b"}', "sub has no option 'unsub'"),
        (b'{"sub":"a","x":1,"b":2}', "sub has no option 'b'"),
        ("sub a \x1bé=1".encode(), r"sub has no option '\x1b\xe9'"),
        (b"sub a " + b"x" * 100_000, f"sub has no option '{'x' * 40}'"),
        (b"sub a after=1 last=2", "after, last and latest exclude each other"),
        (b"sub a after=1 latest=true", "after, last and latest exclude each other"),
        (b'{"sub":"a","last":1,"latest":true}', "after, last and latest exclude each other"),
        (b"sub a latest=yes", "latest must be true or false"),
        (b'{"sub":"a","latest":1}', "latest must be true or false"),
        (b'{"unsub":"a","latest":true}', "unsub has no option 'latest'"),
        (b'{"sub":"a","after":1,"last":2}', "after, last and latest exclude each other"),
    ],
)
def test_refuses_wrong_options(frame: bytes, reason: str) -> None:
    """The option is named, in few characters that any terminal can show (line 6)."""
    rejected = refusal_of(frame)
    assert (rejected.code, rejected.reason) == (ErrorCode.BAD_COMMAND, reason)


@pytest.mark.parametrize("name", ["after", "last"])
@pytest.mark.parametrize(
    "value", ["-1", "1.5", "1e3", "true", '"5"', "null", "[1]", str(LARGEST + 1), "9" * 400, "9" * 10_000]
)
def test_position_in_json_is_a_whole_number(name: str, value: str) -> None:
    """One that fits into 64 bits (line 6)."""
    rejected = refusal_of(f'{{"sub":"a","{name}":{value}}}'.encode())
    assert rejected.code in (ErrorCode.BAD_POSITION, ErrorCode.BAD_JSON)
    assert (
        rejected.code == ErrorCode.BAD_JSON or rejected.reason == f"{name} must be a whole number from 0 on"
    )


@pytest.mark.parametrize("value", ["", "-1", "1.5", "x", "\u0665", "1_0", str(LARGEST + 1), "9" * 10_000])
def test_position_in_text_is_a_whole_number(value: str) -> None:
    """In the digits that JSON has (line 6)."""
    rejected = refusal_of(f"sub a after={value}".encode())
    assert (rejected.code, rejected.reason) == (
        ErrorCode.BAD_POSITION,
        "after must be a whole number from 0 on",
    )


@pytest.mark.parametrize(
    "frame", [b"sub a..b", b"sub a*", b'{"sub":""}', b'{"sub":"a b"}', b'{"Topic":"a\\n","Content":"sub"}']
)
def test_refuses_wrong_topics(frame: bytes) -> None:
    """In every spelling (line 6)."""
    assert refusal_of(frame).code == ErrorCode.BAD_TOPIC


@pytest.mark.parametrize(
    "frame",
    [
        b"{",
        b'{"sub":',
        b'{"sub":"a"} x',
        b"[1",
        b"\xff",
        b"sub \xff",
        b'{"sub":"\xff"}',
        b'{"sub":"\\ud800"}',
        b'{"\xff":1}',
        b"[" * 100_000,
        b'{"sub":' * 100_000,
        b'{"sub":' + b"[" * 100_000,
    ],
)
def test_refuses_what_is_not_json(frame: bytes) -> None:
    """Neither garbage nor endless nesting is more than one wrong frame (line 6)."""
    assert refusal_of(frame).code in (ErrorCode.BAD_JSON, ErrorCode.BAD_COMMAND)


@settings(max_examples=100)
@given(
    st.binary(max_size=30)
    | st.binary(max_size=20).map(lambda rest: b"sub a " + rest)
    | st.lists(objects.map(lambda each: json.dumps(each).encode()), max_size=3).map(join_array)
    | objects.map(lambda each: json.dumps(each, ensure_ascii=False).encode())
)
def test_any_bytes_are_commands_or_refused(frame: bytes) -> None:
    """No bytes raise, and no command that comes out needs checking again (line 6)."""
    for entry in parse(frame):
        if isinstance(entry, RefusedCommand):
            assert len(entry.rejected.reason) < 500
            continue
        assert is_pattern(entry.pattern)
        given_options = [value for value in (entry.after, entry.last) if value is not None]
        assert len(given_options) <= entry.subscribe
        assert all(type(value) is int and 0 <= value <= LARGEST for value in given_options)


@settings(max_examples=100)
@given(
    st.booleans(),
    st.lists(st.sampled_from(["a", "é", '"', "\\", "*"]), min_size=1, max_size=4).map(".".join),
    st.none() | st.tuples(st.sampled_from(["after", "last"]), st.integers(0, LARGEST)),
)
def test_all_spellings_mean_the_same(subscribe: bool, pattern: str, option: tuple[str, int] | None) -> None:
    """Whatever the topic and the option (line 5)."""
    verb = "sub" if subscribe else "unsub"
    options: dict[str, Any] = dict([option]) if option and subscribe else {}
    words = [verb, pattern, *(f"{name}={value}" for name, value in options.items())]
    spellings = [
        " ".join(words),
        json.dumps({"Topic": pattern, "Content": verb} | options),
        json.dumps({verb: pattern} | options, ensure_ascii=False),
        json.dumps([{**options, verb.upper(): pattern}]),
    ]
    for spelling in spellings:
        assert parse(spelling.encode()) == [Command(subscribe, pattern, **options)]
