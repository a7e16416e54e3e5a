"""Tests of how the log is dealt out to the msgqueues that serve a durable consumer."""

import msgspec

from msgqueue.store.claims import Claim
from msgqueue.store.replica.shares import CLAIM_POSITIONS, GONE_MS, Share, with_sender

BOTH = {"a", "b"}


def test_each_claim_is_for_one_msgqueue() -> None:
    """Each gets the next part of the log; once all is claimed, there is nothing (line 61)."""
    share = Share(5).claimed("a", 2_000, BOTH).claimed("b", 2_000, BOTH)
    assert share.of("a") == [Claim(6, 5 + CLAIM_POSITIONS)]
    assert share.of("b") == [Claim(6 + CLAIM_POSITIONS, 2_000)]
    assert not share.is_claimable(2_000, BOTH)
    assert share.claimed("a", 2_000, BOTH) == share
    assert share.is_claimable(2_001, BOTH)


def test_a_claim_ends_when_it_is_done() -> None:
    """The position is that before the first record that is not done, in any claim."""
    share = Share(0).claimed("a", 10, BOTH).claimed("b", 20, BOTH)
    share = share.done("b", 20)
    assert (share.position, share.of("b")) == (0, [])
    share = share.done("a", 4)
    assert (share.position, share.of("a")) == (4, [Claim(5, 10)])
    assert share.done("a", 10).position == 20
    for owner, position in (("b", 7), ("a", 4), ("a", 11)):
        assert share.done(owner, position) == share


def test_what_a_msgqueue_leaves_goes_to_the_next() -> None:
    """Also if it is gone without a word; the oldest comes first, with what is known of failures (line 61)."""
    share = Share(0).claimed("a", 10, BOTH).claimed("b", 20, BOTH).done("a", 2)
    assert share.is_in_use({"a"})
    left = share.released("a", {2: 1, 3: 1})
    assert (left.of("a"), left.failures) == ([], {3: 1})
    assert not left.is_in_use({"a"})
    taken = left.claimed("b", 20, BOTH)
    assert taken.of("b") == [Claim(3, 10), Claim(11, 20)]
    assert taken.done("b", 5).failures == {}
    assert share.is_claimable(20, {"b"})
    assert share.claimed("b", 20, {"b"}).of("b") == [Claim(3, 10), Claim(11, 20)]


def test_a_silent_msgqueue_is_gone_after_some_time() -> None:
    """Nothing is taken from one that is only slow; a new process takes the place of the one before."""
    alive = with_sender({"a.1": 0}, "b.1", GONE_MS - 1, is_new=True)
    assert alive == {"a.1": 0, "b.1": GONE_MS - 1}
    assert with_sender(alive, "b.1", GONE_MS, is_new=False) == {"b.1": GONE_MS}
    replaced = with_sender(alive, "a.2", GONE_MS - 1, is_new=True)
    assert replaced == with_sender(replaced, "a.1", GONE_MS - 1, is_new=False)
    assert replaced.keys() == {"b.1", "a.2"}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Share(3)), type=Share) == Share(3)
