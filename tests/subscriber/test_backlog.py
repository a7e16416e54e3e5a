"""Tests of what a connection still has to be sent from the log."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol.topics import matches
from subscriber.backlog import FIRST_PAGE, LARGEST_PAGE, Catchup

TOPICS = ["a", "b", "a.a", "a.b"]
PATTERNS = [*TOPICS, "*", "a.*", ">", "a.>"]


@dataclass
class Want:
    """A subscription by itself: everything of it up to ``reached`` was sent, or never wanted."""

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


@settings(max_examples=300, deadline=None)
@given(logs, steps)
def test_every_subscription_gets_its_own_once_and_in_order(
    log: list[str], steps: list[Add | Remove | Read]
) -> None:
    """A record is sent exactly if some subscription, looked at by itself, has still to get it."""
    catchup = Catchup()
    wants: dict[str, Want] = {}
    for step in [*steps, Read(25), Read(25)]:
        if isinstance(step, Add) and step.pattern not in wants:
            wants[step.pattern] = Want(*step)
            catchup.add(*step)
        elif isinstance(step, Remove):
            wants.pop(step.pattern, None)
            catchup.remove(step.pattern)
        elif isinstance(step, Read) and wants:
            read_on(catchup, wants, log, step.length)
        assert catchup.patterns == list(wants)
        assert {pattern: catchup.position_of(pattern) for pattern in wants} == {
            pattern: want.reached for pattern, want in wants.items()
        }
    assert not wants or catchup.position >= len(log)


def read_on(catchup: Catchup, wants: dict[str, Want], log: list[str], count: int) -> None:
    """Go over the next stretch of the log, and compare record by record with each subscription alone."""
    start, end = catchup.position, min(catchup.position + count, len(log))
    assert start <= min(want.reached for want in wants.values())
    for seq in range(start + 1, end + 1):
        topic = log[seq - 1]
        takers = [want for want in wants.values() if want.reached < seq and matches(want.pattern, topic)]
        assert catchup.wants(topic, seq) == bool(takers), (topic, seq)
    catchup.advance(end)
    for want in wants.values():
        want.reached = max(want.reached, end)


def test_nothing_is_wanted_at_first() -> None:
    """Without a subscription there is nothing to read for."""
    catchup = Catchup()
    assert not catchup
    assert catchup.patterns == []
    assert not catchup.wants("a", 1)


def test_reading_begins_where_the_first_subscription_does() -> None:
    """Also where all those before it were removed again."""
    catchup = Catchup()
    catchup.add("a", 7)
    assert catchup
    assert catchup.position == 7
    catchup.remove("a")
    assert not catchup
    catchup.add("b", 3)
    assert catchup.position == 3


def test_a_subscription_further_back_takes_nobody_else_back() -> None:
    """Reading goes back for it, and what others were sent on the way is not sent to them again."""
    catchup = Catchup()
    catchup.add("a", 0)
    catchup.advance(50)
    catchup.add("b", 20)
    assert catchup.position == 20
    assert (catchup.wants("a", 50), catchup.wants("b", 50)) == (False, True)
    assert (catchup.wants("a", 51), catchup.wants("b", 51)) == (True, True)
    assert (catchup.position_of("a"), catchup.position_of("b")) == (50, 20)


def test_a_subscription_further_on_waits_for_its_place() -> None:
    """Reading does not skip what others want before it."""
    catchup = Catchup()
    catchup.add("a", 10)
    catchup.add("b", 30)
    assert catchup.position == 10
    assert (catchup.wants("a", 11), catchup.wants("b", 30), catchup.wants("b", 31)) == (True, False, True)


def test_the_log_is_never_read_backwards() -> None:
    """A page that ends before the position, because it was asked for earlier, changes nothing."""
    catchup = Catchup()
    catchup.add("a", 10)
    catchup.advance(5)
    assert catchup.position == 10


def test_every_change_makes_pages_that_were_asked_for_useless() -> None:
    """They were read for other subscriptions."""
    catchup = Catchup()
    versions = [catchup.version]
    catchup.add("a", 1)
    versions.append(catchup.version)
    catchup.add("b", 1)
    versions.append(catchup.version)
    catchup.remove("a")
    versions.append(catchup.version)
    assert len(set(versions)) == 4


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
def test_it_is_complete_when_the_live_path_can_take_over(
    afters: dict[str, int], position: int, is_complete: bool
) -> None:
    """Everything up to the head was sent, and nothing after it was seen elsewhere already."""
    catchup = Catchup()
    for pattern, after in afters.items():
        catchup.add(pattern, after)
    catchup.advance(position)
    assert catchup.is_complete(20) is is_complete


def test_pages_grow() -> None:
    """The first page is small, because somebody waits for it; each further one is larger, to a bound."""
    catchup = Catchup()
    catchup.add("a", 0)
    limits = []
    for position in range(1, 9):
        limits.append(catchup.limit)
        catchup.advance(position)
    assert limits[:3] == [FIRST_PAGE, 2 * FIRST_PAGE, 4 * FIRST_PAGE]
    assert limits[-1] == LARGEST_PAGE == max(limits)
