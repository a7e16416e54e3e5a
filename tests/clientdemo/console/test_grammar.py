"""Tests of what a person can type (line 11)."""

import pytest

from clientdemo.console.grammar import Leave, Line, Mistake, Send, Sub, Unsub, parse


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sub orders.eu", Sub("orders.eu")),
        ("  sub   orders.>  ", Sub("orders.>")),
        ("sub orders.eu after=41", Sub("orders.eu", after=41)),
        ("sub orders.eu last=50", Sub("orders.eu", last=50)),
        ("sub orders.* latest", Sub("orders.*", latest=True)),
        ("sub orders.* latest=true", Sub("orders.*", latest=True)),
        ("unsub orders.eu", Unsub("orders.eu")),
        ("exit", Leave()),
        ("orders.eu two words", Send("orders.eu", "two words")),
        ("orders.eu   kept   as  typed ", Send("orders.eu", "kept   as  typed")),
        ("exit now", Mistake),
        ("subway tickets", Send("subway", "tickets")),
        ("", None),
        ("   ", None),
    ],
)
def test_line(text: str, line: Line | type[Mistake] | None) -> None:
    """Commands and messages are told apart as the original does."""
    parsed = parse(text)
    assert isinstance(parsed, Mistake) if line is Mistake else parsed == line


@pytest.mark.parametrize(
    "text",
    ["hello", "sub", "unsub", "unsub a b", "exit now", "unsubscribe x", "subscribe x", "help me", "quit now",
     "SUB x", "/sub x", "publish t hello"],
)  # fmt: skip
def test_what_fits_nothing_is_explained(text: str) -> None:
    """A line that is no message, and no command or only nearly one, is quoted, with what can be typed."""
    parsed = parse(text)
    assert isinstance(parsed, Mistake)
    assert parsed.reason.startswith(f'"{text}" is not understood: type sub TOPIC')


@pytest.mark.parametrize(
    "options",
    [
        "after",
        "after=",
        "after=x",
        "after=-1",
        "since=1",
        "after=1 last=2",
        "latest last=2",
        "latest=no",
        "x y",
    ],
)
def test_options_that_are_none_are_explained(options: str) -> None:
    """After sub comes a topic, and at most one option."""
    parsed = parse(f"sub t {options}")
    assert isinstance(parsed, Mistake)
    expected = "after=N or last=N, with a whole number, or latest"
    assert parsed.reason == f'"{options}" after sub t: expected {expected}'


@pytest.mark.parametrize("text", ["a..b hello", "a.* hello", "sp\tace hello"])
def test_a_message_to_no_topic_is_explained(text: str) -> None:
    """A message to an invalid topic is not sent."""
    parsed = parse(text)
    assert isinstance(parsed, Mistake)
    assert "is not a topic" in parsed.reason
