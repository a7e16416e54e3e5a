"""Tests of pending messages and their order, without a socket."""

from dataclasses import dataclass, field
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fanline.client.outbox import Outbox, PendingMessage


def ids(messages: list[PendingMessage]) -> list[str]:
    return [message.id for message in messages]


@pytest.fixture
def outbox() -> Outbox[PendingMessage]:
    """Four messages of 10, 20, 30 and 40 bytes, waiting to be sent."""
    outbox: Outbox[PendingMessage] = Outbox(max_count=5, max_bytes=1_000)
    for name, size in (("a", 10), ("b", 20), ("c", 30), ("d", 40)):
        outbox.add(PendingMessage(name, b"x" * size))
    return outbox


def test_takes_as_many_as_fit(outbox: Outbox[PendingMessage]) -> None:
    """Messages that are sent together stay within the limit, and in order."""
    assert ids(outbox.take(60)) == ["a", "b", "c"]
    assert ids(outbox.take(60)) == ["d"]
    assert outbox.take(60) == []


def test_takes_one_that_is_too_large_alone(outbox: Outbox[PendingMessage]) -> None:
    """A message over the limit does not block the others."""
    assert ids(outbox.take(5)) == ["a"]


def test_takes_no_more_than_max_count(outbox: Outbox[PendingMessage]) -> None:
    """The number of messages taken can be limited as well."""
    assert ids(outbox.take(1_000, max_count=3)) == ["a", "b", "c"]


def test_settles_the_oldest_sent(outbox: Outbox[PendingMessage]) -> None:
    """A reply removes the oldest message sent, by its id or by its turn."""
    outbox.take(30)
    first, second = outbox.settle_next("a"), outbox.settle_next(None)
    assert first is not None
    assert second is not None
    assert ids([first, second]) == ["a", "b"]
    assert ids(list(outbox)) == ["c", "d"]


def test_a_reply_out_of_order_removes_nothing(outbox: Outbox[PendingMessage]) -> None:
    """A reply for another message, or for none that was sent, is seen as wrong."""
    assert outbox.settle_next(None) is None
    outbox.take(30)
    assert outbox.settle_next("b") is None
    assert len(outbox) == 4


def test_settles_by_id_in_any_order(outbox: Outbox[PendingMessage]) -> None:
    """Where replies come in any order, the id tells the message; one that was not sent has no reply."""
    outbox.take(60)
    settled = outbox.settle("b")
    assert settled is not None
    assert settled.id == "b"
    assert outbox.settle("b") is None
    assert outbox.settle("d") is None
    assert ids(list(outbox)) == ["a", "c", "d"]


def test_the_largest_sent_can_be_settled(outbox: Outbox[PendingMessage]) -> None:
    """Of the messages sent, not of those that wait, the largest is found."""
    assert outbox.settle_largest() is None
    outbox.take(60)
    largest = outbox.settle_largest()
    assert largest is not None
    assert largest.id == "c"
    assert ids(list(outbox)) == ["a", "b", "d"]


def test_an_expired_message_takes_its_group_along() -> None:
    """Later messages of the same sender are refused too, so that none overtakes the expired one."""
    outbox: Outbox[PendingMessage] = Outbox(max_bytes=1_000)
    for number, group in enumerate(("one", "one", None, "two")):
        outbox.add(PendingMessage(str(number), b"", group=group, deadline=float(number)))
    assert outbox.expire(-0.1) == []
    assert ids(outbox.expire(0.0)) == ["0", "1"]
    assert ids(outbox.expire(2.5)) == []
    assert ids(list(outbox)) == ["2", "3"]


def test_an_expired_message_that_was_sent_waits_for_its_reply() -> None:
    """Its place in the order of replies is kept, but it is refused once and not sent again."""
    outbox: Outbox[PendingMessage] = Outbox(max_bytes=1_000)
    outbox.add(PendingMessage("a", b"x", group="one", deadline=0.0))
    outbox.add(PendingMessage("b", b"x"))
    outbox.take(1_000)
    assert ids(outbox.expire(1.0)) == ["a"]
    assert outbox.expire(1.0) == []
    assert len(outbox) == 2
    outbox.put_back()
    assert ids(outbox.take(1_000)) == ["b"]


def test_can_be_cleared(outbox: Outbox[PendingMessage]) -> None:
    """At the end everything is removed, sent or not."""
    outbox.take(30)
    assert ids(outbox.clear()) == ["a", "b", "c", "d"]
    assert len(outbox) == 0
    assert outbox.take(1_000) == []


@settings(max_examples=100)
@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 40))
def test_batches_are_as_large_as_they_may_be(sizes: list[int], limit: int) -> None:
    """No batch is over the limit, unless of one message; and none leaves out a message that would fit."""
    outbox: Outbox[PendingMessage] = Outbox(max_bytes=10_000)
    for number, size in enumerate(sizes):
        outbox.add(PendingMessage(str(number), b"x" * size))
    batches = []
    while batch := outbox.take(limit):
        batches.append([len(message.body) for message in batch])
    assert list(chain(*batches)) == sizes
    assert all(sum(batch) <= limit or len(batch) == 1 for batch in batches)
    for before, after in pairwise(batches):
        assert sum(before) + after[0] > limit


@dataclass
class Model:
    """Expected content of an outbox, as two plain lists."""

    sent: list[PendingMessage] = field(default_factory=list)
    waiting: list[PendingMessage] = field(default_factory=list)

    def all(self) -> list[PendingMessage]:
        return self.sent + self.waiting

    def drop(self, message: PendingMessage) -> None:
        (self.sent if message in self.sent else self.waiting).remove(message)


class OutboxMachine(RuleBasedStateMachine):
    """Any order of calls leaves the same messages, in the same order, as the model."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: Outbox[PendingMessage] = Outbox(max_count=6, max_bytes=100)
        self.model = Model()
        self.now = 0.0
        self.number = 0

    @rule(size=st.integers(0, 40), group=st.sampled_from([None, "one", "two"]), wait=st.integers(0, 3))
    def add(self, size: int, group: str | None, wait: int) -> None:
        self.now += wait
        self.number += 1
        message = PendingMessage(str(self.number), b"x" * size, group=group, deadline=self.now + 5)
        self.outbox.add(message)
        self.model.waiting.append(message)

    @rule(max_bytes=st.integers(1, 60), max_count=st.integers(1, 4))
    def take(self, max_bytes: int, max_count: int) -> None:
        taken = self.outbox.take(max_bytes, max_count)
        assert taken == self.model.waiting[: len(taken)]
        assert bool(taken) == bool(self.model.waiting)
        assert all(message.was_sent for message in taken)
        del self.model.waiting[: len(taken)]
        self.model.sent += taken

    @precondition(lambda self: self.model.sent)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.model.sent))
        assert self.outbox.settle(message.id) is message
        self.model.drop(message)

    @precondition(lambda self: self.model.sent)
    @rule()
    def settle_next(self) -> None:
        assert self.outbox.settle_next(None) is self.model.sent.pop(0)

    @precondition(lambda self: self.model.all())
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.model.all()))
        self.outbox.abandon(message)
        if message in self.model.waiting:
            self.model.drop(message)

    @rule()
    def expire(self) -> None:
        live = [each for each in self.model.all() if not each.is_abandoned and each.group is not None]
        groups = {each.group for each in live if each.deadline <= self.now}
        expected = [each for each in live if each.group in groups]
        assert self.outbox.expire(self.now) == expected
        self.model.waiting = [each for each in self.model.waiting if each not in expected]

    @rule()
    def put_back(self) -> None:
        self.outbox.put_back()
        self.model.waiting = [each for each in self.model.all() if not each.is_abandoned]
        self.model.sent = []

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        held = self.model.all()
        assert list(self.outbox) == held
        assert len(self.outbox) == len(held)
        assert self.outbox.has_waiting == bool(self.model.waiting)
        size = sum(len(message.body) for message in held)
        assert self.outbox.is_full == (size >= 100 or len(held) >= 6)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=40, stateful_step_count=30)
