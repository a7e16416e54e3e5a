"""Presence of members in rooms: their servers, and leaves to write.

Members are sessions of :mod:`fanline.presence` on the topic of their room, in records of chat's own: each
begins with ``joined`` and ends with ``left``, among the messages of the room. A member who comes back is
another one, so no leave is held back, other than in ``subscriber.presence``. A server that starts reads the
whole log, from which retention may have removed ``joined``, so sessions that last are announced again on the
topic of the servers.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from chat.domain.events import SERVERS, Beat, Event, Here, Left, ListedMember, room_of
from chat.domain.names import new_key
from chat.domain.room import Room, RoomMember
from chat.domain.rooms import Rooms
from fanline import Publisher
from fanline.presence import (
    BEAT_INTERVAL,
    TICK,
    PresenceEvent,
    PresenceState,
    ServerBeat,
    SessionLeft,
    SessionsHere,
    UserSession,
)

logger = logging.getLogger(__name__)


class _Unsent(NamedTuple):
    topic: str
    event: Event
    id: str | None = None


class MemberPresence:
    """Write the leaves of this server's and dead servers' members.

    The pipeline may be away for any time. Each leave has an id made from the member's, so that it is stored
    once even if several servers write it.

    Args:
        rooms: The rooms, as of the position up to which the log was read.
        beat_interval: Seconds between the beats of this server, while they are needed.
        clock: Returns seconds that never go back.

    Attributes:
        server: The id of this server, unique for each run.
        state: The sessions of all members, and which servers are alive.
    """

    def __init__(
        self,
        rooms: Rooms,
        *,
        beat_interval: float = BEAT_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = new_key()
        self.state = PresenceState(
            self.server, leave_delay=0, write=self._write, clock=clock, beat_interval=beat_interval
        )
        self._rooms = rooms
        self._tick_seconds = min(TICK, beat_interval)
        self._unsent: deque[_Unsent] = deque()
        self._changed = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def unsent(self) -> int:
        """Number of events that wait to be sent."""
        return len(self._unsent)

    def apply(self, event: PresenceEvent) -> None:
        """Apply an event of the log, after all before it.

        The join of a member is applied before the session begins.
        """
        self.state.apply(event)
        (self._is_empty.clear if self.state.own else self._is_empty.set)()
        self._changed.set()

    def clear(self) -> None:
        """Forget everything, to begin with another log; all sessions have ended."""
        self.state.clear()
        self._unsent.clear()

    async def wait_until_empty(self) -> None:
        """Wait until the leaves of this server's members have come back."""
        await self._is_empty.wait()

    async def run(self, publisher: Publisher) -> NoReturn:
        """Write until cancelled, earlier unwritten events first.

        An earlier publisher has not written these.

        Raises:
            FanlineError: If the pipeline refuses an event.
        """
        self._unsent.clear()
        self.state.restore()
        while True:
            self._changed.clear()
            # Without a connection a beat is written anyway, to find out whether one can be had again.
            self.state.tick(is_probing=not publisher.connected)
            results = []
            while self._unsent:
                topic, event, event_id = self._unsent.popleft()
                results.append(await publisher.send(topic, event, id=event_id))
            for result in results:
                await result
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._tick_seconds):
                    await self._changed.wait()

    def _write(self, event: PresenceEvent) -> None:
        match event:
            case SessionLeft(session):
                self._write_leave(session)
            case ServerBeat(server):
                self._unsent.append(_Unsent(SERVERS, Beat(server)))
            case SessionsHere(sessions, server):
                listed = tuple(self._listed(present.session) for present in sessions)
                self._unsent.append(_Unsent(SERVERS, Here(server, listed)))
        self._changed.set()

    def _write_leave(self, session: UserSession) -> None:
        room, member = self._find(session)
        if member.server != self.server:
            logger.warning("server %s is dead; its member %s has left", member.server, member.id)
        left = Left(room.key, member.id, member.name, member.server, member.user)
        self._unsent.append(_Unsent(session.topic, left, f"left:{member.id}"))

    def _listed(self, session: UserSession) -> ListedMember:
        room, member = self._find(session)
        return ListedMember(room.id, room.key, member.id, member.name, member.user)

    def _find(self, session: UserSession) -> tuple[Room, RoomMember]:
        room = self._rooms.by_id[room_of(session.topic)]
        return room, room.members[session.name]
