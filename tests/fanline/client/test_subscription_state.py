"""Tests of what a subscriber remembers in order to resume, without a socket."""

import pytest

from fanline.client.subscription_state import SubscriptionState
from fanline.protocol import SubscribeRequest


@pytest.fixture
def state() -> SubscriptionState:
    """A state with two subscriptions, answered at position 10."""
    state = SubscriptionState()
    for pattern in ("a.x", "b.*"):
        state.ask(SubscribeRequest(pattern, last=3))
        state.confirm(pattern, 10)
    return state


def test_asks_as_it_was_asked_until_the_answer() -> None:
    """Requests without an answer are repeated on the next connection."""
    state = SubscriptionState()
    state.ask(SubscribeRequest("a", last=3))
    assert state.resume() == [SubscribeRequest("a", last=3)]


def test_resumes_each_behind_its_last_message(state: SubscriptionState) -> None:
    """Each subscription has a position of its own (promise 4)."""
    assert state.admit("a.x", 11)
    assert state.admit("b.y", 12)
    assert state.admit("b.z", 15)
    assert state.resume() == [SubscribeRequest("a.x", after=11), SubscribeRequest("b.*", after=15)]


def test_admits_each_message_once(state: SubscriptionState) -> None:
    """Records before the position or before the start are not new."""
    assert not state.admit("a.x", 10)
    assert state.admit("a.x", 11)
    assert not state.admit("a.x", 11)
    assert state.admit("b.x", 11)


def test_admits_what_one_of_two_overlapping_patterns_has_not_had(state: SubscriptionState) -> None:
    """A wider pattern that starts further back gets what the narrower one has had already."""
    assert state.admit("a.x", 11)
    state.ask(SubscribeRequest("a.>", after=5))
    state.confirm("a.>", 5)
    assert state.admit("a.x", 6)
    assert state.admit("a.x", 11)
    assert not state.admit("a.x", 11)
    assert state.admit("a.x", 12)


def test_nothing_counts_before_the_answer(state: SubscriptionState) -> None:
    """On a new connection, a message that precedes the answer belongs to another subscription."""
    state.admit("a.x", 11)
    state.resume()
    assert not state.admit("a.x", 12)
    state.confirm("a.x", 11)
    assert state.admit("a.x", 12)


def test_what_came_early_does_not_come_twice(state: SubscriptionState) -> None:
    """A message that comes for one subscription, and for another once that is answered, is new once."""
    for pattern in ("a.*", "*.x"):
        state.ask(SubscribeRequest(pattern, after=10))
        state.confirm(pattern, 10)
    state.resume()
    state.confirm("a.*", 10)
    assert state.admit("a.x", 11)
    assert state.admit("a.y", 12)
    state.confirm("*.x", 10)
    assert not state.admit("a.x", 11)
    assert state.admit("c.x", 13)
    state.resume()
    state.confirm("*.x", 13)
    state.confirm("a.x", 10)
    assert not state.admit("a.x", 11)
    assert state.admit("a.x", 14)
    state.confirm("a.*", 12)
    assert not state.admit("a.x", 14)


def test_asking_again_changes_nothing(state: SubscriptionState) -> None:
    """A repeated subscription keeps its position, whatever it asks for, answered or refused."""
    state.admit("a.x", 11)
    state.ask(SubscribeRequest("a.x", after=0))
    assert not state.confirm("a.x", 99)
    state.refuse("a.x")
    assert state.admit("a.x", 12)
    assert state.resume()[0] == SubscribeRequest("a.x", after=12)


def test_what_was_refused_is_not_asked_again(state: SubscriptionState) -> None:
    """A refusal ends a subscription, also one that had been there on an earlier connection."""
    state.ask(SubscribeRequest("c"))
    state.refuse("c")
    state.resume()
    state.refuse("b.*")
    assert state.resume() == [SubscribeRequest("a.x", after=10)]


def test_what_was_forgotten_is_not_wanted(state: SubscriptionState) -> None:
    """After unsubscribing no message matches, and nothing is asked for; an answer in between does no harm."""
    state.forget("a.x")
    state.forget("a.x")
    state.confirm("a.x", 20)
    state.refuse("a.x")
    assert not state.wants("a.x")
    assert state.wants("b.x")
    assert not state.admit("a.x", 11)
    assert state.resume() == [SubscribeRequest("b.*", after=10)]


def test_does_not_ask_for_what_is_gone(state: SubscriptionState) -> None:
    """A gap that was reported once is not asked for again."""
    state.skip("a.x", 30)
    state.skip("b.*", 5)
    state.skip("c", 5)
    assert state.resume() == [SubscribeRequest("a.x", after=30), SubscribeRequest("b.*", after=10)]


def test_takes_what_remains_within_a_gap(state: SubscriptionState) -> None:
    """Of a pattern some topics may have kept what others have lost: it is new, and is asked for."""
    state.skip("b.*", 30)
    assert state.admit("b.y", 20)
    assert state.resume()[1] == SubscribeRequest("b.*", after=20)


def test_without_positions_every_message_is_new() -> None:
    """A queue that keeps no positions is taken at its word, and a reconnect may have missed something."""
    state = SubscriptionState()
    state.ask(SubscribeRequest("a"))
    assert not state.confirm("a", None)
    assert state.admit("a", 0)
    assert state.admit("a", 0)
    state.skip("a", 5)
    assert state.resume() == [SubscribeRequest("a")]
    assert state.confirm("a", None)


def test_a_session_is_resumed_under_its_name() -> None:
    """On a new connection the user is present again, under the same name (line 48)."""
    state = SubscriptionState()
    request = SubscribeRequest("room.7", presence=True, session="tablet")
    state.ask(request)
    assert state.resume() == [request]
    state.confirm("room.7", 4, "e")
    assert state.resume() == [
        SubscribeRequest("room.7", after=4, epoch="e", presence=True, session="tablet"),
    ]
