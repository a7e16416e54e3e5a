"""The hub: sessions of users and the events they receive. No I/O."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain

from fanline.hub.errors import BadLimit, DuplicateSession, HubClosed, UnknownSession
from fanline.hub.event import Event, EventType
from fanline.hub.listener import STOP_TIMEOUT, Attachment, Listener
from fanline.hub.stream import Stream


def unix_ms() -> int:
    """Return the system time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Hub:
    """Delivers every event to every session, and never waits for a session.

    The events of a session begin with its own ``join`` or ``add``, and end with its own ``remove`` or
    ``leave``, or with the ``close`` of the hub. A session that is ``max_pending`` events late misses further
    ones and is told how many; others are not affected.

    Not thread-safe. Only listeners, :meth:`close` and waiting for events need an event loop.

    Args:
        id: Id of the hub, part of every event.
        history: Number of newest events to keep.
        max_pending: Number of events that may wait for one session or listener.
        clock: Returns Unix milliseconds.

    Attributes:
        id: Id of the hub.

    Raises:
        BadLimit: If ``history`` is negative, or ``max_pending`` not positive.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the field of the events
        *,
        history: int = 1_000,
        max_pending: int = 10_000,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        if history < 0:
            raise BadLimit("history", history, lowest=0)
        if max_pending < 1:
            raise BadLimit("max_pending", max_pending, lowest=1)
        self.id = id
        self._max_pending = max_pending
        self._clock = clock
        self._history: deque[Event] = deque(maxlen=history)
        self._last_id = 0
        self._is_closed = False
        self._streams: dict[tuple[str, str], Stream[Event]] = {}
        self._sessions: Counter[str] = Counter()  # number of sessions by user
        self._attachments: set[Attachment] = set()

    def add(self, user: str, session: str) -> Stream[Event]:
        """Add a session, and return its events.

        They begin with its ``join`` or ``add``.

        Raises:
            DuplicateSession: If the user has the session already.
            HubClosed: If the hub is closed.
        """
        self._require_open()
        if (user, session) in self._streams:
            raise DuplicateSession(self.id, user, session)
        stream = self._streams[user, session] = Stream(self._max_pending)
        self._sessions[user] += 1
        is_first = self._sessions[user] == 1
        self._tell(EventType.JOIN if is_first else EventType.ADD, user, session)
        return stream

    def remove(self, user: str, session: str) -> None:
        """Remove a session; its stream ends with its ``remove`` or ``leave``.

        Raises:
            UnknownSession: If the user has no such session.
            HubClosed: If the hub is closed.
        """
        self._require_open()
        stream = self._streams.pop((user, session), None)
        if stream is None:
            raise UnknownSession(self.id, user, session)
        self._sessions[user] -= 1
        is_last = not self._sessions[user]
        if is_last:
            del self._sessions[user]
        stream.close(self._tell(EventType.LEAVE if is_last else EventType.REMOVE, user, session))

    def message(self, user: str, text: str) -> None:
        """Deliver a text to every session.

        The user needs no session. A closed hub ignores the text.
        """
        if not self._is_closed:
            self._tell(EventType.MESSAGE, user, message=text)

    def history(self) -> list[Event]:
        """Return the newest events, oldest first; works on a closed hub too."""
        return list(self._history)

    def attach_listener(self, listener: Listener) -> Attachment:
        """Call a listener with every later event, in its own task.

        Returns:
            The attachment, to detach the listener; :meth:`close` detaches it too.

        Raises:
            HubClosed: If the hub is closed.
        """
        self._require_open()
        attachment = Attachment(listener, Stream(self._max_pending))
        self._attachments.add(attachment)
        attachment.task.add_done_callback(lambda _: self._attachments.discard(attachment))
        return attachment

    async def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Close the hub, and wait until the listeners have taken all events.

        It is closed as by :meth:`close_nowait`. May be called again. If cancelled, the listeners are
        cancelled; the hub is closed nevertheless.

        Args:
            timeout: Seconds after which a listener is cancelled; events it has not taken are logged as lost.
        """
        self.close_nowait()
        await asyncio.gather(*(attachment.stop(timeout) for attachment in self._attachments))

    def close_nowait(self) -> None:
        """Close the hub: every stream ends with ``close``.

        Listeners still take their events. May be called again.
        """
        if self._is_closed:
            return
        self._is_closed = True
        event = self._record(EventType.CLOSE)
        for stream in self._listening():
            stream.close(event)
        self._streams.clear()
        self._sessions.clear()

    def _require_open(self) -> None:
        if self._is_closed:
            raise HubClosed(self.id)

    def _tell(
        self, what: EventType, user: str, session: str | None = None, message: str | None = None
    ) -> Event:
        event = self._record(what, user, session, message)
        for stream in self._listening():
            stream.put(event)
        return event

    def _record(
        self,
        what: EventType,
        user: str | None = None,
        session: str | None = None,
        message: str | None = None,
    ) -> Event:
        self._last_id += 1
        event = Event(self._last_id, self.id, what, self._clock(), user, session, message)
        self._history.append(event)
        return event

    def _listening(self) -> Iterator[Stream[Event]]:
        return chain(self._streams.values(), (attachment.events for attachment in self._attachments))
