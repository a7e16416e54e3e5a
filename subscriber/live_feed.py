"""The live end of the log, shared by all subscribers.

It keeps the newest records, and hands each new one to fan-out.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from fanline.change_notifier import ChangeNotifier
from fanline.errors import CloseCode
from fanline.protocol import GapRange, Record
from fanline.queue.record_cache import RecordCache
from fanline.token_bucket import Quota
from subscriber.fanout import Fanout
from subscriber.presence.presence import LivePresence


class FeedListener(Protocol):
    """A subscriber, as the feed and admins see it."""

    @property
    def writer(self) -> object:
        """Connection of the subscriber."""
        ...

    @property
    def patterns(self) -> Collection[str]:
        """The patterns that it holds."""
        ...

    @property
    def behind(self) -> int:
        """Number of positions of the log yet to be sent."""
        ...

    def report(self, gap: GapRange) -> None:
        """Take note that positions after the head do not come."""
        ...

    def cut(self, code: CloseCode, reason: str) -> None:
        """End the connection."""
        ...


def _do_nothing(records: Sequence[Record]) -> None:
    del records


class LiveFeed:
    """Takes new records, keeps the newest, and hands each to fan-out.

    Args:
        cache: Keeps the newest records.
        fanout: Delivers each new one; its ``head`` is the head of the whole service.
        call_later: Calls a function after a number of seconds, as the event loop's method does.
        on_delivered: Called with records that were delivered, in order.
        presence: Who is present; takes the records of the system's topics first.
        quota: How much memory the patterns of each user may take, by name.

    Attributes:
        grown: Fires when there are new records.
        subscriptions: All subscribers.
        turn: Held by the subscriber that catches up by a page: one at a time, each in its turn.
        can_resume: Whether positions mean something: not with a msgqueue that speaks the plain dialect.
        epoch: Epoch of the log that the cache is of.
        presence: As given.
        quota: As given.
    """

    def __init__(
        self,
        cache: RecordCache,
        fanout: Fanout,
        call_later: Callable[[float, Callable[[], None]], object],
        on_delivered: Callable[[Sequence[Record]], None] = _do_nothing,
        *,
        presence: LivePresence,
        quota: Quota | None = None,
    ) -> None:
        self.cache = cache
        self.fanout = fanout
        self.grown = ChangeNotifier()
        self.turn = asyncio.Lock()
        self.subscriptions: set[FeedListener] = set()
        self.can_resume = True
        self.epoch: str | None = None
        self.quota = Quota(math.inf) if quota is None else quota
        self._call_later = call_later
        self._on_delivered = on_delivered
        self.presence = presence
        self._is_timer_set = False
        # The clock of fan-out stands still while it writes. To a thousand subscribers that takes longer than
        # the join window, and messages that arrive during it would seem too far apart to be joined.
        self._time_writing = 0.0
        self._ready = asyncio.Event()

    @property
    def head(self) -> int:
        """Position of the newest record."""
        return self.fanout.head

    @property
    def is_ready(self) -> bool:
        """True once the end of the log is known."""
        return self._ready.is_set()

    async def wait_until_ready(self) -> None:
        """Wait until the end of the log is known."""
        await self._ready.wait()

    def begin(self, head: int, *, epoch: str | None, can_resume: bool) -> None:
        """Start at a position of a log, after which records are live."""
        self.epoch = epoch
        self.can_resume = can_resume
        self.cache.restart(head)
        self.fanout.head = head
        if can_resume:
            self.presence.begin(head)
        self._ready.set()

    def take(self, records: Sequence[Record]) -> None:
        """Deliver new records in order, and keep them for late subscribers."""
        for record in records:
            self.cache.add(record)
        if system := [record for record in records if record.topic[:1] == "$"]:
            self.presence.take(system)
        self._write(lambda now: self.fanout.deliver(records, now))
        if records:
            self._on_delivered(records)
        self.grown.fire()

    def report(self, gap: GapRange) -> None:
        """Tell live subscribers that retention removed positions before they got here.

        All others, and those that resume later from a position before its end, are told by msgqueue.
        """
        self.cache.skip(gap.last)
        if self.can_resume:
            self.presence.begin(max(gap.last, self.head))
        self.flush()
        for subscription in tuple(self.subscriptions):
            subscription.report(gap)
        self.grown.fire()

    def restart(self) -> None:
        """Disconnect all subscribers, because the log is another one.

        Their positions mean nothing there.
        """
        self._ready.clear()
        self.presence.restart()
        for subscription in tuple(self.subscriptions):
            subscription.cut(CloseCode.TRY_AGAIN_LATER, "the log was replaced; subscribe again")

    def flush(self) -> None:
        """Write everything that is held back."""
        self.fanout.flush(float("inf"))

    def _write(self, hand_out: Callable[[float], float | None]) -> None:
        """Run a write of fan-out, and time the next one.

        A timer is set for what it holds back.
        """
        began = time.monotonic()
        now = began - self._time_writing
        flush_at = hand_out(now)
        self._time_writing += time.monotonic() - began
        if flush_at is not None and not self._is_timer_set:
            self._is_timer_set = True
            self._call_later(max(0.0, flush_at - now), self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._is_timer_set = False
        self._write(self.fanout.flush)
