"""Who gets what: routing by topic, and frames joined so that many of them cost one write. No I/O.

Subscribers with the same subscriptions form an *audience*. A message is put once into each audience that it
concerns; when an audience is flushed, its frames are joined once, and each member gets the same bytes in
one write. So the work per delivery is one call of ``write`` per member and flush, nothing else.

The rule that makes positions exact: an audience is flushed before its membership changes. A member that
leaves has been handed everything up to :attr:`Fanout.head`, and one that joins gets everything after it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, Protocol

from fanline.protocol import Dialect, Record
from fanline.protocol.topics import PatternIndex
from fanline.server.connection import text_frame

# A subscriber with more subscriptions than this is an audience by itself: that others have the same set is
# unlikely, and comparing sets would make every change of a long list cost the whole list.
MAX_SHARED: Final = 16

# An audience is flushed when this much has gathered, whatever the window.
MAX_PENDING_BYTES: Final = 65_536

MAX_CACHED_ROUTES: Final = 50_000

# Holding messages back pays if there are many writes to be saved: so many a second, a tenth of a core; ...
BUSY_RATE: Final = 10_000

# ... and if the next message is likely to come meanwhile: if the one before came so many windows ago at most.
BUSY_WINDOWS: Final = 1.5

# What is due so soon is due now: the event loop's timers count whole milliseconds.
TIMER_GRAIN: Final = 0.0005


class Member(Protocol):
    """A subscriber as fan-out sees it; compared by identity."""

    @property
    def dialect(self) -> Dialect:
        """How it wants its frames spelled."""
        ...

    def write(self, frames: bytes) -> None:
        """Take complete frames; must neither wait nor raise. It may make the member leave."""
        ...


class Audience:
    """Members with the same subscriptions, and the frames that wait for them."""

    __slots__ = (
        "dialect", "due", "heard_at", "key", "members", "patterns", "pending", "pending_bytes", "writers",
    )  # fmt: skip

    def __init__(self, key: object, dialect: Dialect, patterns: Iterable[str]) -> None:
        self.key = key
        self.dialect = dialect
        self.patterns = set(patterns)
        self.members: dict[Member, None] = {}
        self.writers: tuple[Callable[[bytes], None], ...] = ()
        self.pending: list[bytes] = []
        self.pending_bytes = 0
        self.heard_at = self.due = float("-inf")

    def admit(self, member: Member) -> None:
        """Add a member; the audience must have been flushed."""
        self.members[member] = None
        self.writers = tuple(each.write for each in self.members)

    def dismiss(self, member: Member) -> None:
        """Remove a member; the audience must have been flushed."""
        del self.members[member]
        self.writers = tuple(each.write for each in self.members)

    def flush(self) -> None:
        """Hand what waits to every member."""
        frames = b"".join(self.pending)
        self.pending.clear()
        self.pending_bytes = 0
        if frames:
            for write in self.writers:
                write(frames)


class Fanout:
    """Delivers records to the members whose subscriptions match.

    Args:
        window: Seconds for which a message to a busy audience may be held back, to be joined with the next;
            one to an audience that was idle never is.
        busy_rate: Writes a second up to which nothing is held back.

    Attributes:
        head: Position up to which everything was delivered.
        delivered: Messages handed to members so far, counted once per member.
    """

    def __init__(self, window: float, busy_rate: float = BUSY_RATE) -> None:
        self.head = 0
        self.delivered = 0
        self._window = window
        self._busy_rate = busy_rate
        self._delivered_at = float("-inf")
        self._index: PatternIndex[Audience] = PatternIndex()
        self._audiences: dict[object, Audience] = {}
        self._of_member: dict[Member, Audience] = {}
        self._routes: dict[str, tuple[Audience, ...]] = {}
        self._waiting: dict[Audience, None] = {}

    # Membership.

    def join(self, member: Member, patterns: Iterable[str]) -> None:
        """Begin to deliver to a member everything after :attr:`head` that one of ``patterns`` matches."""
        wanted = frozenset(patterns)
        key: object = (member.dialect, wanted) if len(wanted) <= MAX_SHARED else member
        if key in self._audiences:
            self._flush(self._audiences[key])  # its members may all leave over this, and it be dissolved
        audience = self._audiences.get(key) or self._found(key, member.dialect, wanted)
        audience.admit(member)
        self._of_member[member] = audience

    def leave(self, member: Member) -> None:
        """Stop delivering to a member, which has then been handed everything up to :attr:`head`."""
        audience = self._of_member.get(member)
        if audience is None:
            return
        self._flush(audience)
        if self._of_member.pop(member, None) is None:
            return  # its own write has made it leave
        audience.dismiss(member)
        if not audience.members:
            self._dissolve(audience)

    def add(self, member: Member, pattern: str) -> None:
        """Let a member have one more pattern from now on."""
        audience = self._of_member[member]
        if audience.key is member:
            audience.patterns.add(pattern)
            self._index.add(pattern, audience)
            self._routes.clear()
        else:
            self._move(member, audience.patterns | {pattern})

    def remove(self, member: Member, pattern: str) -> None:
        """Let a member have one pattern less from now on."""
        audience = self._of_member[member]
        if audience.key is member:
            self._flush(audience)
            audience.patterns.discard(pattern)
            self._index.discard(pattern, audience)
            self._routes.clear()
        else:
            self._move(member, audience.patterns - {pattern})

    def is_member(self, member: Member) -> bool:
        """Whether a member is delivered to."""
        return member in self._of_member

    # Delivery.

    def deliver(self, records: Sequence[Record], now: float) -> float | None:
        """Route records, in order, and hand out what is not worth holding back.

        Args:
            records: Newer than everything before.
            now: The time, in seconds of any clock.

        Returns:
            The time at which :meth:`flush` must be called for what is held back; None if nothing is.
        """
        fresh: dict[Audience, float] = {}
        for record in records:
            self._route(record, now, fresh)
        writes = sum(len(audience.writers) for audience in fresh)
        is_busy = writes > self._busy_rate * (now - self._delivered_at)
        self._delivered_at = now
        for audience, heard_at in fresh.items():
            if is_busy and now - heard_at <= BUSY_WINDOWS * self._window:
                self._hold(audience, now)
            else:
                audience.flush()
        return self.flush(now)

    def flush(self, now: float) -> float | None:
        """Hand out what was held back until now; return when to call again, as :meth:`deliver` does."""
        latest = now + TIMER_GRAIN
        for audience in tuple(takewhile(lambda audience: audience.due <= latest, self._waiting)):
            self._flush(audience)
        return next((audience.due for audience in self._waiting), None)

    def _route(self, record: Record, now: float, fresh: dict[Audience, float]) -> None:
        """Put a record into the audiences that it concerns.

        Those that had nothing go into ``fresh``, with the time at which there was something for them last.
        """
        self.head = record.seq
        audiences = self._routes.get(record.topic)
        if audiences is None:
            audiences = self._find_route(record.topic)
        frames: dict[Dialect, bytes] = {}
        for audience in audiences:
            frame = frames.get(audience.dialect)
            if frame is None:
                frame = frames[audience.dialect] = encode_frame(record, audience.dialect)
            if not audience.pending:
                fresh.setdefault(audience, audience.heard_at)
            audience.heard_at = now
            audience.pending.append(frame)
            audience.pending_bytes += len(frame)
            self.delivered += len(audience.writers)
            if audience.pending_bytes >= MAX_PENDING_BYTES:
                self._flush(audience)

    def _hold(self, audience: Audience, now: float) -> None:
        """Let an audience wait for the window; as all windows are alike, they wait in order."""
        audience.due = now + self._window
        self._waiting[audience] = None

    def _find_route(self, topic: str) -> tuple[Audience, ...]:
        if len(self._routes) >= MAX_CACHED_ROUTES:
            self._routes.clear()
        route = tuple(dict.fromkeys(self._index.match(topic)))
        self._routes[topic] = route
        return route

    def _flush(self, audience: Audience) -> None:
        self._waiting.pop(audience, None)
        audience.flush()

    # Audiences.

    def _move(self, member: Member, patterns: Iterable[str]) -> None:
        """Put a member into another audience, unless its write makes it leave altogether."""
        self._flush(self._of_member[member])
        if self.is_member(member):
            self.leave(member)
            self.join(member, patterns)

    def _found(self, key: object, dialect: Dialect, patterns: Iterable[str]) -> Audience:
        audience = self._audiences[key] = Audience(key, dialect, patterns)
        for pattern in audience.patterns:
            self._index.add(pattern, audience)
        self._routes.clear()
        return audience

    def _dissolve(self, audience: Audience) -> None:
        del self._audiences[audience.key]
        for pattern in audience.patterns:
            self._index.discard(pattern, audience)
        self._routes.clear()


def encode_frame(record: Record, dialect: Dialect) -> bytes:
    """Return the frame that carries a record to a client of a dialect."""
    return text_frame(dialect.codec.encode_delivery(record.body))
