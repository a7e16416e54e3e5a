"""Tests of who gets what: routing, joined frames, and the way from the log to live and back."""

import json
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol import Dialect, Message, Page, Record, encode
from fanline.protocol.topics import matches
from fanline.queue.record_cache import RecordCache
from subscriber import fanout as fanout_module
from subscriber.backlog import Catchup
from subscriber.fanout import MAX_PENDING_BYTES, MAX_SHARED, Fanout, encode_frame

WINDOW = 1.0


def record(seq: int, topic: str = "a", content: str = "x") -> Record:
    body = encode(Message(topic, msgspec.Raw(encode(content)), seq, time=7))
    return Record(seq, topic, body)


def payloads(frames: bytes) -> Iterator[bytes]:
    """Take complete, unmasked text frames apart (RFC 6455, 5.2)."""
    while frames:
        assert frames[0] == 0x81
        size, start = frames[1], 2
        if size == 126:
            (size,), start = struct.unpack_from("!H", frames, 2), 4
        elif size == 127:
            (size,), start = struct.unpack_from("!Q", frames, 2), 10
        yield frames[start : start + size]
        frames = frames[start + size :]


class Listener:
    """A member that keeps what it is handed, and does on each write what it was told to."""

    def __init__(self, dialect: Dialect = Dialect.V1, on_write: Callable[[], object] = lambda: None) -> None:
        self.dialect = dialect
        self.on_write = on_write
        self.writes: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)
        self.on_write()

    @property
    def seqs(self) -> list[int]:
        return [json.loads(payload)["seq"] for frames in self.writes for payload in payloads(frames)]


@pytest.fixture
def fanout() -> Fanout:
    return Fanout(WINDOW, busy_rate=0)


def leaver(fanout: Fanout) -> Listener:
    """A member that leaves as soon as it is handed something."""
    member = Listener(on_write=lambda: fanout.leave(member))
    return member


# Routing


def test_a_message_goes_to_whose_patterns_match_it(fanout: Fanout) -> None:
    """Each gets it once, under however many of its patterns (line 5)."""
    everything, some, none = Listener(), Listener(), Listener()
    fanout.join(everything, [">", "a.*", "a.b"])
    fanout.join(some, ["a.b", "b"])
    fanout.join(none, ["c"])
    fanout.deliver([record(1, "a.b"), record(2, "a"), record(3, "b")], now=0)
    assert (everything.seqs, some.seqs, none.seqs) == ([1, 2, 3], [1, 3], [])


def test_patterns_come_and_go(fanout: Fanout) -> None:
    """From then on, and without touching those of others (line 5)."""
    one, other = Listener(), Listener()
    fanout.join(one, ["a"])
    fanout.join(other, ["a"])
    fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    fanout.add(one, "b")
    fanout.deliver([record(3, "a"), record(4, "b")], now=10)
    fanout.remove(one, "a")
    fanout.deliver([record(5, "a"), record(6, "b")], now=20)
    assert (one.seqs, other.seqs) == ([1, 3, 4, 6], [1, 3, 5])


def test_those_who_share_subscriptions_are_not_bound_together(fanout: Fanout) -> None:
    """What one of them takes up or gives up is nothing to the others (line 5)."""
    one, other = Listener(), Listener()
    fanout.join(one, ["a", "b"])
    fanout.join(other, ["a", "b"])
    fanout.remove(one, "a")
    fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    fanout.add(one, "c")
    fanout.deliver([record(3, "a"), record(4, "c")], now=10)
    assert (one.seqs, other.seqs) == ([2, 4], [1, 2, 3])


@pytest.mark.parametrize("count", [1, MAX_SHARED + 1])
def test_nothing_of_a_pattern_comes_once_it_was_removed(fanout: Fanout, count: int) -> None:
    """What is held back of it is handed out before (line 5)."""
    member = Listener()
    fanout.join(member, ["a", *(f"t.{n}" for n in range(count))])
    fanout.deliver([record(1)], now=0)
    fanout.deliver([record(2)], now=0)
    fanout.remove(member, "a")
    assert member.seqs == [1, 2]


def test_a_member_gets_what_comes_between_joining_and_leaving(fanout: Fanout) -> None:
    """All of it, also what is held back at the time, and nothing else."""
    always, sometimes = Listener(), Listener()
    fanout.join(always, ["a"])
    fanout.deliver([record(1), record(2)], now=0)
    fanout.deliver([record(3)], now=0)
    fanout.join(sometimes, ["a"])
    assert fanout.is_member(sometimes)
    fanout.deliver([record(4), record(5)], now=0)
    fanout.leave(sometimes)
    assert not fanout.is_member(sometimes)
    fanout.deliver([record(6)], now=0)
    fanout.flush(now=WINDOW)
    assert (always.seqs, sometimes.seqs) == ([1, 2, 3, 4, 5, 6], [4, 5])


def test_leaving_twice_is_allowed(fanout: Fanout) -> None:
    """As is leaving without ever having joined."""
    member = Listener()
    fanout.leave(member)
    fanout.join(member, ["a"])
    fanout.leave(member)
    fanout.leave(member)
    assert not fanout.is_member(member)


def test_many_subscriptions_make_a_member_an_audience_by_itself(fanout: Fanout) -> None:
    """They can be changed one by one, and are routed like those of others."""
    topics = [f"t.{n}" for n in range(MAX_SHARED + 1)]
    member, twin = Listener(), Listener()
    fanout.join(member, topics)
    fanout.join(twin, topics)
    fanout.deliver([record(1, "t.0"), record(2, "more")], now=0)
    fanout.add(member, "more")
    fanout.deliver([record(3, "t.1"), record(4, "more")], now=10)
    fanout.remove(member, "t.1")
    fanout.deliver([record(5, "t.1"), record(6, "t.2")], now=20)
    assert (member.seqs, twin.seqs) == ([1, 3, 4, 6], [1, 3, 5, 6])


def test_one_pattern_more_than_are_shared(fanout: Fanout) -> None:
    """A member crosses the limit and comes back without missing anything."""
    member = Listener()
    fanout.join(member, [f"t.{n}" for n in range(MAX_SHARED)])
    fanout.deliver([record(1, "t.0")], now=0)
    fanout.add(member, "more")
    fanout.deliver([record(2, "t.0"), record(3, "more")], now=10)
    fanout.remove(member, "more")
    fanout.deliver([record(4, "t.0"), record(5, "more")], now=20)
    assert member.seqs == [1, 2, 3, 4]


def test_each_dialect_gets_its_own_spelling(fanout: Fanout) -> None:
    """With the same subscriptions, and in the same order (line 9)."""
    plain, v1 = Listener(Dialect.PLAIN), Listener(Dialect.V1)
    for member in (plain, v1):
        fanout.join(member, ["a"])
    records = [record(1), record(2)]
    fanout.deliver(records, now=0)
    assert list(payloads(plain.writes[0])) == [
        Dialect.PLAIN.codec.encode_delivery(each.body) for each in records
    ]
    assert list(payloads(v1.writes[0])) == [each.body for each in records]


@pytest.mark.parametrize("size", [1, 126, 70_000])
def test_a_frame_carries_its_record_whatever_the_size(size: int) -> None:
    """Short, medium and long frames have headers of their own."""
    long = record(1, content="x" * size)
    assert list(payloads(encode_frame(long, Dialect.V1))) == [long.body]
    assert list(payloads(encode_frame(long, Dialect.PLAIN))) == [
        Dialect.PLAIN.codec.encode_delivery(long.body)
    ]


# When it is written


def test_the_first_message_goes_out_at_once_and_those_behind_it_together(fanout: Fanout) -> None:
    """An idle audience does not wait; for a busy one, a message waits for those of the window behind it."""
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


def test_a_message_that_comes_when_the_window_ends_goes_out_with_those_before_it(fanout: Fanout) -> None:
    """The end of the window is looked for at each delivery, not only when the timer says so."""
    member = Listener()
    fanout.join(member, ["a"])
    fanout.deliver([record(1)], now=0)
    assert fanout.deliver([record(2)], now=1) == 2
    assert fanout.deliver([record(3)], now=2) is None
    assert len(member.writes) == 2
    assert member.seqs == [1, 2, 3]


def test_nothing_is_held_back_where_nothing_is_to_be_joined_with_it(fanout: Fanout) -> None:
    """Messages further apart than the window go out at once, each of them."""
    member = Listener()
    fanout.join(member, ["a"])
    for seq in range(1, 6):
        assert fanout.deliver([record(seq)], now=seq * WINDOW * 2) is None
        assert member.seqs[-1] == seq


def test_nothing_is_held_back_while_there_is_little_to_do() -> None:
    """What a write costs does not matter then, but what a message is late does."""
    fanout = Fanout(WINDOW, busy_rate=20)
    members = [Listener() for _ in range(3)]
    for member in members:
        fanout.join(member, ["a"])
    assert fanout.deliver([record(1)], now=0) is None
    assert fanout.deliver([record(2)], now=0.5) is None  # 6 writes a second
    assert members[0].seqs == [1, 2]
    assert fanout.deliver([record(3)], now=0.6) == 1.6  # 30 of them
    assert members[0].seqs == [1, 2]


def test_audiences_that_wait_are_flushed_each_in_its_time(fanout: Fanout) -> None:
    """What is not due yet is left waiting, and its time is told."""
    first, second = Listener(), Listener()
    fanout.join(first, ["a"])
    fanout.join(second, ["b"])
    fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    assert fanout.deliver([record(3, "a")], now=0.5) == 1.5
    assert fanout.deliver([record(4, "b")], now=1.0) == 1.5
    assert fanout.flush(now=1.5) == 2.0
    assert (first.seqs, second.seqs) == ([1, 3], [2])
    assert fanout.flush(now=2.0) is None
    assert second.seqs == [2, 4]


def test_an_idle_audience_does_not_wait_for_a_busy_one(fanout: Fanout) -> None:
    """Each has a window of its own."""
    busy, idle = Listener(), Listener()
    fanout.join(busy, ["a"])
    fanout.join(idle, ["b"])
    fanout.deliver([record(1, "a")], now=0)
    assert fanout.deliver([record(2, "a"), record(3, "b")], now=0.5)
    assert (busy.seqs, idle.seqs) == ([1], [3])


def test_much_at_once_does_not_wait_for_the_window(fanout: Fanout) -> None:
    """What is held back for an audience is bounded."""
    member = Listener()
    fanout.join(member, ["a"])
    fanout.deliver([record(1)], now=0)
    size = MAX_PENDING_BYTES // 10
    assert fanout.deliver([record(seq, content="x" * size) for seq in range(2, 16)], now=0.5)
    assert len(member.writes) == 2
    assert len(member.writes[1]) < MAX_PENDING_BYTES + 2 * size
    fanout.flush(now=0.5 + WINDOW)
    assert member.seqs == list(range(1, 16))


def test_members_with_the_same_subscriptions_share_the_bytes(fanout: Fanout) -> None:
    """Frames are joined once, however many get them and in whatever order they named their topics."""
    members = [Listener() for _ in range(3)]
    for member, patterns in zip(members, (["a", "b"], ["b", "a"], ["a", "b", "a"]), strict=True):
        fanout.join(member, patterns)
    with mock.patch.object(fanout_module, "encode_frame", wraps=encode_frame) as encoding:
        fanout.deliver([record(1, "a"), record(2, "b")], now=0)
    assert encoding.call_count == 2
    assert len({id(member.writes[0]) for member in members}) == 1
    assert fanout.delivered == 6


def test_the_head_is_the_newest_that_was_delivered(fanout: Fanout) -> None:
    """Whether or not anybody wanted it."""
    fanout.head = 5
    fanout.deliver([record(7), record(9)], now=0)
    assert fanout.head == 9
    assert fanout.delivered == 0


# Members that leave in the middle


def test_a_member_that_leaves_over_a_write_was_handed_everything_up_to_the_head(fanout: Fanout) -> None:
    """It knows its position exactly; those beside it notice nothing."""
    positions: list[int] = []

    def leave() -> None:
        fanout.leave(slow)
        positions.append(fanout.head)

    slow, other = Listener(on_write=leave), Listener()
    fanout.join(slow, ["a"])
    fanout.join(other, ["a"])
    size = MAX_PENDING_BYTES // 3
    fanout.deliver([record(seq, content="x" * size) for seq in range(1, 9)], now=0)
    assert positions == [slow.seqs[-1]] == [3]
    assert other.seqs == list(range(1, 9))


def test_an_audience_that_all_leave_when_another_joins_serves_the_one_that_joins(fanout: Fanout) -> None:
    """Joining flushes what is held back, and that is too much for the only member there was."""
    slow, member = Listener(), Listener()
    fanout.join(slow, ["a"])
    fanout.deliver([record(1)], now=0)
    fanout.deliver([record(2)], now=0)
    slow.on_write = lambda: fanout.leave(slow)
    fanout.join(member, ["a"])
    assert not fanout.is_member(slow)
    fanout.deliver([record(3)], now=10)
    assert (slow.seqs, member.seqs) == ([1, 2], [3])


def test_a_member_that_leaves_over_the_write_of_its_leaving_has_left(fanout: Fanout) -> None:
    """What was held back is handed to it, and its place is given up once."""
    member, other = leaver(fanout), Listener()
    fanout.join(other, ["a"])
    fanout.deliver([record(1)], now=0)
    fanout.join(member, ["a"])
    fanout.deliver([record(2)], now=0)
    fanout.leave(member)
    fanout.deliver([record(3)], now=10)
    assert not fanout.is_member(member)
    assert (member.seqs, other.seqs) == ([2], [1, 2, 3])


@pytest.mark.parametrize("count", [1, MAX_SHARED + 1])
@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_member_that_leaves_over_a_change_of_its_patterns_stays_away(
    fanout: Fanout, change: str, count: int
) -> None:
    """What was held back is handed to it first, that is too much for it, and it is not put back."""
    patterns = ["a", *(f"t.{n}" for n in range(count - 1))]
    member = Listener()
    fanout.join(member, patterns)
    fanout.deliver([record(1)], now=0)
    fanout.deliver([record(2)], now=0)
    member.on_write = lambda: fanout.leave(member)
    if change == "add":
        fanout.add(member, "b")
    else:
        fanout.remove(member, "a")
    fanout.flush(now=1)
    fanout.deliver([record(3, "a"), record(4, "b")], now=10)
    assert not fanout.is_member(member)
    assert member.seqs == [1, 2]


def test_nothing_is_kept_of_those_who_left(fanout: Fanout) -> None:
    """No audience, no pattern and no frame that waits (line 8)."""
    members = [Listener() for _ in range(20)]
    for count, member in enumerate(members, 1):
        fanout.join(member, [f"t.{n}" for n in range(count)])
    fanout.deliver([record(1, "t.0")], now=0)
    fanout.deliver([record(2, "t.0")], now=0)
    fanout.remove(members[-1], "t.1")
    fanout.add(members[-1], "more")
    for member in members:
        fanout.leave(member)
    assert not fanout._audiences
    assert not fanout._of_member
    assert not fanout._index
    assert not fanout._routes
    assert not fanout._waiting
    assert all(member.seqs == [1, 2] for member in members)


def test_routes_that_are_remembered_are_bounded(fanout: Fanout) -> None:
    """However many topics there are, each message finds its way."""
    member = Listener()
    fanout.join(member, [">"])
    with mock.patch.object(fanout_module, "MAX_CACHED_ROUTES", 3):
        for seq in range(1, 20):
            fanout.deliver([record(seq, f"t.{seq}")], now=seq * 10)
            assert 0 < len(fanout._routes) <= 3
    assert member.seqs == list(range(1, 20))


# Everything together


@dataclass
class Subscription:
    """What one subscription has still to get, looked at by itself."""

    pattern: str
    reached: int


@dataclass(eq=False)
class Client:
    """A subscriber that falls behind and catches up as the service's sessions do, but step by step.

    Attributes:
        is_full: Whether its buffer is past the mark after the next write.
        is_paused: Whether it is at present.
        page: What it has read from the log and not yet been sent, and the version it was read for.
    """

    world: "World"
    dialect: Dialect
    is_full: bool = False
    is_paused: bool = False
    is_catching_up: bool = False
    page: tuple[int, Page] | None = None
    catchup: Catchup = field(default_factory=Catchup)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def write(self, frames: bytes) -> None:
        for payload in payloads(frames):
            self.check(json.loads(payload)["seq"])
        if self.is_full:
            self.is_full, self.is_paused = False, True
            self.fall_behind()

    def check(self, seq: int) -> None:
        """The record must be the very next that some subscription waits for, and leave out no other's."""
        matching = [each for each in self.subscriptions.values() if self.world.wants(each, seq)]
        waiting = [each for each in matching if each.reached < seq]
        assert waiting, f"{seq} was sent again, or to nobody"
        for each in waiting:
            assert self.world.next_for(each) == seq, f"{each} was to get another one before {seq}"
            each.reached = seq

    def subscribe(self, pattern: str, after: int) -> None:
        fanout = self.world.fanout
        if self.is_catching_up or after != fanout.head or self.is_paused:
            self.fall_behind()
            self.subscriptions[pattern] = Subscription(pattern, after)
            self.catchup.add(pattern, after)
            self.is_catching_up = True
            return
        self.subscriptions[pattern] = Subscription(pattern, after)
        if fanout.is_member(self):
            fanout.add(self, pattern)
        else:
            fanout.join(self, self.subscriptions)

    def unsubscribe(self, pattern: str) -> None:
        fanout = self.world.fanout
        if fanout.is_member(self):
            if len(self.subscriptions) == 1:
                fanout.leave(self)
            else:
                fanout.remove(self, pattern)
        self.catchup.remove(pattern)
        del self.subscriptions[pattern]

    def fall_behind(self) -> None:
        fanout = self.world.fanout
        if not fanout.is_member(self):
            return
        fanout.leave(self)
        self.catchup = Catchup()
        for pattern in self.subscriptions:
            self.catchup.add(pattern, fanout.head)
        self.is_catching_up = True

    def step(self, count: int) -> None:
        """Do the next thing on the way back to live: send a page, ask for one, or go live."""
        head = self.world.fanout.head
        if self.page is not None:
            (version, page), self.page = self.page, None
            if version == self.catchup.version:
                self.send(page)
        elif not self.catchup:
            self.is_catching_up = False
        elif self.is_paused:
            pass
        elif self.catchup.is_complete(head):
            self.is_catching_up = False
            self.catchup = Catchup()
            self.world.fanout.join(self, self.subscriptions)
        elif self.catchup.position < head:
            page = self.world.read(self.catchup.position, self.catchup.patterns, count)
            self.page = (self.catchup.version, page)

    def send(self, page: Page) -> None:
        frames = [
            encode_frame(each, self.dialect)
            for each in page.records
            if self.catchup.wants(each.topic, each.seq)
        ]
        self.catchup.advance(page.position)
        if frames:
            self.write(b"".join(frames))


class World:
    """A log that grows, and clients that come, go, choose, fall behind and catch up.

    What happens next is left to a generator and not to strategies: they seldom get to where much is going on.
    There are few topics and patterns, so that clients often have the same subscriptions.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.log: list[Record] = []
        self.recent = RecordCache(max_bytes=300)
        self.fanout = Fanout(WINDOW, busy_rate=0)
        self.clients = [Client(self, dialect) for dialect in (Dialect.V1, Dialect.V1, Dialect.PLAIN)]

    def turn(self) -> None:
        """Let one thing happen."""
        happenings = [self.grow, self.subscribe, self.unsubscribe, self.drain_buffers, self.catch_up]
        self.rng.choices(happenings, weights=[5, 4, 2, 1, 3])[0]()

    def grow(self) -> None:
        """Commit some messages; some buffers will be full after the next write."""
        for client in self.clients:
            client.is_full |= self.rng.random() < 0.2
        self.commit(self.rng.choices(["a", "b", "a.b"], k=self.rng.randint(1, 3)))
        self.now += self.rng.choice([0.0, 0.1, WINDOW])

    def subscribe(self) -> None:
        client, pattern = self.rng.choice(self.clients), self.rng.choice(["a", "*", ">"])
        after = self.fanout.head - self.rng.choice([0, 0, 0, 1, 5, 20, -3])
        if pattern not in client.subscriptions:
            client.subscribe(pattern, max(after, 0))

    def unsubscribe(self) -> None:
        client = self.rng.choice(self.clients)
        if client.subscriptions:
            client.unsubscribe(self.rng.choice(list(client.subscriptions)))

    def drain_buffers(self) -> None:
        for client in self.clients:
            client.is_full = client.is_paused = False

    def catch_up(self) -> None:
        for client in self.clients * self.rng.randint(1, 5):
            if client.is_catching_up:
                client.step(self.rng.randint(1, 6))

    def commit(self, topics: Sequence[str]) -> None:
        records = [record(len(self.log) + n, topic) for n, topic in enumerate(topics, 1)]
        self.log.extend(records)
        for each in records:
            self.recent.add(each)
        self.fanout.deliver(records, self.now)

    def end(self) -> None:
        """When everybody has caught up, nobody lacks anything."""
        self.drain_buffers()
        self.commit(["b"] * 3)  # past what some have seen elsewhere
        for client in self.clients:
            while client.is_catching_up:
                client.step(3)
            assert self.fanout.is_member(client) == bool(client.subscriptions)
        self.fanout.flush(self.now + WINDOW)
        for client in self.clients:
            for each in client.subscriptions.values():
                assert self.next_for(each) is None, f"{each} has not got all"

    def wants(self, subscription: Subscription, seq: int) -> bool:
        return matches(subscription.pattern, self.log[seq - 1].topic)

    def next_for(self, subscription: Subscription) -> int | None:
        later = range(subscription.reached + 1, len(self.log) + 1)
        return next((seq for seq in later if self.wants(subscription, seq)), None)

    def read(self, after: int, patterns: Sequence[str], count: int) -> Page:
        """Read a page, from memory if it is there, as a session does."""
        if self.recent.covers(after):
            return self.recent.read(after, patterns=patterns, max_bytes=count * 30)
        stretch = self.log[after : after + count]
        found = [each for each in stretch if any(matches(pattern, each.topic) for pattern in patterns)]
        return Page(found, stretch[-1].seq)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 1 << 32))
def test_every_subscriber_gets_its_own_once_and_in_order(seed: int) -> None:
    """Whatever happens in whatever order, each subscription gets what is its own, to the end of the log."""
    limits = mock.patch.multiple(fanout_module, MAX_SHARED=2, MAX_PENDING_BYTES=300, MAX_CACHED_ROUTES=2)
    with limits:  # so low that each of them is reached all the time
        world = World(random.Random(seed))
        for _ in range(60):
            world.turn()
            assert not any(client.is_paused and world.fanout.is_member(client) for client in world.clients)
        world.end()
