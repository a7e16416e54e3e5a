"""The backlog of one subscriber: records before it is live. No I/O.

A subscriber is either live, and has been sent everything up to the head, or it is catching up: it reads the
log from a position of its own. There is one position for all of its patterns, so that records are sent in
the order of the log, each of them once, however many patterns match it.

A pattern may begin with the newest record of each topic up to that position. These are sent first, and
everything else waits for that.
"""

from collections.abc import Generator, Iterable
from typing import Final, NamedTuple, Protocol, TypeVar

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import MAX_POSITION, GapRange, PageAnswer, Read
from fanline.protocol.topics import PatternIndex, has_wildcard
from subscriber.commands import Command
from subscriber.live_feed import LiveFeed

# Records of the first page: in a long log, each may have to be fetched from another place on the disk, and
# the subscriber waits for the first of them.
FIRST_PAGE_RECORDS: Final = 64

# Each further page has twice as many, up to this.
GROWN_PAGE_RECORDS: Final = 512

# Topics of which it is remembered whether they are wanted.
_MAX_KNOWN_TOPICS: Final = 1_000


T = TypeVar("T")


class Awaited(Protocol):
    """Something to wait for: the log's end, or presence."""

    async def wait_until_ready(self) -> None:
        """Wait until it is known."""
        ...


# What a command waits for: a page of the log, or until something else is known.
Need = Read | Awaited
Steps = Generator[Need, PageAnswer | None, T]


class Start(NamedTuple):
    """Start of a pattern.

    Attributes:
        after: Everything after this position comes.
        gap: Positions after it that retention has removed.
        latest: Up to this position, only the newest record of each topic comes.
    """

    after: int
    gap: GapRange | None = None
    latest: int | None = None


class Backlog:
    """Patterns with their start positions, and how far the log was read.

    Args:
        patterns: The patterns to begin with.
        after: The position after which they are wanted.

    Attributes:
        position: All records up to it were sent; but for newest ones, while these are sent.
    """

    __slots__ = (
        "_after",
        "_index",
        "_limit",
        "_newest",
        "_newest_sent",
        "_newest_until",
        "_starts",
        "position",
    )

    def __init__(self, patterns: Iterable[str] = (), after: int = 0) -> None:
        self.position = after
        self._limit = FIRST_PAGE_RECORDS
        self._after = dict.fromkeys(patterns, after)
        self._index: PatternIndex[str] | None = None  # of the patterns with wildcards
        self._starts: dict[str, int] = {}  # of topics: the position after which each is wanted
        self._newest: dict[str, None] = {}  # patterns of which newest records are still to be sent
        self._newest_until = self._newest_sent = 0

    @property
    def patterns(self) -> list[str]:
        """The patterns to read for."""
        return list(self._after)

    def __bool__(self) -> bool:
        return bool(self._after)

    def add(self, pattern: str, after: int) -> None:
        """Add a pattern, and go back to ``after`` if necessary.

        That is so if ``after`` is before :attr:`position`.
        """
        for each, start in self._after.items():
            self._after[each] = max(start, self.position)
        self.position = min(after, self.position) if self._after else after
        self._after[pattern] = after
        self._forget_starts()

    @property
    def is_sending_newest(self) -> bool:
        """True while newest records are to be sent, before everything else."""
        return bool(self._newest)

    def add_newest(self, pattern: str, until: int) -> None:
        """Add a pattern that begins with the newest records.

        ``until`` is the position up to which they count, the same for all such patterns.
        """
        self.add(pattern, until)
        self._newest[pattern] = None
        self._newest_until, self._newest_sent = until, 0

    def advance_newest(self, position: int) -> None:
        """Note that newest records up to ``position`` were sent."""
        self._grow()
        self._newest_sent = position
        if position >= self._newest_until:
            self._newest.clear()

    def next_read(self) -> Read:
        """Return the page to read next."""
        if self._newest:
            until = self._newest_until
            return Read(list(self._newest), after=self._newest_sent, limit=self._limit, latest=until)
        return Read(self.patterns, after=self.position, limit=self._limit)

    def remove(self, pattern: str) -> None:
        """Remove a pattern, if it is there."""
        self._newest.pop(pattern, None)
        self._after.pop(pattern, None)
        self._forget_starts()

    def position_of(self, pattern: str) -> int:
        """Return the position up to which a pattern's records were sent."""
        return max(self._after[pattern], self.position)

    def wants(self, topic: str, seq: int) -> bool:
        """Return whether to send a record; ``seq`` must be after :attr:`position`."""
        return seq > self._start_of(topic)

    def has(self, topic: str) -> bool:
        """Return whether any of the patterns matches a topic."""
        return self._start_of(topic) < MAX_POSITION

    def is_complete(self, head: int) -> bool:
        """Return whether everything up to ``head`` was sent, and nothing after it."""
        return (
            self.position == head
            and not self._newest
            and all(after <= head for after in self._after.values())
        )

    def advance(self, position: int) -> None:
        """Note that everything up to ``position`` was sent.

        An earlier position changes nothing.
        """
        self._grow()
        self.position = max(self.position, position)

    def _grow(self) -> None:
        self._limit = min(2 * self._limit, GROWN_PAGE_RECORDS)

    def _start_of(self, topic: str) -> int:
        start = self._starts.get(topic)
        if start is None:
            if len(self._starts) >= _MAX_KNOWN_TOPICS:
                self._starts.clear()
            start = self._starts[topic] = self._find_start(topic)
        return start

    def _find_start(self, topic: str) -> int:
        if self._index is None:
            self._index = PatternIndex()
            for pattern in filter(has_wildcard, self._after):
                self._index.add(pattern, pattern)
        starts = [self._after[pattern] for pattern in self._index.match(topic)]
        if topic in self._after:
            starts.append(self._after[topic])
        return min(starts, default=MAX_POSITION)

    def _forget_starts(self) -> None:
        self._index = None
        self._starts.clear()


def find_start(command: Command, reached: int, feed: LiveFeed) -> Steps[Start]:
    """Find where a pattern begins, with few pages of the log.

    Args:
        command: Asks for it.
        reached: Up to where the subscriber has been sent everything.
        feed: The live end of the log.

    Raises:
        Rejected: If the log does not reach so far.
    """
    if command.latest:
        return (yield from _find_start_of_latest(command.pattern, reached))
    if command.last is not None:
        return (yield from _find_start_of_last(command.pattern, command.last, feed.head))
    if command.after is None:
        return Start(feed.head)
    if command.epoch not in (None, feed.epoch):
        # What followed in that log is not known here, and of this one the client has nothing yet.
        first = command.after + 1
        return Start(0, GapRange(first, max(first, feed.head)))
    if feed.cache.covers(command.after) and command.after <= feed.head:
        return Start(command.after)
    return (yield from _find_start_after(command.pattern, command.after))


def _find_start_after(pattern: str, after: int) -> Steps[Start]:
    page = yield Read([pattern], after=after, limit=1)
    assert page is not None
    if after > page.last:
        reason = f"after must be 0 to {page.last}, the end of the log, and is {after}"
        raise Rejected(ErrorCode.BAD_POSITION, reason)
    return Start(after, page.gap)


def _find_start_of_last(pattern: str, last: int, head: int) -> Steps[Start]:
    before, wanted = head + 1, last
    while wanted > 0:
        page = yield Read([pattern], before=before, limit=wanted)
        assert page is not None
        if not page.messages:
            break
        before = page.position
        wanted -= len(page.messages)
    return Start(before - 1)


def _find_start_of_latest(pattern: str, until: int) -> Steps[Start]:
    after = 0
    while after < until:
        page = yield Read([pattern], after=after, limit=1, latest=until)
        assert page is not None
        if page.messages:
            first = page.records().records[0]
            return Start(first.seq - 1, latest=until)
        after = page.position
    return Start(until, latest=until)


def no_log() -> Rejected:
    """Return the refusal where there is no log."""
    return Rejected(ErrorCode.RESUME_UNAVAILABLE, "msgqueue keeps no log that could be read")
