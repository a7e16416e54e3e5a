"""Tests of what a subscriber remembers in order to resume, without a socket."""

import pytest

from fanline.client.subscription_state import Ledger
from fanline.protocol import SubscribeRequest


@pytest.fixture
def ledger() -> Ledger:
    """A ledger with two subscriptions, answered at position 10."""
    ledger = Ledger()
    for pattern in ("a.x", "b.*"):
        ledger.ask(SubscribeRequest(pattern, last=3))
        ledger.confirm(pattern, 10)
    return ledger


def test_asks_as_it_was_asked_until_the_answer() -> None:
    """What has no answer yet is asked in the same words on the next connection."""
    ledger = Ledger()
    ledger.ask(SubscribeRequest("a", last=3))
    assert ledger.resume() == [SubscribeRequest("a", last=3)]


def test_resumes_each_behind_its_last_message(ledger: Ledger) -> None:
    """Each subscription has a position of its own (promise 4)."""
    assert ledger.admit("a.x", 11)
    assert ledger.admit("b.y", 12)
    assert ledger.admit("b.z", 15)
    assert ledger.resume() == [SubscribeRequest("a.x", after=11), SubscribeRequest("b.*", after=15)]


def test_admits_each_message_once(ledger: Ledger) -> None:
    """What came before, or lies before the start, is not new."""
    assert not ledger.admit("a.x", 10)
    assert ledger.admit("a.x", 11)
    assert not ledger.admit("a.x", 11)
    assert ledger.admit("b.x", 11)


def test_admits_what_one_of_two_overlapping_patterns_has_not_had(ledger: Ledger) -> None:
    """A wider pattern that starts further back gets what the narrower one has had already."""
    assert ledger.admit("a.x", 11)
    ledger.ask(SubscribeRequest("a.>", after=5))
    ledger.confirm("a.>", 5)
    assert ledger.admit("a.x", 6)
    assert ledger.admit("a.x", 11)
    assert not ledger.admit("a.x", 11)
    assert ledger.admit("a.x", 12)


def test_nothing_counts_before_the_answer(ledger: Ledger) -> None:
    """On a new connection, a message that precedes the answer belongs to another subscription."""
    ledger.admit("a.x", 11)
    ledger.resume()
    assert not ledger.admit("a.x", 12)
    ledger.confirm("a.x", 11)
    assert ledger.admit("a.x", 12)


def test_what_came_early_does_not_come_twice(ledger: Ledger) -> None:
    """A message that comes for one subscription, and for another once that is answered, is new once."""
    for pattern in ("a.*", "*.x"):
        ledger.ask(SubscribeRequest(pattern, after=10))
        ledger.confirm(pattern, 10)
    ledger.resume()
    ledger.confirm("a.*", 10)
    assert ledger.admit("a.x", 11)
    assert ledger.admit("a.y", 12)
    ledger.confirm("*.x", 10)
    assert not ledger.admit("a.x", 11)
    assert ledger.admit("c.x", 13)
    ledger.resume()
    ledger.confirm("*.x", 13)
    ledger.confirm("a.x", 10)
    assert not ledger.admit("a.x", 11)
    assert ledger.admit("a.x", 14)
    ledger.confirm("a.*", 12)
    assert not ledger.admit("a.x", 14)


def test_asking_again_changes_nothing(ledger: Ledger) -> None:
    """A repeated subscription keeps its position, whatever it asks for, answered or refused."""
    ledger.admit("a.x", 11)
    ledger.ask(SubscribeRequest("a.x", after=0))
    assert not ledger.confirm("a.x", 99)
    ledger.refuse("a.x")
    assert ledger.admit("a.x", 12)
    assert ledger.resume()[0] == SubscribeRequest("a.x", after=12)


def test_what_was_refused_is_not_asked_again(ledger: Ledger) -> None:
    """A refusal ends a subscription, also one that had been there on an earlier connection."""
    ledger.ask(SubscribeRequest("c"))
    ledger.refuse("c")
    ledger.resume()
    ledger.refuse("b.*")
    assert ledger.resume() == [SubscribeRequest("a.x", after=10)]


def test_what_was_forgotten_is_not_wanted(ledger: Ledger) -> None:
    """After unsubscribing no message matches, and nothing is asked for; an answer in between does no harm."""
    ledger.forget("a.x")
    ledger.forget("a.x")
    ledger.confirm("a.x", 20)
    ledger.refuse("a.x")
    assert not ledger.wants("a.x")
    assert ledger.wants("b.x")
    assert not ledger.admit("a.x", 11)
    assert ledger.resume() == [SubscribeRequest("b.*", after=10)]


def test_does_not_ask_for_what_is_gone(ledger: Ledger) -> None:
    """A gap that was reported once is not asked for again."""
    ledger.skip("a.x", 30)
    ledger.skip("b.*", 5)
    ledger.skip("c", 5)
    assert ledger.resume() == [SubscribeRequest("a.x", after=30), SubscribeRequest("b.*", after=10)]


def test_takes_what_remains_within_a_gap(ledger: Ledger) -> None:
    """Of a pattern some topics may have kept what others have lost: it is new, and is asked for."""
    ledger.skip("b.*", 30)
    assert ledger.admit("b.y", 20)
    assert ledger.resume()[1] == SubscribeRequest("b.*", after=20)


def test_without_positions_every_message_is_new() -> None:
    """A queue that keeps no positions is taken at its word, and a reconnect may have missed something."""
    ledger = Ledger()
    ledger.ask(SubscribeRequest("a"))
    assert not ledger.confirm("a", None)
    assert ledger.admit("a", 0)
    assert ledger.admit("a", 0)
    ledger.skip("a", 5)
    assert ledger.resume() == [SubscribeRequest("a")]
    assert ledger.confirm("a", None)
