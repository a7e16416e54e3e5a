"""State of one subscriber: its patterns, live or catching up. No I/O.

A subscriber is live as long as it keeps up: each new record is written by fan-out. When its write buffer is
full it leaves fan-out, at a position that is known exactly, and is sent pages of the log from there, as fast
as it takes them, until it reaches the head and is live again. A pattern that begins in the past goes the
same way::

    subscribe from now         ┌────────┐   pause, or subscribe from the past   ┌─────────────┐
    ──────────────────────────▶│  live  │──────────────────────────────────────▶│ catching up │
                               │        │◀──────────────────────────────────────│             │
                               └────────┘       at the head, and not paused     └─────────────┘

The caller does the waiting. :meth:`Subscription.execute` yields what a command has to wait for, and
:meth:`Subscription.advance` returns the page to read next.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import GapNotice, GapRange, Page, PageAnswer, Read, Record, Subscribed, Unsubscribed
from fanline.protocol.topics import memory_of
from fanline.security.users import User
from subscriber.backlog import Backlog, Start, Steps, find_start, no_log
from subscriber.commands import Command
from subscriber.frame_codec import FrameCodec
from subscriber.live_feed import LiveFeed
from subscriber.presence.own_sessions import OwnSessions

# Bytes of records taken from memory at a time: with the write buffer, all that is held for a slow subscriber.
CACHED_PAGE_BYTES: Final = 65_536

# Records in memory that are looked at for one page, most of which may not be wanted.
MAX_LOOKED_AT: Final = 1_000


class Writer(Protocol):
    """The connection of a subscriber."""

    @property
    def paused(self) -> bool:
        """True while its write buffer is full."""
        ...

    def write(self, frames: bytes) -> None:
        """Write complete frames; must neither wait nor raise."""
        ...

    def cut(self, code: CloseCode, reason: str) -> None:
        """Close without waiting for the peer."""
        ...


class Subscription:
    """Decides what one subscriber is sent, and when.

    Args:
        writer: Its connection.
        codec: How its frames are made.
        feed: The live end of the log.
        user: Whose rights it has.
        max_patterns: How many patterns it may hold.

    Attributes:
        patterns: The patterns that it holds.
    """

    __slots__ = (
        "_backlog", "_cache", "_fanout", "_feed", "_gap", "_max_patterns", "_read", "_sessions",
        "_user", "codec", "patterns", "write", "writer",
    )  # fmt: skip

    def __init__(
        self,
        writer: Writer,
        codec: FrameCodec,
        feed: LiveFeed,
        *,
        user: User,
        max_patterns: int,
    ) -> None:
        self.codec = codec
        self.write = writer.write
        self.writer = writer
        self._feed = feed
        self._fanout = feed.fanout
        self._cache = feed.cache
        self._user = user
        self._max_patterns = max_patterns
        self._sessions: OwnSessions | None = None  # while there are any
        self.patterns: set[str] = set()
        self._backlog: Backlog | None = None
        self._read: Read | None = None
        self._gap = GapRange(0, 0)
        feed.subscriptions.add(self)

    @property
    def is_catching_up(self) -> bool:
        """True while there are records to send from the log."""
        return self._backlog is not None

    @property
    def behind(self) -> int:
        """Number of positions of the log yet to be sent."""
        return 0 if self._backlog is None else max(0, self._fanout.head - self._backlog.position)

    @property
    def is_sending_newest(self) -> bool:
        """True while newest records are sent; commands must wait for their end.

        So what a later command asks for comes after it, and each pattern in the order of the log.
        """
        return self._backlog is not None and self._backlog.is_sending_newest

    @property
    def is_ahead(self) -> bool:
        """True if another service sent records that have not arrived here."""
        head, backlog = self._fanout.head, self._backlog
        if backlog is None or backlog.is_sending_newest:
            return False
        return backlog.position >= head and not backlog.is_complete(head)

    def close(self) -> None:
        """End all delivery; allowed at any time, and again."""
        self._feed.subscriptions.discard(self)
        self._fanout.leave(self)
        self._give_back(self.patterns)
        self.patterns.clear()
        self._backlog = self._read = None
        if self._sessions is not None:
            self._sessions.release()
            self._sessions = None

    def cut(self, code: CloseCode, reason: str) -> None:
        """End all delivery, and close the connection."""
        self.close()
        self.writer.cut(code, reason)

    def send(self, notice: msgspec.Struct) -> None:
        """Write an answer or a notice, if the subscriber is sent such."""
        if self.codec.has_notices:
            self.write(self.codec.encode_notice(notice))

    # Commands.

    def execute(self, command: Command) -> Steps[None]:
        """Execute a command, and answer it.

        Nothing happens before the generator is started, and only one may be in progress; none while
        :attr:`is_sending_newest`.

        Yields:
            The page of the log that is needed, to be sent to the generator, or else what to wait for. Most
            commands need nothing.

        Raises:
            Rejected: If the command cannot be executed; then it has changed nothing.
        """
        if command.subscribe:
            yield from self._subscribe(command)
        else:
            self._unsubscribe(command.pattern)

    def begin(self, commands: Sequence[Command]) -> Steps[Sequence[Start]]:
        """Make the first subscriptions of a subscriber as one.

        Nothing is sent in between. Otherwise like :meth:`execute`; there is no answer.

        Returns:
            Where each begins.
        """
        for command in commands:
            self._check(command.pattern)
        if len(commands) > self._max_patterns:
            raise self._too_many()
        if not self._feed.is_ready:
            yield self._feed
        if not self._feed.can_resume:
            raise no_log()
        yield from self._prepare_sessions(commands)
        starts: dict[str, Start] = {}
        head = self._fanout.head
        for command in commands:
            starts[command.pattern] = yield from self._find_start(command, head)
        for pattern, start in starts.items():
            self._add(pattern, start)
        for command in commands:
            self._enter(command)
        return list(starts.values())

    def _subscribe(self, command: Command) -> Steps[None]:
        self._check(command.pattern)
        # A subscriber without notices is told no position, nor could it be told that msgqueue is away.
        if not self._feed.is_ready and (
            self.codec.has_notices or command.presence or not command.is_from_now
        ):
            yield self._feed
        yield from self._prepare_sessions([command])
        if command.pattern in self.patterns:
            if self._fanout.is_member(self):
                self._fanout.flush_for(self)
            self._answer(command, Start(self._position_of(command.pattern)))
            return
        reached = self._fanout.head if self._backlog is None else self._backlog.position
        start = yield from self._find_start(command, reached)
        self._add(command.pattern, start)
        # Not before: frames held back for the other patterns have been written by now.
        self._answer(command, start)

    def _prepare_sessions(self, commands: Sequence[Command]) -> Steps[None]:
        """Check that the sessions which commands ask for can begin."""
        wanted = {command.pattern: command.session for command in commands if command.presence}
        if not wanted:
            return
        if not self._feed.can_resume:
            raise no_log()
        if not self._feed.presence.is_ready:
            yield self._feed.presence
        if self._sessions is None:
            self._sessions = OwnSessions(self._feed.presence, self._user.name)
        self._sessions.check(wanted)

    def _enter(self, command: Command) -> str | None:
        """Begin the session that a command requests; return its name, if any."""
        if not command.presence or self._sessions is None:
            return None
        return self._sessions.enter(command.pattern, command.session)

    def _check(self, pattern: str) -> None:
        self._user.require_subscribe(pattern)
        if len(self.patterns) >= self._max_patterns and pattern not in self.patterns:
            raise self._too_many()
        self._require_memory(pattern)

    def _too_many(self) -> Rejected:
        reason = f"a connection may hold {self._max_patterns:,} subscriptions"
        return Rejected(ErrorCode.TOO_MANY_SUBSCRIPTIONS, reason)

    def _require_memory(self, pattern: str) -> None:
        user = self._user
        if user.is_service or pattern in self.patterns:
            return
        if not self._feed.quota.has_room(user.name, memory_of(pattern)):
            reason = f"the subscriptions of all connections of {user.name} take as much memory as allowed"
            raise Rejected(ErrorCode.TOO_MANY_SUBSCRIPTIONS, reason)

    def _give_back(self, patterns: Iterable[str]) -> None:
        if memory := sum(map(memory_of, patterns)):
            self._feed.quota.give_back(self._user.name, memory)

    def _position_of(self, pattern: str) -> int:
        return self._fanout.head if self._backlog is None else self._backlog.position_of(pattern)

    def _answer(self, command: Command, start: Start) -> None:
        name = self._enter(command)
        seq = start.after if self._feed.can_resume else None
        self.send(Subscribed(command.pattern, seq, start.gap, self._feed.epoch, start.latest, name))

    def _add(self, pattern: str, start: Start) -> None:
        self._require_memory(pattern)  # again: others may have taken it while the log was read
        self._feed.quota.take(self._user.name, memory_of(pattern))
        if self._backlog is None and self._is_live_end(start.after):
            self.patterns.add(pattern)
            if self._fanout.is_member(self):
                self._fanout.add(self, pattern)
            else:
                self._fanout.join(self, self.patterns)
            return
        self.leave_live()
        self.patterns.add(pattern)
        self._read = None
        if self._backlog is None:
            self._backlog = Backlog()
        if start.latest is None or start.after == start.latest:
            self._backlog.add(pattern, start.after)
        else:
            self._backlog.add_newest(pattern, start.latest)

    def _is_live_end(self, position: int) -> bool:
        """Return whether fan-out can go on from a position."""
        return position == self._fanout.head and self._cache.covers(position) and not self.writer.paused

    def change_user(self, user: User) -> Iterator[tuple[str, Rejected]]:
        """Apply changed rights of the user; end and yield forbidden subscriptions."""
        self._user = user
        for pattern in sorted(self.patterns):
            try:
                self._check(pattern)
            except Rejected as rejected:
                self._remove(pattern)
                yield pattern, rejected

    def _unsubscribe(self, pattern: str) -> None:
        if pattern in self.patterns:
            self._remove(pattern)
        self.send(Unsubscribed(pattern))

    def _remove(self, pattern: str) -> None:
        self.patterns.discard(pattern)
        self._give_back([pattern])
        if self._sessions is not None:
            self._sessions.leave(pattern)
        if self._backlog is not None:
            self._read = None
            self._backlog.remove(pattern)
        elif self.patterns:
            self._fanout.remove(self, pattern)
        else:
            self._fanout.leave(self)
        # Also after a pause that the frames held back until now have caused.
        if not self.patterns:
            self._backlog = None

    def _find_start(self, command: Command, reached: int) -> Steps[Start]:
        if not command.is_from_now and not self._feed.can_resume:
            raise no_log()
        start = yield from find_start(command, reached, self._feed)
        if start.gap is not None and command.epoch in (None, self._feed.epoch):
            self._note_gap(start.gap)
        return start

    # Between live and the log.

    def leave_live(self) -> None:
        """Leave fan-out to catch up, because the write buffer is full."""
        if not self._fanout.is_member(self):
            return
        self._fanout.leave(self)  # which writes what was held back, and so may call this method again
        if self._backlog is None:
            self._backlog = Backlog(self.patterns, self._fanout.head)

    def advance(self) -> Read | None:
        """Take the next step back to live: write, or join fan-out.

        Returns:
            The page of the log to read, for :meth:`take_page`, if the next records are not in memory. None
            otherwise, and if the subscriber is live, ahead or paused.
        """
        backlog = self._backlog
        if backlog is None or self.writer.paused:
            return None
        if backlog.is_complete(self._fanout.head) and self._is_live_end(backlog.position):
            self._backlog = None
            self._fanout.join(self, self.patterns)
        elif backlog.is_sending_newest or not self._cache.covers(backlog.position):
            self._read = backlog.next_read()
            return self._read
        elif backlog.position < self._fanout.head:
            self._write_page(
                backlog,
                self._cache.read(
                    backlog.position,
                    patterns=backlog.patterns,
                    has=backlog.has,
                    max_bytes=CACHED_PAGE_BYTES,
                    max_looked_at=MAX_LOOKED_AT,
                ),
            )
        return None

    def take_page(self, read: Read, page: PageAnswer) -> None:
        """Write a page, unless the patterns have changed since its request."""
        if self._backlog is None or read is not self._read:
            return
        self._read = None
        if page.gap is not None and self._note_gap(page.gap):
            self.send(GapNotice(page.gap))
        if read.latest is None:
            self._write_page(self._backlog, page.records())
        else:
            self._write_records(page.records().records)
            self._backlog.advance_newest(page.position)

    def report(self, gap: GapRange) -> None:
        """Tell a live subscriber of a gap; others learn by reading."""
        if self._fanout.is_member(self) and self._note_gap(gap):
            self.send(GapNotice(gap))

    def _write_page(self, backlog: Backlog, page: Page) -> None:
        wanted = [record for record in page.records if backlog.wants(record.topic, record.seq)]
        backlog.advance(page.position)
        self._write_records(wanted)

    def _write_records(self, records: Sequence[Record]) -> None:
        if records:
            self._fanout.delivered += len(records)
            self.write(b"".join(map(self.codec.encode_record, records)))

    def _note_gap(self, gap: GapRange) -> bool:
        """Note that a gap is reported; return whether it was not before."""
        last = self._gap
        if last.first <= gap.first and gap.last <= last.last:
            return False
        if gap.first <= last.last + 1 and last.first <= gap.last + 1:
            gap = GapRange(min(last.first, gap.first), max(last.last, gap.last))
        self._gap = gap
        return True
