"""Fan-out: routing by topic, and many frames in one write. No I/O.

Members with the same codec and patterns form a *subscriber group*. A record is encoded once for each codec
and put once into each group that it matches. When a group is flushed its frames are joined once, and each
member gets the same bytes in one write. So the work per delivery is one call of ``write`` per member and
flush, nothing else.

The rule that makes positions exact: a group is flushed before its members change. A member that leaves was
written everything up to :attr:`Fanout.head`, and one that joins is written everything after it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, Protocol

from fanline.protocol import Record
from fanline.protocol.topics import PatternIndex
from subscriber.frame_codec import FrameCodec

# A member with more patterns than this is a group by itself: that others have the same set is unlikely, and
# comparing sets would make every change of a long list cost the whole list.
MAX_SHARED_PATTERNS: Final = 16

# A group is flushed when this much has gathered, whatever the window.
MAX_PENDING_BYTES: Final = 65_536

MAX_CACHED_ROUTES: Final = 50_000

# Holding messages back pays if it saves many writes: so many a second, a tenth of a core; ...
BUSY_RATE: Final = 10_000

# ... and if the next message is likely to come in time: if the last one came at most so many windows ago.
BUSY_WINDOWS: Final = 1.5

# A window that ends so soon has ended: the event loop's timers count whole milliseconds.
TIMER_GRAIN: Final = 0.0005


class GroupMember(Protocol):
    """A subscriber, for fan-out; compared by identity."""

    @property
    def codec(self) -> FrameCodec:
        """Makes its frames."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """Write complete frames, without waiting or raising.

        The member may leave by this.
        """
        ...


class SubscriberGroup:
    """Members with the same codec and patterns, and their waiting frames."""

    __slots__ = (
        "codec", "flush_at", "key", "last_message_at", "members", "patterns", "pending", "pending_bytes",
        "writers",
    )  # fmt: skip

    def __init__(self, key: object, codec: FrameCodec, patterns: Iterable[str]) -> None:
        self.key = key
        self.codec = codec
        self.patterns = set(patterns)
        self.members: dict[GroupMember, None] = {}
        self.writers: tuple[Callable[[bytes], None], ...] = ()
        self.pending: list[bytes] = []
        self.pending_bytes = 0
        self.last_message_at = self.flush_at = float("-inf")

    def add(self, member: GroupMember) -> None:
        """Add a member; the group must have been flushed."""
        self.members[member] = None
        self.writers = tuple(each.write for each in self.members)

    def remove(self, member: GroupMember) -> None:
        """Remove a member; the group must have been flushed."""
        del self.members[member]
        self.writers = tuple(each.write for each in self.members)

    def flush(self) -> None:
        """Write the pending frames to every member."""
        frames = b"".join(self.pending)
        self.pending.clear()
        self.pending_bytes = 0
        if frames:
            for write in self.writers:
                write(frames)


class Fanout:
    """Delivers records to the members whose patterns match.

    Args:
        window: Seconds for which a message to a busy group may be held back, to be joined with the next;
            one to a group that was idle never is.
        busy_rate: Writes a second up to which nothing is held back.
        max_shared_patterns: Patterns up to which members share a group.
        max_pending_bytes: Bytes of pending frames at which a group is flushed.
        max_cached_routes: Topics whose groups are remembered.

    Attributes:
        head: Position up to which everything was delivered; the head of the whole service.
        delivered: Messages written to members so far, counted once per member.
    """

    def __init__(
        self,
        window: float,
        *,
        busy_rate: float = BUSY_RATE,
        max_shared_patterns: int = MAX_SHARED_PATTERNS,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        max_cached_routes: int = MAX_CACHED_ROUTES,
    ) -> None:
        self.head = 0
        self.delivered = 0
        self._window = window
        self._busy_rate = busy_rate
        self._max_shared_patterns = max_shared_patterns
        self._max_pending_bytes = max_pending_bytes
        self._max_cached_routes = max_cached_routes
        self._delivered_at = float("-inf")
        self._index: PatternIndex[SubscriberGroup] = PatternIndex()
        self._groups: dict[object, SubscriberGroup] = {}
        self._of_member: dict[GroupMember, SubscriberGroup] = {}
        self._routes: dict[str, tuple[SubscriberGroup, ...]] = {}
        self._waiting: dict[SubscriberGroup, None] = {}

    # Membership.

    def join(self, member: GroupMember, patterns: Iterable[str]) -> None:
        """Deliver later records to a member, if ``patterns`` match them.

        Those are the records after :attr:`head`.
        """
        wanted = frozenset(patterns)
        key: object = (member.codec, wanted) if len(wanted) <= self._max_shared_patterns else member
        if key in self._groups:
            self._flush(self._groups[key])  # its members may all leave by this, and the group be discarded
        group = self._groups.get(key) or self._create(key, member.codec, wanted)
        group.add(member)
        self._of_member[member] = group

    def leave(self, member: GroupMember) -> None:
        """Write everything up to :attr:`head` to a member, then remove it.

        Others than members are ignored.
        """
        group = self._of_member.get(member)
        if group is None:
            return
        self._flush(group)
        if self._of_member.pop(member, None) is None:
            return  # it has left by what it was written
        group.remove(member)
        if not group.members:
            self._discard(group)

    def add(self, member: GroupMember, pattern: str) -> None:
        """Add a pattern to those of a member."""
        group = self._of_member[member]
        if group.key is member:
            self._flush(group)
            if self.is_member(member):  # it may have left by what it was written
                group.patterns.add(pattern)
                self._index.add(pattern, group)
                self._routes.clear()
        else:
            self._move(member, group.patterns | {pattern})

    def remove(self, member: GroupMember, pattern: str) -> None:
        """Remove a pattern from those of a member, which keeps others."""
        group = self._of_member[member]
        if group.key is member:
            self._flush(group)
            group.patterns.discard(pattern)
            self._index.discard(pattern, group)
            self._routes.clear()
        else:
            self._move(member, group.patterns - {pattern})

    def flush_for(self, member: GroupMember) -> None:
        """Write the frames held back for a member and its group."""
        self._flush(self._of_member[member])

    def is_member(self, member: GroupMember) -> bool:
        """Return whether a member has joined and not left."""
        return member in self._of_member

    def count_members(self, topic: str) -> int:
        """Return how many members get what is delivered on a topic."""
        return sum(len(group.writers) for group in self._routes.get(topic) or self._find_route(topic))

    def group_sizes(self) -> list[int]:
        """Return how many members each subscriber group has."""
        return [len(group.members) for group in self._groups.values()]

    # Delivery.

    def deliver(self, records: Sequence[Record], now: float) -> float | None:
        """Route records, in order, and write what is not worth holding back.

        Args:
            records: Newer than everything before.
            now: The time, in seconds, of a clock that never goes back.

        Returns:
            The time at which to call :meth:`flush` for what is held back; None if nothing is.
        """
        fresh: dict[SubscriberGroup, float] = {}
        for record in records:
            self._route(record, now, fresh)
        writes = sum(len(group.writers) for group in fresh)
        is_busy = writes > self._busy_rate * (now - self._delivered_at)
        self._delivered_at = now
        for group, last_message_at in fresh.items():
            if is_busy and now - last_message_at <= BUSY_WINDOWS * self._window:
                self._hold(group, now)
            else:
                group.flush()
        return self.flush(now)

    def flush(self, now: float) -> float | None:
        """Write frames held back until ``now``; return the next time.

        The next time is as in :meth:`deliver`.
        """
        latest = now + TIMER_GRAIN
        for group in tuple(takewhile(lambda group: group.flush_at <= latest, self._waiting)):
            self._flush(group)
        return next((group.flush_at for group in self._waiting), None)

    def _route(self, record: Record, now: float, fresh: dict[SubscriberGroup, float]) -> None:
        """Put a record into the groups that it matches.

        Groups that had nothing pending go into ``fresh``, with the time of their last message.
        """
        self.head = record.seq
        groups = self._routes.get(record.topic)
        if groups is None:
            groups = self._find_route(record.topic)
        frames: dict[FrameCodec, bytes] = {}
        for group in groups:
            frame = frames.get(group.codec)
            if frame is None:
                frame = frames[group.codec] = group.codec.encode_record(record)
            if not group.pending:
                fresh.setdefault(group, group.last_message_at)
            group.last_message_at = now
            group.pending.append(frame)
            group.pending_bytes += len(frame)
            self.delivered += len(group.writers)
            if group.pending_bytes >= self._max_pending_bytes:
                self._flush(group)

    def _hold(self, group: SubscriberGroup, now: float) -> None:
        """Hold a group back for the window.

        As all windows have one length, the order is that of time.
        """
        group.flush_at = now + self._window
        self._waiting[group] = None

    def _find_route(self, topic: str) -> tuple[SubscriberGroup, ...]:
        if len(self._routes) >= self._max_cached_routes:
            self._routes.clear()
        route = tuple(dict.fromkeys(self._index.match(topic)))
        self._routes[topic] = route
        return route

    def _flush(self, group: SubscriberGroup) -> None:
        self._waiting.pop(group, None)
        group.flush()

    # Groups.

    def _move(self, member: GroupMember, patterns: Iterable[str]) -> None:
        """Move a member to another group.

        It may instead leave by what it is written first.
        """
        self._flush(self._of_member[member])
        if self.is_member(member):
            self.leave(member)
            self.join(member, patterns)

    def _create(self, key: object, codec: FrameCodec, patterns: Iterable[str]) -> SubscriberGroup:
        group = self._groups[key] = SubscriberGroup(key, codec, patterns)
        for pattern in group.patterns:
            self._index.add(pattern, group)
        self._routes.clear()
        return group

    def _discard(self, group: SubscriberGroup) -> None:
        del self._groups[group.key]
        for pattern in group.patterns:
            self._index.discard(pattern, group)
        self._routes.clear()
