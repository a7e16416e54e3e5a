"""Tests of the bookkeeping of a durable consumer."""

from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fanline.protocol import Record
from msgqueue import consumers
from msgqueue.consumers import MAX_OUTSTANDING, Ledger


def records(*seqs: int) -> list[Record]:
    return [Record(seq, "a", b"{}") for seq in seqs]


def test_the_position_is_the_one_up_to_which_everything_is_done() -> None:
    """Whoever has done what, nothing that is not done lies before it."""
    ledger = Ledger(10)
    assert (ledger.position, ledger.dealt) == (10, 10)
    ledger.deal("one", records(11, 12), 12)
    ledger.deal("other", records(13, 15), 15)
    assert (ledger.position, ledger.dealt) == (10, 15)
    ledger.done("other", 15)
    assert ledger.position == 10
    ledger.done("one", 11)
    assert ledger.position == 11
    ledger.done("one", 12)
    assert ledger.position == 15


def test_positions_without_a_record_count_as_done() -> None:
    """The log was looked at there, and had nothing."""
    ledger = Ledger(0)
    ledger.deal("one", [], 20)
    assert ledger.position == 20


def test_what_a_member_leaves_behind_goes_to_the_next() -> None:
    """In the order of the log, also when several have left."""
    ledger = Ledger(0)
    ledger.deal("one", records(1, 2), 2)
    ledger.deal("other", records(3), 3)
    ledger.deal("one", records(4), 4)
    ledger.done("one", 1)
    ledger.leave("other")
    ledger.leave("one")
    assert ledger.has_returned
    assert ledger.position == 1
    assert ledger.deal_returned("next") == records(2, 3, 4)
    assert not ledger.has_returned
    assert ledger.position == 1
    ledger.done("next", 4)
    assert ledger.position == 4


def test_what_is_still_on_its_way_is_not_done() -> None:
    """A member speaks of new records while older ones, left behind by another, are dealt to it."""
    ledger = Ledger(0)
    ledger.deal("gone", records(1, 2), 2)
    ledger.deal("stays", records(3, 4), 4)
    ledger.leave("gone")
    assert ledger.deal_returned("stays") == records(1, 2)
    ledger.done("stays", 4)
    assert ledger.position == 0
    ledger.leave("stays")
    assert ledger.deal_returned("next") == records(1, 2)


def test_a_word_about_what_a_member_does_not_hold_says_nothing() -> None:
    """Whether it was done before, belongs to another, or was never dealt at all."""
    ledger = Ledger(0)
    ledger.deal("one", records(1, 2), 2)
    ledger.deal("other", records(3), 3)
    ledger.done("one", 1)
    for member, seq in (("one", 1), ("one", 3), ("one", 99), ("other", 2), ("stranger", 2)):
        ledger.done(member, seq)
    assert ledger.position == 1


def test_a_member_holds_so_many_and_no_more() -> None:
    """Records that others left behind are dealt up to that number; doing some makes room."""
    ledger = Ledger(0)
    assert ledger.room("one") == MAX_OUTSTANDING
    ledger.deal("one", records(*range(1, 901)), 900)
    ledger.deal("other", records(*range(901, 1101)), 1100)
    assert ledger.room("one") == 100
    ledger.leave("other")
    assert [record.seq for record in ledger.deal_returned("one")] == list(range(901, 1001))
    assert ledger.room("one") == 0
    assert ledger.deal_returned("one") == []
    assert ledger.has_returned
    ledger.done("one", 900)
    assert [record.seq for record in ledger.deal_returned("one")] == list(range(1001, 1101))


def test_leaving_with_nothing_leaves_nothing() -> None:
    """Nothing is kept of those who left (line 8)."""
    ledger = Ledger(0)
    ledger.leave("stranger")
    ledger.deal("one", records(1), 1)
    ledger.done("one", 1)
    ledger.leave("one")
    ledger.leave("one")
    assert not ledger.has_returned
    assert not ledger._held
    assert ledger.position == 1


class Sharing(RuleBasedStateMachine):
    """Members that come, work, answer late and go; each does its work in the order in which it gets it.

    ``inboxes`` are the records on their way to a member or in work there; what is in none of them, and was
    not left behind, is done.
    """

    members = st.sampled_from("ABC")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(0)
        self.inboxes: dict[str, list[int]] = {}
        self.left_behind: set[int] = set()
        self.last_position = 0

    @rule(member=members, count=st.integers(0, 3), gap=st.integers(0, 2))
    def deal(self, member: str, count: int, gap: int) -> None:
        first = self.ledger.dealt + 1
        seqs = range(first, first + min(count, self.ledger.room(member)))
        self.ledger.deal(member, records(*seqs), seqs.stop - 1 + gap)
        self.inboxes.setdefault(member, []).extend(seqs)

    @rule(member=members)
    def deal_returned(self, member: str) -> None:
        room = self.ledger.room(member)
        seqs = [record.seq for record in self.ledger.deal_returned(member)]
        assert seqs == sorted(self.left_behind)[:room]
        self.left_behind -= set(seqs)
        self.inboxes.setdefault(member, []).extend(seqs)

    @rule(member=members, data=st.data())
    def do(self, member: str, data: st.DataObject) -> None:
        if inbox := self.inboxes.get(member):
            count = data.draw(st.integers(1, len(inbox)))
            self.ledger.done(member, inbox[count - 1])
            del inbox[:count]

    @rule(member=members, seq=st.integers(0, 50))
    def talk_nonsense(self, member: str, seq: int) -> None:
        if seq not in self.inboxes.get(member, ()):
            self.ledger.done(member, seq)

    @rule(member=members)
    def leave(self, member: str) -> None:
        self.ledger.leave(member)
        self.left_behind |= set(self.inboxes.pop(member, ()))

    @invariant()
    def everything_is_done_or_somewhere(self) -> None:
        undone = self.left_behind.union(*self.inboxes.values())
        assert self.ledger.position == min(undone, default=self.ledger.dealt + 1) - 1
        assert self.ledger.position >= self.last_position
        assert self.ledger.has_returned == bool(self.left_behind)
        for member, inbox in self.inboxes.items():
            assert self.ledger.room(member) == consumers.MAX_OUTSTANDING - len(inbox) >= 0
        self.last_position = self.ledger.position


def test_nothing_is_lost_however_the_work_is_shared() -> None:
    """The position never passes a record that is not done, and never goes back."""
    with mock.patch.object(consumers, "MAX_OUTSTANDING", 4):
        run_state_machine_as_test(Sharing, settings=settings(max_examples=150, deadline=None))
