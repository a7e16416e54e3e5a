"""Tests of what a subscriber still has to be sent from the log."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol.topics import matches
from subscriber.backlog import FIRST_PAGE_RECORDS, GROWN_PAGE_RECORDS, Backlog

TOPICS = ["a", "b", "a.a", "a.b"]
PATTERNS = [*TOPICS, "*", "a.*", ">", "a.>"]


@dataclass
class Want:
    """A pattern by itself: everything of it up to ``reached`` was sent, or never wanted."""

    pattern: str
    reached: int


class Add(NamedTuple):
    """Subscribe to a pattern after a position."""

    pattern: str
    after: int


class Remove(NamedTuple):
    """Unsubscribe from a pattern."""

    pattern: str


class Read(NamedTuple):
    """Read so many positions of the log, and send what is wanted."""

    length: int


Step = Add | Remove | Read

logs = st.lists(st.sampled_from(TOPICS), max_size=25)
steps = st.lists(
    st.builds(Add, st.sampled_from(PATTERNS), st.integers(0, 25))
    | st.builds(Remove, st.sampled_from(PATTERNS))
    | st.builds(Read, st.integers(1, 8)),
    max_size=25,
)


@settings(max_examples=100)
@given(logs, steps)
def test_every_pattern_gets_its_records_once_and_in_order(
    log: list[str], steps: list[Add | Remove | Read]
) -> None:
    """A record is sent exactly if some pattern, looked at by itself, still lacks it."""
    backlog = Backlog()
    wants: dict[str, Want] = {}
    for step in [*steps, Read(25), Read(25)]:
        if isinstance(step, Add) and step.pattern not in wants:
            wants[step.pattern] = Want(*step)
            backlog.add(*step)
        elif isinstance(step, Remove):
            wants.pop(step.pattern, None)
            backlog.remove(step.pattern)
        elif isinstance(step, Read) and wants:
            read_on(backlog, wants, log, step.length)
        assert backlog.patterns == list(wants)
        assert {pattern: backlog.position_of(pattern) for pattern in wants} == {
            pattern: want.reached for pattern, want in wants.items()
        }
    assert not wants or backlog.position >= len(log)


def read_on(backlog: Backlog, wants: dict[str, Want], log: list[str], count: int) -> None:
    """Read the next part of the log, and compare record by record with each pattern alone."""
    start, end = backlog.position, min(backlog.position + count, len(log))
    assert start <= min(want.reached for want in wants.values())
    for seq in range(start + 1, end + 1):
        topic = log[seq - 1]
        takers = [want for want in wants.values() if want.reached < seq and matches(want.pattern, topic)]
        assert backlog.wants(topic, seq) == bool(takers), (topic, seq)
    backlog.advance(end)
    for want in wants.values():
        want.reached = max(want.reached, end)


def test_wants_nothing_at_first() -> None:
    """Without a pattern there is nothing to read."""
    backlog = Backlog()
    assert not backlog
    assert backlog.patterns == []
    assert not backlog.wants("a", 1)


def test_reading_begins_after_the_first_position() -> None:
    """Also when all earlier patterns were removed again."""
    backlog = Backlog()
    backlog.add("a", 7)
    assert backlog
    assert backlog.position == 7
    backlog.remove("a")
    assert not backlog
    backlog.add("b", 3)
    assert backlog.position == 3


def test_earlier_position_repeats_nothing_of_other_patterns() -> None:
    """Reading goes back for the new pattern, and sends only its records again."""
    backlog = Backlog()
    backlog.add("a", 0)
    backlog.advance(50)
    backlog.add("b", 20)
    assert backlog.position == 20
    assert (backlog.wants("a", 50), backlog.wants("b", 50)) == (False, True)
    assert (backlog.wants("a", 51), backlog.wants("b", 51)) == (True, True)
    assert (backlog.position_of("a"), backlog.position_of("b")) == (50, 20)


def test_later_position_skips_nothing_of_other_patterns() -> None:
    """Reading does not go on to the position of the new pattern at once."""
    backlog = Backlog()
    backlog.add("a", 10)
    backlog.add("b", 30)
    assert backlog.position == 10
    assert (backlog.wants("a", 11), backlog.wants("b", 30), backlog.wants("b", 31)) == (True, False, True)


def test_advancing_never_goes_back() -> None:
    """A page that ends before the position changes nothing."""
    backlog = Backlog()
    backlog.add("a", 10)
    backlog.advance(5)
    assert backlog.position == 10


@pytest.mark.parametrize(
    ("afters", "position", "is_complete"),
    [
        ({"a": 10}, 20, True),
        ({"a": 10}, 19, False),
        ({"a": 20, "b": 10}, 20, True),
        ({"a": 21}, 21, False),
        ({"a": 21, "b": 10}, 20, False),
    ],
)
def test_is_complete_when_fan_out_can_go_on(afters: dict[str, int], position: int, is_complete: bool) -> None:
    """Everything up to the head was sent, and nothing after it by another service."""
    backlog = Backlog()
    for pattern, after in afters.items():
        backlog.add(pattern, after)
    backlog.advance(position)
    assert backlog.is_complete(20) is is_complete


def test_pages_grow() -> None:
    """The first page is small, because the subscriber waits for it; later ones double, up to a bound."""
    backlog = Backlog()
    backlog.add("a", 0)
    limits = []
    for position in range(1, 9):
        limits.append(backlog.next_read().limit)
        backlog.advance(position)
    assert limits[:3] == [FIRST_PAGE_RECORDS, 2 * FIRST_PAGE_RECORDS, 4 * FIRST_PAGE_RECORDS]
    assert limits[-1] == GROWN_PAGE_RECORDS == max(limits)


def test_many_wildcards_cost_little_per_record() -> None:
    """An index decides once for each topic; trying a thousand patterns each time held up all others."""
    backlog = Backlog([f"user.{n}.>" for n in range(1_000)])
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = [seq for seq in range(1, 5_001) if backlog.wants(f"user.{seq % 500 + 900}.a", seq)]
    finally:
        sys.setprofile(None)
    assert len(found) == 1_000
    assert calls < 100_000
