"""A log in memory, and a client that records what is written to it."""

from collections.abc import Iterable, Sequence
from typing import Any
from unittest.mock import create_autospec

import msgspec
import pytest

from fanline.errors import CloseCode
from fanline.protocol import GapRange, PageAnswer, Read, Record
from fanline.protocol.topics import matches_any
from fanline.queue.base import QueueClient
from fanline.queue.record_cache import RecordCache
from fanline.security.users import User
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
