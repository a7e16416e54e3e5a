"""Tests of which connection of a durable consumer holds which messages."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fanline.protocol import Record
from msgqueue.consumers.deliveries import MAX_OUTSTANDING, DeliveryTracker
from msgqueue.store.claims import Claim


def records(*seqs: int) -> list[Record]:
    return [Record(seq, "a", b"{}") for seq in seqs]


def test_the_position_is_the_one_up_to_which_everything_is_done() -> None:
    """No record before the position is undone, whichever member has done which."""
    tracker = DeliveryTracker(10)
    assert (tracker.position, tracker.dealt) == (10, 10)
    tracker.deal("one", records(11, 12), 12)
    tracker.deal("other", records(13, 15), 15)
    assert (tracker.position, tracker.dealt) == (10, 15)
    tracker.done("other", 15)
    assert tracker.position == 10
    tracker.done("one", 11)
    assert tracker.position == 11
    tracker.done("one", 12)
    assert tracker.position == 15


def test_positions_without_a_record_count_as_done() -> None:
    """The log was looked at there, and had nothing."""
    tracker = DeliveryTracker(0)
    tracker.deal("one", [], 20)
    assert tracker.position == 20


def test_what_a_member_leaves_behind_goes_to_the_next() -> None:
    """In the order of the log, also when several have left."""
    tracker = DeliveryTracker(0)
    tracker.deal("one", records(1, 2), 2)
    tracker.deal("other", records(3), 3)
    tracker.deal("one", records(4), 4)
    tracker.done("one", 1)
    tracker.leave("other")
    tracker.leave("one")
    assert tracker.has_returned
    assert tracker.position == 1
    assert tracker.deal_returned("next") == records(2, 3, 4)
    assert not tracker.has_returned
    assert tracker.position == 1
    tracker.done("next", 4)
    assert tracker.position == 4


def test_what_is_still_on_its_way_is_not_done() -> None:
    """A member speaks of new records while older ones, left behind by another, are dealt to it."""
    tracker = DeliveryTracker(0)
    tracker.deal("gone", records(1, 2), 2)
    tracker.deal("stays", records(3, 4), 4)
    tracker.leave("gone")
    assert tracker.deal_returned("stays") == records(1, 2)
    tracker.done("stays", 4)
    assert tracker.position == 0
    tracker.leave("stays")
    assert tracker.deal_returned("next") == records(1, 2)


def test_a_word_about_what_a_member_does_not_hold_says_nothing() -> None:
    """A record done before, held by another member, or never dealt is ignored."""
    tracker = DeliveryTracker(0)
    tracker.deal("one", records(1, 2), 2)
    tracker.deal("other", records(3), 3)
    tracker.done("one", 1)
    for member, seq in (("one", 1), ("one", 3), ("one", 99), ("other", 2), ("stranger", 2)):
        tracker.done(member, seq)
    assert tracker.position == 1


def test_a_member_holds_so_many_and_no_more() -> None:
    """Records that others left behind are dealt up to that number; doing some makes room."""
    tracker = DeliveryTracker(0)
    assert tracker.room("one") == MAX_OUTSTANDING
    tracker.deal("one", records(*range(1, 901)), 900)
    tracker.deal("other", records(*range(901, 1101)), 1100)
    assert tracker.room("one") == 100
    tracker.leave("other")
    assert [record.seq for record in tracker.deal_returned("one")] == list(range(901, 1001))
    assert tracker.room("one") == 0
    assert tracker.deal_returned("one") == []
    assert tracker.has_returned
    tracker.done("one", 900)
    assert [record.seq for record in tracker.deal_returned("one")] == list(range(1001, 1101))


def test_a_record_whose_delivery_failed_is_dealt_alone() -> None:
    """So the connection that ends next ends at it, and the records after it are not blamed."""
    tracker = DeliveryTracker(0, max_deliveries=2)
    tracker.deal("one", records(1, 2, 3), 3)
    tracker.deal("busy", records(4), 4)
    tracker.leave("one")
    assert tracker.failing == 1
    assert tracker.deal_returned("busy") == []
    assert tracker.deal_returned("two") == records(1)
    assert tracker.room("two") == 0
    assert tracker.deal_returned("busy") == records(2, 3)
    tracker.done("two", 1)
    assert (tracker.failing, tracker.room("two")) == (0, MAX_OUTSTANDING)


def test_a_record_that_fails_too_often_is_dead() -> None:
    """It is dealt no more, and is buried when everything before it is done."""
    tracker = DeliveryTracker(0, max_deliveries=2)
    tracker.deal("slow", records(1), 1)
    tracker.deal("one", records(2, 3), 3)
    tracker.leave("one")
    assert tracker.deal_returned("two") == records(2)
    tracker.leave("two")
    assert tracker.deal_returned("three") == records(3)
    tracker.done("three", 3)
    assert (tracker.position, tracker.next_dead, tracker.failing) == (0, None, 1)
    tracker.done("slow", 1)
    assert (tracker.position, tracker.next_dead) == (1, records(2)[0])
    tracker.bury(2)
    assert (tracker.position, tracker.next_dead, tracker.failing) == (3, None, 0)


def test_innocent_records_are_not_dead() -> None:
    """Of a connection that reports many at once, and ends at the last of them, only that one is the cause."""
    tracker = DeliveryTracker(0, max_deliveries=2)
    tracker.deal("m", records(*range(1, 11)), 10)
    tracker.leave("m")
    while dealt := tracker.deal_returned("m"):
        if dealt[-1].seq == 10:
            tracker.leave("m")
        else:
            tracker.done("m", dealt[-1].seq)
    assert tracker.next_dead == records(10)[0]


def test_leaving_with_nothing_leaves_nothing() -> None:
    """Nothing is kept of those who left (line 8)."""
    tracker = DeliveryTracker(0)
    tracker.leave("stranger")
    tracker.deal("one", records(1), 1)
    tracker.done("one", 1)
    tracker.leave("one")
    tracker.leave("one")
    assert not tracker.has_returned
    assert tracker.room("one") == tracker.room("stranger") == MAX_OUTSTANDING
    assert tracker.position == 1


def test_what_is_claimed_is_done_claim_by_claim() -> None:
    """With other msgqueues, only what this one has claimed is dealt, and each claim has its own position."""
    tracker = DeliveryTracker(0)
    tracker.keep([Claim(1, 10), Claim(31, 40)], {})
    assert (tracker.dealt, tracker.limit) == (0, 10)
    tracker.deal("one", records(3, 4), 10)
    assert (tracker.dealt, tracker.limit) == (30, 40)
    tracker.deal("other", records(31, 32), 35)
    assert tracker.done_in_claims == {10: 2, 40: 30}
    tracker.done("one", 4)
    tracker.done("other", 31)
    assert tracker.done_in_claims == {10: 10, 40: 31}
    tracker.keep([Claim(32, 40)], {})
    assert (tracker.dealt, tracker.position) == (35, 31)


def test_a_claim_that_others_have_now_is_forgotten() -> None:
    """Its records are not dealt again, and a late word about them says nothing."""
    tracker = DeliveryTracker(0)
    tracker.keep([Claim(1, 10), Claim(11, 20)], {})
    tracker.deal("gone", records(1, 2), 10)
    tracker.deal("one", records(11, 12), 20)
    tracker.leave("gone")
    tracker.keep([Claim(11, 20)], {})
    assert not tracker.has_returned
    tracker.done("one", 2)
    assert tracker.done_in_claims == {20: 10}
    tracker.keep([], {})
    assert tracker.room("one") == MAX_OUTSTANDING
    assert tracker.dealt == tracker.limit


def test_failures_elsewhere_count() -> None:
    """A record that failed at another msgqueue is dealt alone, and is dead if it has failed too often."""
    tracker = DeliveryTracker(0, max_deliveries=2)
    tracker.keep([Claim(1, 10)], {2: 1, 3: 2, 99: 1})
    found = records(1, 2, 3, 4)
    assert tracker.has_failed(found)
    tracker.take_over(found, 10)
    assert tracker.deal_returned("one") == records(1)
    assert tracker.deal_returned("two") == records(2)
    tracker.done("one", 1)
    tracker.done("two", 2)
    assert (tracker.next_dead, tracker.failing) == (records(3)[0], 1)


class Sharing(RuleBasedStateMachine):
    """Members that come, work, answer late and go; each does its work in the order in which it gets it.

    ``inboxes`` are the records on their way to a member or in work there; what is in none of them, and was
    not left behind, is done.
    """

    MAX_HELD = 4
    members = st.sampled_from("ABC")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = DeliveryTracker(0, max_held=self.MAX_HELD)
        self.inboxes: dict[str, list[int]] = {}
        self.left_behind: set[int] = set()
        self.last_position = 0

    @rule(member=members, count=st.integers(0, 3), gap=st.integers(0, 2))
    def deal(self, member: str, count: int, gap: int) -> None:
        first = self.tracker.dealt + 1
        seqs = range(first, first + min(count, self.tracker.room(member)))
        self.tracker.deal(member, records(*seqs), seqs.stop - 1 + gap)
        self.inboxes.setdefault(member, []).extend(seqs)

    @rule(member=members)
    def deal_returned(self, member: str) -> None:
        room = self.tracker.room(member)
        seqs = [record.seq for record in self.tracker.deal_returned(member)]
        assert seqs == sorted(self.left_behind)[:room]
        self.left_behind -= set(seqs)
        self.inboxes.setdefault(member, []).extend(seqs)

    @rule(member=members, data=st.data())
    def do(self, member: str, data: st.DataObject) -> None:
        if inbox := self.inboxes.get(member):
            count = data.draw(st.integers(1, len(inbox)))
            self.tracker.done(member, inbox[count - 1])
            del inbox[:count]

    @rule(member=members, seq=st.integers(0, 50))
    def talk_nonsense(self, member: str, seq: int) -> None:
        if seq not in self.inboxes.get(member, ()):
            self.tracker.done(member, seq)

    @rule(member=members)
    def leave(self, member: str) -> None:
        self.tracker.leave(member)
        self.left_behind |= set(self.inboxes.pop(member, ()))

    @invariant()
    def everything_is_done_or_somewhere(self) -> None:
        undone = self.left_behind.union(*self.inboxes.values())
        assert self.tracker.position == min(undone, default=self.tracker.dealt + 1) - 1
        assert self.tracker.position >= self.last_position
        assert self.tracker.has_returned == bool(self.left_behind)
        for member, inbox in self.inboxes.items():
            assert self.tracker.room(member) == self.MAX_HELD - len(inbox) >= 0
        self.last_position = self.tracker.position


def test_nothing_is_lost_however_the_work_is_shared() -> None:
    """The position never passes a record that is not done, and never goes back."""
    run_state_machine_as_test(Sharing, settings=settings(max_examples=50))
