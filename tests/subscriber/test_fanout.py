"""Tests of fan-out: routing, joined frames, and members that come and go."""

import weakref
from collections.abc import Callable

import pytest

from subscriber.fanout import MAX_SHARED_PATTERNS, Fanout
from tests.subscriber.lines import LineCodec, decode_lines, record

WINDOW = 1.0

CODEC = LineCodec()


class Listener:
    """A member that keeps what is written, and calls a function on each write."""

    def __init__(self, codec: LineCodec = CODEC, on_write: Callable[[], object] = lambda: None) -> None:
        self.codec = codec
        self.on_write = on_write
        self.writes: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)
        self.on_write()

    @property
    def seqs(self) -> list[int]:
        return decode_lines(b"".join(self.writes))


@pytest.fixture
def fanout() -> Fanout:
    """A fan-out to which every group with a recent message is busy."""
    return Fanout(WINDOW, busy_rate=0)


def held_back(fanout: Fanout, *members: Listener, patterns: tuple[str, ...] = ("a",)) -> None:
    """Add members, write record 1 of ``a`` to them, and hold record 2 back."""
    for member in members:
        fanout.join(member, patterns)
    fanout.deliver([record(1)], now=0)
    fanout.deliver([record(2)], now=0)


# Routing


def test_message_goes_to_members_whose_patterns_match(fanout: Fanout) -> None:
    """Each gets it once, under however many of its patterns (line 5)."""
    everything, some, none = Listener(), Listener(), Listener()
    fanout.join(everything, [">", "a.*", "a.b"])
    fanout.join(some, ["a.b", "b"])
    fanout.join(none, ["c"])
    fanout.deliver([record(1, "a.b"), record(2, "a"), record(3, "b")], now=0)
    assert (everything.seqs, some.seqs, none.seqs) == ([1, 2, 3], [1, 3], [])


def test_members_with_the_same_patterns_are_one_group(fanout: Fanout) -> None:
    """The sizes of groups are told for metrics, and how many members a topic has for traces."""
    for patterns in (["a.*"], ["a.*"], ["a.b", "c"]):
        fanout.join(Listener(), patterns)
    assert sorted(fanout.group_sizes()) == [1, 2]
    assert [fanout.count_members(topic) for topic in ("a.b", "a.x", "c", "d")] == [3, 2, 1, 0]


def test_patterns_of_one_member_change_alone(fanout: Fanout) -> None:
    """Other members with the same patterns keep theirs (line 5)."""
    one, other = Listener(), Listener()
    fanout.join(one, ["a"])
    fanout.join(other, ["a"])
    fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    fanout.add(one, "b")
    fanout.deliver([record(3, "a"), record(4, "b")], now=10)
    fanout.remove(one, "a")
    fanout.deliver([record(5, "a"), record(6, "b")], now=20)
    assert (one.seqs, other.seqs) == ([1, 3, 4, 6], [1, 3, 5])


@pytest.mark.parametrize("count", [0, MAX_SHARED_PATTERNS])
def test_removing_a_pattern_writes_what_is_held_back(fanout: Fanout, count: int) -> None:
    """Nothing of the pattern is written later (line 5)."""
    member = Listener()
    held_back(fanout, member, patterns=("a", "b", *(f"t.{n}" for n in range(count))))
    fanout.remove(member, "a")
    assert member.seqs == [1, 2]


@pytest.mark.parametrize("count", [0, MAX_SHARED_PATTERNS])
def test_adding_a_pattern_writes_what_is_held_back(fanout: Fanout, count: int) -> None:
    """The answer, written next, follows everything up to its position (line 5)."""
    member = Listener()
    held_back(fanout, member, patterns=("a", *(f"t.{n}" for n in range(count))))
    fanout.add(member, "b")
    assert member.seqs == [1, 2]
    fanout.deliver([record(3, "b")], now=10)
    assert member.seqs == [1, 2, 3]


def test_member_leaves_while_it_adds_a_pattern(fanout: Fanout) -> None:
    """Nothing of it stays, also where it is a group by itself."""
    member = Listener()
    held_back(fanout, member, patterns=("a", *(f"t.{n}" for n in range(MAX_SHARED_PATTERNS))))
    member.on_write = lambda: fanout.leave(member)
    fanout.add(member, "b")
    assert not fanout.is_member(member)
    assert fanout.count_members("b") == 0
    fanout.deliver([record(3, "b")], now=10)
    assert member.seqs == [1, 2]


def test_member_gets_messages_between_joining_and_leaving(fanout: Fanout) -> None:
    """All of them, also those held back when it leaves, and no other."""
    always, sometimes = Listener(), Listener()
    held_back(fanout, always)
    fanout.join(sometimes, ["a"])
    assert fanout.is_member(sometimes)
    fanout.deliver([record(3), record(4)], now=0)
    fanout.leave(sometimes)
    assert not fanout.is_member(sometimes)
    fanout.deliver([record(5)], now=0)
    fanout.flush(now=WINDOW)
    assert (always.seqs, sometimes.seqs) == ([1, 2, 3, 4, 5], [3, 4])


def test_leaving_is_allowed_without_having_joined(fanout: Fanout) -> None:
    """And a second time."""
    member = Listener()
    fanout.leave(member)
    fanout.join(member, ["a"])
    fanout.leave(member)
    fanout.leave(member)
    assert not fanout.is_member(member)


def test_patterns_cross_the_limit_for_sharing_a_group() -> None:
    """A member with many patterns is a group by itself; neither way of changing them loses a message."""
    fanout = Fanout(WINDOW, busy_rate=0, max_shared_patterns=2)
    member, twin = Listener(), Listener()
    for each in (member, twin):
        fanout.join(each, ["a", "b"])
    fanout.deliver([record(1, "a")], now=0)
    for number, pattern in enumerate(["c", "d"]):
        fanout.add(member, pattern)
        fanout.deliver([record(2 + number, pattern)], now=10 + number)
    for number, pattern in enumerate(["a", "b"]):
        fanout.remove(member, pattern)
        fanout.deliver([record(4 + number, pattern)], now=20 + number)
    fanout.deliver([record(6, "c"), record(7, "d")], now=30)
    assert (member.seqs, twin.seqs) == ([1, 2, 3, 6, 7], [1, 4, 5])


def test_every_topic_is_routed_though_few_are_remembered() -> None:
    """The routes that are cached are bounded."""
    fanout = Fanout(WINDOW, busy_rate=0, max_cached_routes=3)
    member = Listener()
    fanout.join(member, [">"])
    for seq in range(1, 20):
        fanout.deliver([record(seq, f"t.{seq % 5}")], now=seq * 10)
    assert member.seqs == list(range(1, 20))


def test_record_is_encoded_once_for_each_codec(fanout: Fanout) -> None:
    """Members of a group get the same bytes, in whatever order they named their patterns (line 9)."""
    codecs = LineCodec(), LineCodec()
    members = [Listener(codec) for codec in codecs for _ in range(3)]
    for member, patterns in zip(members, [["a", "b"], ["b", "a"], ["a", "b", "a"]] * 2, strict=True):
        fanout.join(member, patterns)
    fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    assert [codec.encoded for codec in codecs] == [2, 2]
    assert len({id(member.writes[0]) for member in members}) == 2
    assert fanout.delivered == 12


def test_head_is_the_newest_position_delivered(fanout: Fanout) -> None:
    """Also where no member wants the message."""
    fanout.head = 5
    fanout.deliver([record(7), record(9)], now=0)
    assert fanout.head == 9
    assert fanout.delivered == 0


# When frames are written


def test_first_message_is_written_at_once_later_ones_together(fanout: Fanout) -> None:
    """A message to an idle group does not wait; one to a busy group waits for the rest of the window."""
    member = Listener()
    fanout.join(member, ["a"])
    assert fanout.deliver([record(1)], now=10.0) is None
    assert member.seqs == [1]
    assert fanout.deliver([record(2)], now=10.5) == 11.5
    assert fanout.deliver([record(3), record(4)], now=11.4) == 11.5
    assert member.seqs == [1]
    assert fanout.flush(now=11.5) is None
    assert len(member.writes) == 2
    assert member.seqs == [1, 2, 3, 4]


def test_message_at_the_end_of_a_window_is_written_with_it(fanout: Fanout) -> None:
    """Each delivery looks for the end of the window, not only the timer."""
    member = Listener()
    fanout.join(member, ["a"])
    fanout.deliver([record(1)], now=0)
    assert fanout.deliver([record(2)], now=1) == 2
    assert fanout.deliver([record(3)], now=2) is None
    assert len(member.writes) == 2
    assert member.seqs == [1, 2, 3]


def test_messages_far_apart_are_not_held_back(fanout: Fanout) -> None:
    """Further apart than the window, each is written at once."""
    member = Listener()
    fanout.join(member, ["a"])
    for seq in range(1, 6):
        assert fanout.deliver([record(seq)], now=seq * WINDOW * 2) is None
        assert member.seqs[-1] == seq


def test_few_writes_are_not_held_back() -> None:
    """Up to the busy rate, being late costs more than writing."""
    fanout = Fanout(WINDOW, busy_rate=20)
    members = [Listener() for _ in range(3)]
    for member in members:
        fanout.join(member, ["a"])
    assert fanout.deliver([record(1)], now=0) is None
    assert fanout.deliver([record(2)], now=0.5) is None  # 6 writes a second
    assert members[0].seqs == [1, 2]
    assert fanout.deliver([record(3)], now=0.6) == 1.6  # 30 writes a second
    assert members[0].seqs == [1, 2]


def test_each_group_has_its_own_window(fanout: Fanout) -> None:
    """An idle group does not wait for a busy one, and the end of the next window is returned."""
    first, second = Listener(), Listener()
    fanout.join(first, ["a"])
    fanout.join(second, ["b"])
    fanout.deliver([record(1, "a")], now=0)
    assert fanout.deliver([record(2, "a"), record(3, "b")], now=0.5) == 1.5
    assert (first.seqs, second.seqs) == ([1], [3])
    assert fanout.deliver([record(4, "b")], now=1.0) == 1.5
    assert fanout.flush(now=1.5) == 2.0
    assert (first.seqs, second.seqs) == ([1, 2], [3])
    assert fanout.flush(now=2.0) is None
    assert second.seqs == [3, 4]


def test_pending_bytes_are_bounded() -> None:
    """A group with many of them is flushed before its window ends."""
    fanout = Fanout(WINDOW, busy_rate=0, max_pending_bytes=8)
    member = Listener()
    held_back(fanout, member)
    fanout.deliver([record(seq) for seq in range(3, 7)], now=0.5)
    assert [decode_lines(write) for write in member.writes] == [[1], [2, 3, 4, 5]]
    fanout.flush(now=0.5 + WINDOW)
    assert member.seqs == [1, 2, 3, 4, 5, 6]


# Members that leave during a write


def test_member_that_leaves_during_a_write_is_at_the_head() -> None:
    """Its position is known exactly; the other members notice nothing."""
    fanout = Fanout(WINDOW, busy_rate=0, max_pending_bytes=6)
    positions: list[int] = []

    def leave() -> None:
        fanout.leave(slow)
        positions.append(fanout.head)

    slow, other = Listener(on_write=leave), Listener()
    for member in (slow, other):
        fanout.join(member, ["a"])
    fanout.deliver([record(seq) for seq in range(1, 9)], now=0)
    assert positions == [slow.seqs[-1]] == [3]
    assert other.seqs == list(range(1, 9))


def test_joining_a_group_that_all_members_leave(fanout: Fanout) -> None:
    """Joining writes what is held back, by which the only member there was leaves."""
    slow, member = Listener(), Listener()
    held_back(fanout, slow)
    slow.on_write = lambda: fanout.leave(slow)
    fanout.join(member, ["a"])
    assert not fanout.is_member(slow)
    fanout.deliver([record(3)], now=10)
    assert (slow.seqs, member.seqs) == ([1, 2], [3])


@pytest.mark.parametrize("count", [0, MAX_SHARED_PATTERNS])
@pytest.mark.parametrize("change", ["add", "remove", "leave"])
def test_member_that_leaves_during_a_change_stays_away(fanout: Fanout, change: str, count: int) -> None:
    """The change writes what is held back, by which the member leaves; it is not put back."""
    member = Listener()
    held_back(fanout, member, patterns=("a", *(f"t.{n}" for n in range(count))))
    member.on_write = lambda: fanout.leave(member)
    if change == "add":
        fanout.add(member, "b")
    elif change == "remove":
        fanout.remove(member, "a")
    else:
        fanout.leave(member)
    fanout.flush(now=1)
    fanout.deliver([record(3, "a"), record(4, "b")], now=10)
    assert not fanout.is_member(member)
    assert member.seqs == [1, 2]


def test_nothing_is_kept_of_members_that_left(fanout: Fanout) -> None:
    """Neither the member nor a frame that waits for it (line 8)."""
    members = [Listener() for _ in range(20)]
    for count, member in enumerate(members, 1):
        fanout.join(member, ["a", *(f"t.{n}" for n in range(count))])
    fanout.deliver([record(1)], now=0)
    fanout.deliver([record(2)], now=0)
    fanout.remove(members[-1], "t.1")
    fanout.add(members[-1], "more")
    for member in members:
        fanout.leave(member)
        assert member.seqs == [1, 2]
    left = [weakref.ref(member) for member in members]
    members.clear()
    del member
    assert not any(reference() for reference in left)
    assert fanout.flush(now=0) is None
