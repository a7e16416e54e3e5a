"""Tests of one subscriber's state: commands, positions, gaps, and the way from the log to live and back."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest.mock import create_autospec

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import GapRange, PageAnswer, Read, Record
from fanline.protocol.topics import matches, matches_any, memory_of
from fanline.queue.base import QueueClient
from fanline.queue.record_cache import RecordCache
from fanline.security.users import User
from subscriber.backlog import Need, Steps
from subscriber.commands import Command
from subscriber.fanout import Fanout
from subscriber.live_feed import LiveFeed
from subscriber.presence.presence import LivePresence
from subscriber.subscription import Subscription
from tests.subscriber.lines import LineCodec, decode_lines, record

ALICE = User("alice", subscribe=("a", "b", ">"))


class Log:
    """A log as msgqueue keeps it, with retention, and the feed of a service that follows it.

    Attributes:
        stored: Every record that was committed, also those that were removed.
        removed: Their positions.
    """

    def __init__(self, *, cache_bytes: int = 1_000_000, fanout: Fanout | None = None) -> None:
        self.feed = LiveFeed(
            RecordCache(cache_bytes),
            fanout or Fanout(window=60, busy_rate=0),
            call_later=lambda delay, callback: None,
            presence=LivePresence(
                create_autospec(QueueClient, instance=True), leave_delay=0, max_topics=1, max_sessions=1
            ),
        )
        self.stored: list[Record] = []
        self.removed: set[int] = set()
        self.page_records = 1_000

    def commit(self, *topics: str) -> None:
        """Store a record on each of the topics; the feed does not have them yet."""
        self.stored += [record(len(self.stored) + n, topic) for n, topic in enumerate(topics, 1)]

    def remove(self, seqs: Iterable[int]) -> None:
        self.removed |= set(seqs)

    def follow(self) -> None:
        """Hand everything that is new to the feed, as msgqueue does: gaps first."""
        head = self.feed.head
        if (gap := self._gap(head, None)) is not None:
            self.feed.report(gap)
        if records := self._find(head, None):
            self.feed.take(records)

    def publish(self, *topics: str) -> None:
        self.commit(*topics)
        self.follow()

    def read(self, read: Read) -> PageAnswer:
        """Return a page, as msgqueue does."""
        limit, last = min(read.limit, self.page_records), len(self.stored)
        if read.after is None:
            before = last + 1 if read.before is None else read.before
            found = [each for each in self._find(0, read.topics) if each.seq < before][-limit:]
            return PageAnswer(0, _raws(found), found[0].seq if found else before, last)
        if read.latest is not None:
            newest = {each.topic: each for each in self._find(0, read.topics) if each.seq <= read.latest}
            found = sorted(each for each in newest.values() if each.seq > read.after)
            position = found[limit - 1].seq if len(found) > limit else read.latest
            return PageAnswer(0, _raws(found[:limit]), position, last)
        found = self._find(read.after, read.topics)
        position = found[limit - 1].seq if len(found) > limit else max(last, read.after)
        return PageAnswer(0, _raws(found[:limit]), position, last, self._gap(read.after, read.topics))

    def _find(self, after: int, patterns: Sequence[str] | None) -> list[Record]:
        return [
            each
            for each in self.stored[after:]
            if each.seq not in self.removed and (patterns is None or matches_any(patterns, each.topic))
        ]

    def _gap(self, after: int, patterns: Sequence[str] | None) -> GapRange | None:
        removed = [
            seq
            for seq in self.removed
            if seq > after and (patterns is None or matches_any(patterns, self.stored[seq - 1].topic))
        ]
        return GapRange(after + 1, max(removed)) if removed else None


def _raws(records: Iterable[Record]) -> list[msgspec.Raw]:
    return [msgspec.Raw(each.body) for each in records]


class Client:
    """A subscriber with a write buffer, and what :class:`subscriber.session.Session` does without waiting.

    Attributes:
        got: Positions and notices, in order.
        fills_up: Whether the next write fills the buffer.
    """

    def __init__(
        self, log: Log, *, user: User = ALICE, has_notices: bool = True, max_patterns: int = 10
    ) -> None:
        self.log = log
        self.paused = self.fills_up = False
        self.got: list[Any] = []
        self.closed: tuple[CloseCode, str] | None = None
        self.subscription = Subscription(
            self, LineCodec(has_notices=has_notices), log.feed, user=user, max_patterns=max_patterns
        )

    def write(self, frames: bytes) -> None:
        self.got += decode_lines(frames)
        if self.fills_up:
            self.fills_up, self.paused = False, True
            self.subscription.leave_live()

    def cut(self, code: CloseCode, reason: str) -> None:
        self.closed = code, reason

    def execute(self, command: Command) -> list[Any]:
        """Execute a command with all that it reads; return what was written."""
        self.got.clear()
        steps = self.subscription.execute(command)
        try:
            needs = next(steps)
            while True:
                assert isinstance(needs, Read)
                needs = steps.send(self.log.read(needs))
        except StopIteration:
            return self.take()

    def sub(self, pattern: str, **options: Any) -> list[Any]:
        return self.execute(Command(True, pattern, **options))

    def unsub(self, pattern: str) -> list[Any]:
        return self.execute(Command(False, pattern))

    def catch_up(self) -> list[Any]:
        """Catch up as far as possible; return what was written."""
        while self.subscription.is_catching_up:
            read = self.subscription.advance()
            if read is not None:
                self.subscription.take_page(read, self.log.read(read))
            elif self.paused or self.subscription.is_ahead:
                break
        return self.take()

    def take(self) -> list[Any]:
        got, self.got = self.got, []
        return got


@pytest.fixture
def log() -> Log:
    """A log with ten records on ``a`` and ``b`` in turns, of which the service has none in memory."""
    log = Log()
    log.commit(*"ab" * 5)
    log.feed.begin(10, epoch=None, can_resume=True)
    return log


@pytest.fixture
def client(log: Log) -> Client:
    """A subscriber of that log."""
    return Client(log)


# Subscribing


def test_subscription_from_now_is_live(log: Log, client: Client) -> None:
    """It needs no page, and what follows the position in the answer is written as it comes."""
    assert next(client.subscription.execute(Command(True, "a")), "executed") == "executed"
    assert client.take() == [{"subscribed": "a", "seq": 10}]
    assert not client.subscription.is_catching_up
    log.publish("b", "a")
    assert client.take() == [12]


def test_subscription_after_a_position_reads_the_log(log: Log, client: Client) -> None:
    """Then it is live."""
    assert client.sub("a", after=4) == [{"subscribed": "a", "seq": 4}]
    assert client.subscription.is_catching_up
    assert client.catch_up() == [5, 7, 9]
    log.publish("a")
    assert client.take() == [11]


def test_subscription_after_a_recent_position_reads_memory(log: Log, client: Client) -> None:
    """Many that resume at once cost msgqueue nothing."""
    log.publish("a", "b", "a")
    steps = client.subscription.execute(Command(True, "a", after=11))
    assert next(steps, None) is None
    assert client.subscription.advance() is None
    assert client.take() == [{"subscribed": "a", "seq": 11}, 13]


def test_catching_up_takes_steps_of_bounded_size(log: Log, client: Client) -> None:
    """A pattern that matches little in memory is caught up with in steps, so that others get their turn."""
    log.publish(*["a.b"] * 3_000)
    list(client.subscription.execute(Command(True, "*.c", after=11)))
    steps = 0
    while client.subscription.is_catching_up:
        client.subscription.advance()
        steps += 1
    assert steps > 3


def test_last_counts_messages_of_the_pattern(log: Log, client: Client) -> None:
    """Page by page, if there are fewer on a page; none and too many are allowed."""
    log.page_records = 2
    assert client.sub("a", last=3) == [{"subscribed": "a", "seq": 4}]
    assert client.catch_up() == [5, 7, 9]
    assert client.sub("b", last=0) == [{"subscribed": "b", "seq": 10}]
    assert client.sub(">", last=100) == [{"subscribed": ">", "seq": 0}]
    assert client.catch_up() == list(range(1, 11))


def test_latest_begins_with_the_newest_of_each_topic(log: Log, client: Client) -> None:
    """In the order of the log and a page at a time; then everything that follows, and no more (line 49)."""
    log.page_records = 1
    log.publish("a", "c", "d", "c")
    assert client.sub(">", latest=True) == [{"subscribed": ">", "seq": 9, "latest": 14}]
    log.publish("a", "a")
    assert client.catch_up() == [10, 11, 13, 14, 15, 16]
    log.publish("a")
    assert client.take() == [17]


def test_latest_of_nothing_is_live_at_once(log: Log, client: Client) -> None:
    """A pattern without a message begins with what is new (line 49)."""
    assert client.sub("c", latest=True) == [{"subscribed": "c", "seq": 10, "latest": 10}]
    assert not client.subscription.is_catching_up
    log.publish("c")
    assert client.take() == [11]


def test_slow_subscriber_gets_the_newest_in_pages(log: Log, client: Client) -> None:
    """Nothing more is read while its buffer is full, and nothing is sent in between (line 49)."""
    log.page_records = 1
    client.sub("c")
    client.fills_up = True
    client.sub("*", latest=True)
    client.fills_up, client.paused = True, False
    assert client.catch_up() == [9]
    log.publish("c", "a")
    assert client.subscription.advance() is None
    assert client.subscription.is_sending_newest
    client.paused = False
    assert client.catch_up() == [10, 11, 12]


def test_latest_of_one_that_catches_up_is_that_of_its_position(log: Log, client: Client) -> None:
    """So that all of its patterns go on from one position, in the order of the log (line 49)."""
    log.page_records = 2
    client.sub("a", after=0)
    client.fills_up = True
    assert client.catch_up() == [1, 3]
    client.paused = False
    assert client.sub("b", latest=True) == [{"subscribed": "b", "seq": 1, "latest": 3}]
    assert client.catch_up() == [2, 4, 5, 6, 7, 8, 9, 10]


def test_unsubscribing_ends_the_newest_of_a_pattern(log: Log, client: Client) -> None:
    """Newest records that are not sent yet do not come (line 49)."""
    client.sub("a", latest=True)
    client.unsub("a")
    assert client.catch_up() == []
    assert not client.subscription.is_catching_up


def test_repeated_subscription_changes_nothing(log: Log, client: Client) -> None:
    """The answer says how far the first one has got."""
    client.sub("a", after=2)
    assert client.sub("a", after=8) == [{"subscribed": "a", "seq": 2}]
    client.catch_up()
    assert client.sub("a") == [{"subscribed": "a", "seq": 10}]
    log.publish("a")
    assert client.take() == [11]


def test_position_after_the_end_is_rejected(client: Client) -> None:
    """The reason names the end."""
    with pytest.raises(Rejected, match="after must be 0 to 10") as raised:
        client.sub("a", after=11)
    assert raised.value.code == ErrorCode.BAD_POSITION


def test_pattern_without_the_right_is_rejected(log: Log) -> None:
    """The reason names the user."""
    client = Client(log, user=User("bob", subscribe=("a",)))
    client.sub("a")
    with pytest.raises(Rejected, match='bob may not subscribe to "b"') as raised:
        client.sub("b")
    assert raised.value.code == ErrorCode.FORBIDDEN


def test_patterns_are_limited(log: Log) -> None:
    """A pattern that is held may be repeated; one that ends makes room for another."""
    client = Client(log, max_patterns=2)
    client.sub("a")
    client.sub("b")
    with pytest.raises(Rejected, match="2 subscriptions") as raised:
        client.sub(">")
    assert raised.value.code == ErrorCode.TOO_MANY_SUBSCRIPTIONS
    client.sub("a")
    client.unsub("b")
    client.sub(">")


def test_memory_of_patterns_is_limited_for_each_user(log: Log) -> None:
    """A user holds so much over all connections; what ends makes room, a repeat takes none (line 47)."""
    log.feed.quota.limit = 2 * memory_of("a.*")
    first, second = Client(log), Client(log)
    first.sub("a.*")
    first.sub("a.*")
    second.sub("b.*")
    for pattern in ("c.*", "d"):
        with pytest.raises(Rejected, match="all connections of alice") as raised:
            second.sub(pattern, after=0)
        assert raised.value.code == ErrorCode.TOO_MANY_SUBSCRIPTIONS
    Client(log, user=User("bob", subscribe=(">",))).sub("c.*")
    Client(log, user=User("carol", subscribe=(">",), is_service=True)).sub("d.*.*.*")
    first.unsub("a.*")
    second.sub("c.*")
    second.subscription.close()
    second.subscription.close()
    first.sub("a.*")
    first.sub("d.*")


def test_memory_that_others_have_taken_is_refused(log: Log) -> None:
    """Two subscriptions that read the log at the same time do not both get the last of the memory."""
    log.feed.quota.limit = memory_of("a")
    steps = [Client(log).subscription.execute(Command(True, "a", last=1)) for _ in range(2)]
    reads = [next(each) for each in steps]
    assert all(isinstance(read, Read) for read in reads)
    page = log.read(reads[0])  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        steps[0].send(page)
    with pytest.raises(Rejected, match="as much memory as allowed"):
        steps[1].send(page)


def test_positions_are_useless_without_a_log() -> None:
    """Behind a plain msgqueue none is told, and what would need one is rejected (line 9)."""
    log = Log()
    log.feed.begin(0, epoch=None, can_resume=False)
    client = Client(log)
    assert client.sub("a") == [{"subscribed": "a"}]
    for options in ({"after": 0}, {"last": 1}, {"latest": True}):
        with pytest.raises(Rejected) as raised:
            client.sub("b", **options)
        assert raised.value.code == ErrorCode.RESUME_UNAVAILABLE


def test_subscription_waits_until_the_head_is_known() -> None:
    """Unless it is from now and no answer is expected: then it is made at once (line 9)."""
    log = Log()
    v1, plain = Client(log), Client(log, has_notices=False)
    waiting = v1.subscription.execute(Command(True, "a"))
    assert next(waiting) is log.feed
    assert plain.sub("a") == []
    log.feed.begin(10, epoch=None, can_resume=True)
    with pytest.raises(StopIteration):
        waiting.send(None)
    assert v1.take() == [{"subscribed": "a", "seq": 10}]


@pytest.mark.parametrize(
    "command",
    [Command(True, "b"), Command(True, ">", after=1), Command(True, "a"), Command(False, "a")],
)
def test_answer_follows_what_was_held_back(log: Log, client: Client, command: Command) -> None:
    """Everything up to the position in the answer was written before it, and is not written again."""
    client.sub("a")
    log.publish("a")
    log.publish("a")
    assert client.take() == [11]
    held_back, answer = client.execute(command)
    assert held_back == 12
    assert answer.keys() & {"subscribed", "unsubscribed"}
    assert 12 not in client.catch_up()[11:]


def test_unsubscribing_ends_a_pattern(log: Log, client: Client) -> None:
    """Live or catching up, known or not."""
    client.sub("a")
    client.sub("b", after=0)
    assert client.unsub("b") == [{"unsubscribed": "b"}]
    assert client.unsub("c") == [{"unsubscribed": "c"}]
    assert client.catch_up() == []
    log.publish("b", "a")
    assert client.take() == [12]
    client.unsub("a")
    log.publish("a")
    assert client.take() == []


# Catching up


def test_slow_subscriber_continues_from_the_log(log: Log, client: Client) -> None:
    """Records written when its buffer was full are not repeated."""
    client.sub("a")
    client.fills_up = True
    log.publish("a")
    log.publish("a", "a")
    assert client.take() == [11]
    assert client.subscription.advance() is None
    client.paused = False
    assert client.catch_up() == [12, 13]
    log.publish("a")
    log.feed.flush()
    assert client.take() == [14]


def test_page_for_other_patterns_is_dropped(log: Log, client: Client) -> None:
    """It was asked for before the patterns changed."""
    client.sub("a", after=0)
    read = client.subscription.advance()
    assert read is not None
    page = log.read(read)
    client.sub("b", after=0)
    client.subscription.take_page(read, page)
    assert client.catch_up() == list(range(1, 11))


def test_position_ahead_of_the_service_repeats_nothing(log: Log, client: Client) -> None:
    """A subscriber was sent records by another service that have not arrived in this one."""
    log.commit("a", "a")
    assert client.sub("a", after=11) == [{"subscribed": "a", "seq": 11}]
    assert client.catch_up() == []
    assert client.subscription.is_ahead
    log.follow()
    assert client.catch_up() == [12]


def test_closed_subscriber_gets_nothing(log: Log, client: Client) -> None:
    """Neither live nor from the log."""
    client.sub("a", after=0)
    read = client.subscription.advance()
    assert read is not None
    client.subscription.close()
    client.subscription.take_page(read, log.read(read))
    client.subscription.close()
    log.publish("a")
    assert client.take() == []
    assert not client.subscription.is_catching_up


def test_replaced_log_closes_every_connection(log: Log, client: Client) -> None:
    """Positions mean nothing in it."""
    client.sub("a")
    log.feed.restart()
    assert client.closed == (CloseCode.TRY_AGAIN_LATER, "the log was replaced; subscribe again")
    assert not log.feed.is_ready


# Gaps


def test_gap_is_in_the_answer(log: Log, client: Client) -> None:
    """And is not told again on the way."""
    log.remove(range(1, 7))
    answer = {"subscribed": "a", "seq": 1, "gap": {"from": 2, "to": 5}}
    assert client.sub("a", after=1) == [answer]
    assert client.catch_up() == [7, 9]


def test_gap_ahead_of_a_slow_subscriber_is_told_in_place(log: Log, client: Client) -> None:
    """Retention removes records before the subscriber has taken them."""
    client.sub("a", after=0)
    log.page_records = 2
    client.fills_up = True
    assert client.catch_up() == [1, 3]
    log.remove([5, 7])
    client.paused = False
    assert client.catch_up() == [{"gap": {"from": 4, "to": 7}}, 9]


def test_gap_ahead_of_the_service_is_told_to_live_subscribers(log: Log, client: Client) -> None:
    """In place: after what is held back for them, once, and not again when they are slow."""
    client.sub("a")
    log.publish("a")
    log.publish("a")
    log.commit("a", "a", "a")
    log.remove([13, 14])
    client.take()
    log.follow()
    log.feed.flush()
    assert client.take() == [12, {"gap": {"from": 13, "to": 14}}, 15]


def test_gap_with_nothing_after_it_is_told_to_all(log: Log, client: Client) -> None:
    """A subscriber that is catching up or comes later learns of it from msgqueue, and only once."""
    slow = Client(log)
    slow.sub("a", after=10)
    slow.fills_up = True
    log.publish("a")
    slow.catch_up()
    client.sub("a")
    client.take()
    log.commit("a")
    log.remove([12])
    log.follow()
    slow.paused = False
    notice = {"gap": {"from": 12, "to": 12}}
    assert (client.take(), slow.catch_up()) == ([notice], [notice])
    late = Client(log)
    assert late.sub("a") + late.catch_up() == [{"subscribed": "a", "seq": 11}, notice]
    log.publish("a")
    assert [each.catch_up() for each in (client, slow, late)] == [[13]] * 3


# Everything together


class Want:
    """One pattern of a subscriber by itself; everything up to ``reached`` was written, or never wanted.

    Up to ``latest``, only the newest record of each topic is wanted.
    """

    def __init__(self, pattern: str, reached: int, latest: int) -> None:
        self.pattern = pattern
        self.reached = reached
        self.latest = latest


class CheckedClient(Client):
    """Checks every record against each of its patterns, and lets a step happen at a time."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.wants: dict[str, Want] = {}
        self.told: list[GapRange] = []
        self.steps: tuple[Steps[None], Need] | None = None
        self.page: tuple[Read, PageAnswer] | None = None

    def write(self, frames: bytes) -> None:
        for entry in decode_lines(frames):
            self.check_record(entry) if isinstance(entry, int) else self.check_notice(entry)
        super().write(frames)

    def check_record(self, seq: int) -> None:
        topic = self.log.stored[seq - 1].topic
        takers = [each for each in self.wants.values() if matches(each.pattern, topic) and each.reached < seq]
        assert takers, f"{seq} was written again, or is not wanted"
        assert not all(self.is_superseded(each, seq) for each in takers), f"{seq} is not the newest"
        for want in takers:
            self.pass_over(want, seq - 1)
            want.reached = seq

    def is_superseded(self, want: Want, seq: int) -> bool:
        """Return whether a record is not wanted because its topic has a newer one."""
        topic = self.log.stored[seq - 1].topic
        return any(self.log.stored[newer - 1].topic == topic for newer in range(seq + 1, want.latest + 1))

    def check_notice(self, notice: dict[str, Any]) -> None:
        if gap := notice.get("gap"):
            self.told.append(GapRange(gap["from"], gap["to"]))
        if pattern := notice.get("subscribed"):
            want = self.wants.setdefault(pattern, Want(pattern, notice["seq"], notice.get("latest", 0)))
            self.pass_over(want, notice["seq"])
        elif pattern := notice.get("unsubscribed"):
            self.wants.pop(pattern, None)

    def pass_over(self, want: Want, position: int) -> None:
        """Check that everything of a pattern up to a position was removed, and that the gap was told."""
        for seq in range(want.reached + 1, position + 1):
            if matches(want.pattern, self.log.stored[seq - 1].topic) and not self.is_superseded(want, seq):
                assert seq in self.log.removed, f"{seq} is missing, before {position + 1}"
                if seq <= want.latest:
                    continue  # a topic that has no newest record any more
                assert any(gap.first <= seq <= gap.last for gap in self.told), f"{seq} is a silent gap"
        want.reached = max(want.reached, position)

    def start(self, command: Command) -> None:
        """Start a command, and execute it if it needs nothing."""
        if self.steps is None and not self.subscription.is_sending_newest:
            steps = self.subscription.execute(command)
            self.proceed(steps, lambda: next(steps))

    def proceed(self, steps: Steps[None], resume: Callable[[], Need]) -> None:
        self.steps = None
        try:
            self.steps = steps, resume()
        except StopIteration:
            pass
        except Rejected:
            pass  # a position after the end

    def step(self) -> None:
        """Receive the next page, or ask for it."""
        if self.steps is not None:
            steps, needs = self.steps
            answer = self.log.read(needs) if isinstance(needs, Read) else None
            self.proceed(steps, lambda: steps.send(answer))
        elif self.page is not None:
            read, page = self.page
            self.page = None
            self.subscription.take_page(read, page)
        elif (next_read := self.subscription.advance()) is not None:
            self.page = next_read, self.log.read(next_read)


class World:
    """A log that grows and is trimmed, and subscribers that come, go, are slow and catch up.

    What happens next is left to a generator and not to strategies, which seldom get to where much is going
    on. There are few topics and patterns, so that subscribers often share a group.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        fanout = Fanout(60, busy_rate=0, max_shared_patterns=2, max_pending_bytes=8, max_cached_routes=2)
        self.log = Log(cache_bytes=300, fanout=fanout)
        self.log.feed.begin(0, epoch=None, can_resume=True)
        self.clients = [CheckedClient(self.log) for _ in range(3)]

    def turn(self) -> None:
        """Do one thing."""
        self.log.page_records = self.rng.randint(1, 6)
        happenings = [
            self.commit, self.follow, self.trim, self.subscribe, self.unsubscribe, self.drain, self.catch_up
        ]  # fmt: skip
        self.rng.choices(happenings, weights=[4, 5, 1, 4, 2, 1, 4])[0]()
        for client in self.clients:
            assert not (client.paused and self.log.feed.fanout.is_member(client.subscription))

    def commit(self) -> None:
        self.log.commit(*self.rng.choices(["a", "b", "a.b"], k=self.rng.randint(1, 3)))

    def follow(self) -> None:
        """Deliver what is new, or what was held back; some buffers will be full after the next write."""
        for client in self.clients:
            client.fills_up |= self.rng.random() < 0.2
        self.rng.choice([self.log.follow, self.log.follow, self.log.feed.flush])()

    def trim(self) -> None:
        """Remove the oldest records, of all topics or of one."""
        topic = self.rng.choice(["a", "b", "a.b", None])
        seqs = [each.seq for each in self.log.stored if topic in (None, each.topic)]
        self.log.remove(seqs[: max(0, len(seqs) - self.rng.randint(0, 8))])

    def subscribe(self) -> None:
        pattern = self.rng.choice(["a", "*", ">"])
        after = max(0, self.log.feed.head - self.rng.choice([0, 1, 5, 20, -3]))
        options: dict[str, Any] = self.rng.choice(
            [{}, {}, {"after": after}, {"after": after}, {"last": 2}, {"latest": True}]
        )
        self.rng.choice(self.clients).start(Command(True, pattern, **options))

    def unsubscribe(self) -> None:
        self.rng.choice(self.clients).start(Command(False, self.rng.choice(["a", "*", ">"])))

    def drain(self) -> None:
        for client in self.clients:
            client.fills_up = client.paused = False

    def catch_up(self) -> None:
        for client in self.clients * self.rng.randint(1, 5):
            client.step()

    def end(self) -> None:
        """When all have caught up, none lacks anything."""
        self.drain()
        self.log.publish("b", "b", "b")  # after what some were sent by another service
        for client in self.clients:
            while client.steps is not None or client.page is not None:
                client.step()
            client.catch_up()
            assert not client.subscription.is_catching_up
        self.log.feed.flush()
        for client in self.clients:
            for want in client.wants.values():
                client.pass_over(want, len(self.log.stored))


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 1 << 32))
def test_every_pattern_gets_all_of_its_records_in_order(seed: int) -> None:
    """Each once, to the end of the log; what retention removed is told before the next record."""
    world = World(random.Random(seed))
    for _ in range(80):
        world.turn()
    world.end()
