"""Events of sessions, errors, history and limits of a hub."""

from typing import Any

import msgspec
import pytest

from fanline.errors import Closed, FanlineError
from fanline.hub import (
    BadLimit,
    DuplicateSession,
    Event,
    EventType,
    Hub,
    HubClosed,
    HubError,
    Missed,
    UnknownSession,
)
from tests.fanline.hub.hub.conftest import fact, facts, kinds


def test_the_events_of_a_users_sessions() -> None:
    """The first joins, the others are added; the others are removed, the last leaves (line 33)."""
    hub = Hub("lobby", clock=lambda: 1_795_209_095_123)
    witness = hub.add("witness", "w")
    hub.add("ada", "laptop")
    hub.add("ada", "phone")
    hub.message("ada", "hello")
    hub.remove("ada", "laptop")
    hub.remove("ada", "phone")
    hub.close_nowait()
    time = 1_795_209_095_123
    assert witness.take_all() == [
        Event(1, "lobby", EventType.JOIN, time, "witness", "w"),
        Event(2, "lobby", EventType.JOIN, time, "ada", "laptop"),
        Event(3, "lobby", EventType.ADD, time, "ada", "phone"),
        Event(4, "lobby", EventType.MESSAGE, time, "ada", message="hello"),
        Event(5, "lobby", EventType.REMOVE, time, "ada", "laptop"),
        Event(6, "lobby", EventType.LEAVE, time, "ada", "phone"),
        Event(7, "lobby", EventType.CLOSE, time),
    ]


def test_a_session_hears_its_own_beginning_and_its_own_end() -> None:
    """And all that happened between the two, but nothing before or after (line 33)."""
    hub = Hub("lobby")
    hub.message("bob", "too early")
    laptop, phone = hub.add("ada", "laptop"), hub.add("ada", "phone")
    hub.remove("ada", "laptop")
    hub.message("bob", "too late for the laptop")
    hub.remove("ada", "phone")
    hub.message("bob", "too late")
    assert kinds(laptop) == ["join", "add", "remove"]
    assert kinds(phone) == ["add", "remove", "message", "leave"]


def test_users_share_no_sessions() -> None:
    """Two users may name a session alike, and one that has left may come again (line 33)."""
    hub = Hub("lobby")
    ada, bob = hub.add("ada", "1"), hub.add("bob", "1")
    hub.remove("ada", "1")
    again = hub.add("ada", "1")
    hub.message("bob", "welcome back")
    assert kinds(ada) == ["join", "join", "leave"]
    assert kinds(bob) == ["join", "leave", "join", "message"]
    assert kinds(again) == ["join", "message"]


def test_each_error_says_what_was_wrong() -> None:
    """A duplicate session, an unknown one and a closed hub are three errors, and change nothing (line 34)."""
    hub = Hub("lobby")
    stream = hub.add("ada", "1")
    with pytest.raises(
        DuplicateSession, match=r"^hub 'lobby': 'ada' has a session '1' already; give it"
    ) as two:
        hub.add("ada", "1")
    for user, session in (("ada", "2"), ("bob", "1")):
        with pytest.raises(
            UnknownSession, match=f"^hub 'lobby': '{user}' has no session '{session}'"
        ) as none:
            hub.remove(user, session)
        assert (none.value.hub, none.value.user, none.value.session) == ("lobby", user, session)
    assert (two.value.hub, two.value.user, two.value.session) == ("lobby", "ada", "1")
    assert kinds(stream) == ["join"]
    hub.close_nowait()
    with pytest.raises(HubClosed, match=r"^hub 'lobby' is closed$"):
        hub.add("bob", "1")
    with pytest.raises(HubClosed):
        hub.remove("ada", "1")
    assert kinds(stream) == ["close"]


def test_the_errors_are_of_the_one_tree() -> None:
    """All errors are FanlineErrors and HubErrors (line 34)."""
    errors = [DuplicateSession, UnknownSession, HubClosed, BadLimit]
    assert all(issubclass(error, HubError) for error in errors)
    assert issubclass(HubError, FanlineError)
    assert issubclass(HubClosed, Closed)
    assert not any(issubclass(one, other) for one in errors for other in errors if one is not other)


def test_a_message_to_a_closed_hub_is_nothing() -> None:
    """No error, and no event; to close it again neither (line 34)."""
    hub = Hub("lobby")
    stream = hub.add("ada", "1")
    hub.close_nowait()
    hub.message("ada", "anyone there?")
    hub.close_nowait()
    assert kinds(stream) == ["join", "close"]
    assert [event.type for event in hub.history()] == ["join", "close"]


def test_history_is_the_newest_events() -> None:
    """In order, also when the hub is closed; what is done to the list does not concern the hub (line 35)."""
    hub = Hub("lobby", history=3)
    assert hub.history() == []
    for text in "abcd":
        hub.message("ada", text)
    hub.history().clear()
    assert [event.message for event in hub.history()] == ["b", "c", "d"]
    hub.close_nowait()
    assert [event.id for event in hub.history()] == [3, 4, 5]


def test_a_history_of_nothing() -> None:
    """A hub that keeps nothing works as any other (line 35)."""
    hub = Hub("lobby", history=0)
    stream = hub.add("ada", "1")
    hub.message("ada", "hello")
    assert hub.history() == []
    assert kinds(stream) == ["join", "message"]


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"history": -1}, "history must be 0 or more, not -1"),
        ({"max_pending": 0}, "max_pending must be 1 or more, not 0"),
    ],
)
def test_limits_that_nothing_can_have_are_refused(limits: dict[str, Any], sentence: str) -> None:
    """At once, by name."""
    with pytest.raises(BadLimit, match=f"^{sentence}$"):
        Hub("lobby", **limits)


def test_the_clock_is_that_of_the_system() -> None:
    """In Unix milliseconds, unless another is given (line 33)."""
    hub = Hub("lobby")
    hub.message("ada", "now")
    (event,) = hub.history()
    assert event.time > 1_700_000_000_000
    assert event.time < 10_000_000_000_000


def test_an_event_as_json_has_no_empty_fields() -> None:
    """The names are those of the attributes."""
    hub = Hub("lobby", clock=lambda: 5)
    hub.add("ada", "1")
    hub.message("ada", "hi")
    hub.close_nowait()
    assert [msgspec.json.encode(event) for event in hub.history()] == [
        b'{"id":1,"hub":"lobby","type":"join","time":5,"user":"ada","session":"1"}',
        b'{"id":2,"hub":"lobby","type":"message","time":5,"user":"ada","message":"hi"}',
        b'{"id":3,"hub":"lobby","type":"close","time":5}',
    ]


def test_a_stalled_session_misses_what_does_not_fit_and_is_told() -> None:
    """It keeps max_pending events, all others get everything, and it gets the end at last (line 36)."""
    hub = Hub("lobby", max_pending=3)
    stalled, brisk = hub.add("ada", "stalled"), hub.add("bob", "brisk")
    heard: list[str | None] = []
    for number in range(100):
        hub.message("bob", str(number))
        heard += [event[3] for event in facts(brisk) if event[0] == "message"]
    assert heard == [str(number) for number in range(100)]
    hub.close_nowait()
    *first, missed, last = stalled.take_all()
    assert [fact(event)[0] for event in first] == ["join", "join", "message"]
    assert missed == Missed(99)
    assert fact(last)[0] == "close"
    assert stalled.missed == 99


def test_a_message_to_a_thousand_sessions_is_one_event() -> None:
    """All share it: each has but a reference, and no task or future is made for any (line 36)."""
    hub = Hub("lobby")
    streams = [hub.add(f"user {number}", "1") for number in range(1_000)]
    hub.message("user 0", "hello, all")
    (event,) = hub.history()[-1:]
    assert all(stream.take_all()[-1] is event for stream in streams)
