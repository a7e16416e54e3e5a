"""What all sessions of a subscriber service share: the newest records, and the fan-out of each new one."""

import asyncio
import time
from collections.abc import Callable, Sequence

from fanline.change_notifier import ChangeNotifier
from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import Dialect, GapNotice, GapRange, Record
from fanline.queue.record_cache import RecordCache
from fanline.server.connection import Connection
from subscriber.fanout import Fanout


class Live:
    """The live end of the log, as far as this service has it.

    Args:
        recent_bytes: Size of the newest records to keep.
        join_window: Seconds for which a message to busy subscribers may be held back.

    Attributes:
        recent: The newest records.
        fanout: Delivers each new one.
        grown: Fires when there are new ones.
        connections: Those of all subscribers.
        can_resume: Whether positions mean something: not with a queue that speaks the plain dialect.
    """

    def __init__(self, *, recent_bytes: int, join_window: float) -> None:
        self.recent = RecordCache(recent_bytes)
        self.fanout = Fanout(join_window)
        self.grown = ChangeNotifier()
        self.connections: set[Connection] = set()
        self.can_resume = True
        self._loop = asyncio.get_running_loop()
        self._flush_timer: asyncio.TimerHandle | None = None
        # The fan-out's clock stands still while it writes. To a thousand subscribers that takes longer than
        # the window, and messages that come meanwhile would seem too far apart to be joined.
        self._time_writing = 0.0
        self._ready = asyncio.Event()

    @property
    def head(self) -> int:
        """Position of the newest record."""
        return self.recent.head

    @property
    def is_ready(self) -> bool:
        """Whether the end of the log is known."""
        return self._ready.is_set()

    async def ready(self, patience: float) -> None:
        """Wait until the end of the log is known.

        Raises:
            Rejected: If that takes longer than ``patience`` seconds.
        """
        try:
            async with asyncio.timeout(patience):
                await self._ready.wait()
        except TimeoutError:
            reason = "the queue cannot be reached; the subscription was not made"
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason) from None

    def begin(self, head: int, *, can_resume: bool) -> None:
        """Start at a position: what follows it is live."""
        self.can_resume = can_resume
        self.recent.restart(head)
        self.fanout.head = head
        self._ready.set()

    def take(self, records: Sequence[Record]) -> None:
        """Deliver new records, in order, and keep them for those who are a little behind."""
        for record in records:
            self.recent.add(record)
        self._write(lambda now: self.fanout.deliver(records, now))
        self.grown.fire()

    def report(self, gap: GapRange) -> None:
        """Tell every subscriber that retention removed messages before they got here.

        Those who come back later, from a position before the gap, learn of it from the queue.
        """
        self.recent.skip()
        for connection in self.connections:
            if connection.dialect is Dialect.V1:
                connection.send_json(GapNotice(gap))

    def restart(self) -> None:
        """Send everybody away: the log is another one, and the positions they hold mean nothing in it."""
        self._ready.clear()
        for connection in tuple(self.connections):
            connection.cut(CloseCode.TRY_AGAIN_LATER, "the log was replaced; subscribe anew")

    def flush(self) -> None:
        """Hand out everything that is held back."""
        self.fanout.flush(float("inf"))

    def _write(self, hand_out: Callable[[float], float | None]) -> None:
        """Let the fan-out write, at the time of its own clock, and again when it says that it has to."""
        began = time.monotonic()
        now = began - self._time_writing
        due = hand_out(now)
        self._time_writing += time.monotonic() - began
        if due is not None and self._flush_timer is None:
            self._flush_timer = self._loop.call_later(max(0.0, due - now), self._flush_due)

    def _flush_due(self) -> None:
        self._flush_timer = None
        self._write(self.fanout.flush)
