"""Presence in a running service: feeds its state, writes its events.

:mod:`fanline.presence` decides, without waiting.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Final

from fanline.errors import ErrorCode, Rejected
from fanline.presence.events import (
    PRESENCE_PATTERNS,
    PresenceEvent,
    UserSession,
    decode_presence,
    encode_presence,
)
from fanline.presence.liveness import BEAT_INTERVAL, TICK
from fanline.presence.state import RENEWAL_SECONDS, PresenceState
from fanline.protocol import Ack, Read, Record, Refusal
from fanline.queue.base import QueueClient
from fanline.queue.pages import MAX_PAGE_RECORDS
from fanline.tasks import running_task

# How much of the log is read at the start: each session that lasts is in it.
PAST_MS: Final = int(2 * RENEWAL_SECONDS * 1000)

# Sessions that are not in the log yet, with which no more are accepted.
MAX_JOINING: Final = 10_000

logger = logging.getLogger(__name__)


class LivePresence:
    """The users who are present on topics; :meth:`run` keeps them.

    Args:
        queue: The log. It is written to only once there are sessions.
        leave_delay: Seconds for which the leave of a lost connection is held back.
        max_topics: On how many topics one connection may be present.
        max_sessions: How many sessions one user may have.
        beat_interval: Seconds between the beats of this process, while others are alive.

    Attributes:
        state: Who is present, as of the head of the feed.
        max_topics: As given.
    """

    def __init__(
        self,
        queue: QueueClient,
        *,
        leave_delay: float,
        max_topics: int,
        max_sessions: int,
        beat_interval: float = BEAT_INTERVAL,
    ) -> None:
        self.state = PresenceState(
            secrets.token_hex(6),
            leave_delay=leave_delay,
            write=self._write,
            clock=time.monotonic,
            beat_interval=beat_interval,
        )
        self.max_topics = max_topics
        self._tick_seconds = min(TICK, beat_interval)
        self._queue = queue
        self._max_sessions = max_sessions
        self._head: int | None = None  # of the feed, when the log is to be read up to there
        self._arrived: list[PresenceEvent] = []  # while it is read
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_refused = False
        self._is_announcing = False

    async def run(self) -> None:
        """Keep the state until cancelled."""
        async with running_task(self._append()):
            while True:
                if self._head is not None:
                    await self._read_past(self._head)
                elif self._ready.is_set():
                    self._tick()
                timeout = None if self.state.is_idle or not self._ready.is_set() else self._tick_seconds
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._changed.wait()
                self._changed.clear()

    # Connections.

    @property
    def is_ready(self) -> bool:
        """True once it is known who is present."""
        return self._ready.is_set()

    async def wait_until_ready(self) -> None:
        """Wait until it is known who is present."""
        await self._ready.wait()

    def check(self, session: UserSession) -> None:
        """Check that a session may begin.

        Raises:
            Rejected: If the user has too many, or the log cannot be written.
        """
        if self.state.has(session):
            return
        if self.state.count_of(session.user) >= self._max_sessions:
            reason = f"a user may be present {self._max_sessions:,} times, on all topics together"
            raise Rejected(ErrorCode.TOO_MANY_SUBSCRIPTIONS, reason)
        if self._queue.is_full_for(None) or self.state.joining >= MAX_JOINING:
            reason = "msgqueue does not keep up; the subscription was not made"
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason)

    def enter(self, session: UserSession) -> None:
        """Begin the session of a connection."""
        self.state.enter(session)
        self._announce_soon()
        self._changed.set()

    def leave(self, session: UserSession) -> None:
        """End the session of a connection at once."""
        self.state.leave(session)

    def release(self, session: UserSession) -> None:
        """Take note that the connection of a session is lost."""
        self.state.release(session)
        self._changed.set()

    # The feed.

    def begin(self, head: int) -> None:
        """Read the past up to a position; everything after it comes."""
        self._head = head
        self._arrived.clear()
        self._ready.clear()
        self._changed.set()

    def restart(self) -> None:
        """Forget a log that was replaced; :meth:`begin` follows."""
        self._head = None
        self._ready.clear()
        self.state.clear()

    def take(self, records: Sequence[Record]) -> None:
        """Apply new records of presence."""
        events = [found[0] for found in map(decode_presence, records) if found is not None]
        if not self._ready.is_set():
            self._arrived += events
            return
        was_idle = self.state.is_idle
        for event in events:
            self.state.apply(event)
        self._announce_soon()
        if was_idle:
            self._changed.set()

    # Writing.

    @property
    def group(self) -> object:
        """Sender of the messages: when one cannot be written, all are refused."""
        return self

    def settle(self, outcome: Ack | Refusal) -> None:
        """Take the outcome of a message; what was refused is written again."""
        if isinstance(outcome, Refusal) and not self._is_refused:
            logger.warning("presence could not be written, and is again: %s", outcome.reason)
            self._is_refused = True

    def _write(self, event: PresenceEvent) -> None:
        self._is_written.set()
        self._queue.append(encode_presence(event), self)

    async def _append(self) -> None:
        """Connect for writing once there is something to write.

        Most installations have no presence.
        """
        await self._is_written.wait()
        await self._queue.run()

    def _announce_soon(self) -> None:
        """Announce the sessions of one event loop turn with one message."""
        if not self._is_announcing:
            self._is_announcing = True
            asyncio.get_running_loop().call_soon(self._announce)

    def _announce(self) -> None:
        self._is_announcing = False
        self.state.announce_claims()

    def _tick(self) -> None:
        if self._is_refused and self._queue.problem is None:
            self._is_refused = False
            self.state.restore()
        self.state.tick()

    # The past.

    async def _read_past(self, head: int) -> None:
        try:
            events = await self._read_back(head)
        except Rejected as rejected:
            logger.warning("who is present cannot be read: %s; trying again", rejected)
            await asyncio.sleep(TICK)
            self._changed.set()
            return
        if self._head != head:
            return  # the log was replaced
        self._head = None
        self.state.clear()
        for event in reversed(events):
            self.state.apply_past(event)
        self._ready.set()
        for event in self._arrived:
            self.state.apply(event)
        self._arrived.clear()
        self.state.restore()
        self._changed.set()

    async def _read_back(self, head: int) -> list[PresenceEvent]:
        """Return the events of the last period, newest first.

        The period ends with the newest event.
        """
        events: list[PresenceEvent] = []
        before, newest = head + 1, 0
        while True:
            page = await self._queue.read(
                Read(list(PRESENCE_PATTERNS), before=before, limit=MAX_PAGE_RECORDS)
            )
            found = [each for each in map(decode_presence, page.records().records) if each is not None]
            newest = newest or max((time for _, time in found), default=0)
            events += (event for event, _ in reversed(found))
            if not page.messages or (found and found[0][1] < newest - PAST_MS):
                return events
            before = page.position
