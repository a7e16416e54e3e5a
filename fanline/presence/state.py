"""The state of presence: all logged sessions, and this process's. No I/O.

Each process of a service applies the same events, in the order of the log, and so knows who is present on
each topic. A session is held by one process, which writes its ``leave``::

    enter ──▶ join ──▶ here, again and again ──▶ release ──▶ held back ──▶ leave
                                                    │
                                                    ╰──▶ enter, on any process: here, and no leave

When a process is dead (:class:`~fanline.presence.liveness.ServerLiveness`), the others write the leaves of
its sessions; an id makes sure that each is stored once. If a leave was written of a session that a connection
here has, it joins again: what the log says is what counts, for it is what subscribers have been told.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from fanline.presence.events import (
    PresenceEvent,
    PresentSession,
    ServerBeat,
    SessionJoined,
    SessionLeft,
    SessionsHere,
    UserSession,
)
from fanline.presence.liveness import BEAT_INTERVAL, ServerLiveness
from fanline.protocol.topics import has_wildcard, matches

# Seconds after which a process says again that it has a session. One that starts reads that much of the log
# twice over, and so finds every session.
RENEWAL_SECONDS: Final = 1_800.0

# Sessions in one message, and so in one step.
_MAX_LISTED: Final = 200


class _Known:
    """The process, time and position of a session."""

    __slots__ = ("seq", "server", "since")

    def __init__(self, server: str, since: int, seq: int) -> None:
        self.server = server
        self.since = since
        self.seq = seq


class PresenceState:
    """Decide what to write about sessions.

    Args:
        server: The id of this process, unique for each run.
        leave_delay: Seconds for which the leave of a lost connection is held back.
        write: Appends an event to the log, after those before; must neither wait nor raise. Of a join, time
            and position are 0.
        clock: Returns seconds that never go back.
        beat_interval: Seconds between beats.
    """

    def __init__(
        self,
        server: str,
        *,
        leave_delay: float,
        write: Callable[[PresenceEvent], None],
        clock: Callable[[], float],
        beat_interval: float = BEAT_INTERVAL,
    ) -> None:
        self.server = server
        self._leave_delay = leave_delay
        self._write = write
        self._clock = clock
        self._beat_interval = beat_interval
        self._topics: dict[str, dict[tuple[str, str], _Known]] = {}
        self._of_server: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()
        self._liveness = ServerLiveness(server)
        self._connected: Counter[UserSession] = Counter()  # connections here
        self._joining: set[UserSession] = set()  # written, and not read yet
        self._claimed: dict[UserSession, None] = {}  # to be taken over with the next message
        self._announced: dict[UserSession, float] = {}  # own sessions, those written longest ago first
        self._held_back: dict[UserSession, float] = {}  # leaves, by the time at which to write them
        self._beat_at = 0.0
        self._is_beating = False

    # What is known.

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return self._of_server.total()

    @property
    def own(self) -> int:
        """Number of sessions of this process."""
        return self._of_server[self.server]

    @property
    def topics(self) -> int:
        """Number of topics with sessions."""
        return len(self._topics)

    @property
    def held_back(self) -> int:
        """Number of leaves that are held back."""
        return len(self._held_back)

    @property
    def joining(self) -> int:
        """Number of sessions that are not in the log yet."""
        return len(self._joining)

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing that :meth:`tick` might do."""
        return not (self._of_server or self._held_back or self._joining)

    def count_of(self, user: str) -> int:
        """Return how many sessions a user has."""
        return self._of_user[user]

    def has(self, session: UserSession) -> bool:
        """Return whether a session is present."""
        return self._find(session) is not None

    def present(self, pattern: str) -> Iterator[tuple[PresentSession, str]]:
        """Yield the sessions on matching topics, each with its server."""
        topics: Iterable[str] = [pattern]
        if has_wildcard(pattern):
            topics = [topic for topic in self._topics if matches(pattern, topic)]
        for topic in topics:
            for (user, name), known in self._topics.get(topic, {}).items():
                yield PresentSession(UserSession(topic, user, name), known.since, known.seq), known.server

    # Connections of this process.

    def enter(self, session: UserSession) -> None:
        """Begin a session for a connection, unless others have begun it."""
        self._connected[session] += 1
        self._held_back.pop(session, None)
        self._ensure_present(session)

    def leave(self, session: UserSession) -> None:
        """End a connection's session, unless another connection has it too."""
        if self._disconnect(session):
            self._write_leave(session)

    def release(self, session: UserSession) -> None:
        """Note that a session's connection is lost, and may come back."""
        if self._disconnect(session):
            self._hold_back(session)

    def tick(self, *, is_probing: bool = False) -> None:
        """Write what is to be written by now; call it often.

        Args:
            is_probing: Whether to write beats although no other process needs them.
        """
        now = self._clock()
        for session, until in tuple(self._held_back.items()):
            if until > now:
                break
            del self._held_back[session]
            self._write_leave(session)
        self._renew(now)
        if (is_probing or self._needs_beats) and not self._is_beating and now >= self._beat_at:
            is_late = now - self._beat_at >= self._beat_interval
            self._beat_at = (now if is_late else self._beat_at) + self._beat_interval
            self._is_beating = True  # one at a time: those of an outage would all come at once after it
            self._write(ServerBeat(self.server))

    def announce_claims(self) -> None:
        """Write which sessions were taken over since the last call."""
        claimed = [session for session in self._claimed if self._connected[session]]
        self._claimed.clear()
        self._announce(claimed)

    # The log.

    def record_sign(self, server: str) -> None:
        """Record another sign of life of a process than its events."""
        self._liveness.record_sign(server)

    def apply(self, event: PresenceEvent) -> None:
        """Apply an event of the log, after all before it."""
        self._liveness.record_sign(event.server)
        match event:
            case SessionJoined(present, server):
                self._joining.discard(present.session)
                self._put(present, server)
            case SessionLeft(session, _):
                self._remove(session)
                if self._connected[session]:
                    self._ensure_present(session)
            case SessionsHere(sessions, server):
                for present in sessions:
                    if self.has(present.session):
                        self._put(present, server)
            case ServerBeat(server) if server == self.server:
                self._apply_own_beat()

    def apply_past(self, event: PresenceEvent) -> None:
        """Apply an event that is older than this process.

        The joins of its sessions may be older than what is read.
        """
        self._liveness.record_sign(event.server)
        match event:
            case SessionJoined(present, server):
                self._put(present, server)
            case SessionLeft(session, _):
                self._remove(session)
            case SessionsHere(sessions, server):
                for present in sessions:
                    self._put(present, server)

    def clear(self) -> None:
        """Forget what was read, to read this or another log.

        Connections keep their sessions.
        """
        self._topics.clear()
        self._of_server.clear()
        self._of_user.clear()
        self._liveness = ServerLiveness(self.server)

    def restore(self) -> None:
        """Write again what is missing in the log.

        To be called after it was read, or something could not be written.
        """
        self._joining.clear()
        self._is_beating = False
        for session in self._connected:
            self._ensure_present(session)
        for session in self._announced:
            if not self._connected[session] and session not in self._held_back:
                self._hold_back(session)
        self._bury_all_of(self._liveness.dead)

    # Steps.

    def _find(self, session: UserSession) -> _Known | None:
        return self._topics.get(session.topic, {}).get(session[1:])

    def _ensure_present(self, session: UserSession) -> None:
        known = self._find(session)
        if known is not None and known.server != self.server:
            self._claimed[session] = None
        elif known is None and session not in self._joining:
            self._joining.add(session)
            self._write(SessionJoined(PresentSession(session, 0, 0), self.server))

    def _hold_back(self, session: UserSession) -> None:
        self._held_back[session] = self._clock() + self._leave_delay

    def _disconnect(self, session: UserSession) -> bool:
        """Count one connection less; return whether it was the last one."""
        self._connected[session] -= 1
        if self._connected[session] > 0:
            return False
        del self._connected[session]
        self._claimed.pop(session, None)
        return True

    def _write_leave(self, session: UserSession) -> None:
        """Write the leave of a session of this process.

        A session whose join is not read yet counts; any other is ignored.
        """
        if session in self._joining or session in self._announced:
            self._write(SessionLeft(session, self.server))

    def _put(self, present: PresentSession, server: str) -> None:
        session = present.session
        known = self._find(session)
        if known is None:
            known = _Known(server, present.since, present.seq)
            self._topics.setdefault(session.topic, {})[session.user, session.name] = known
            self._of_user[session.user] += 1
        else:
            self._uncount(self._of_server, known.server)
            known.server = server
        self._of_server[server] += 1
        if server == self.server:
            self._announced.setdefault(session, self._clock())
            if not self._connected[session] and session not in self._held_back:
                self._hold_back(session)  # its leave was written already, or else belonged to another log
        else:
            self._announced.pop(session, None)
            self._held_back.pop(session, None)

    def _remove(self, session: UserSession) -> None:
        sessions = self._topics.get(session.topic, {})
        known = sessions.pop((session.user, session.name), None)
        self._announced.pop(session, None)
        self._held_back.pop(session, None)
        if known is None:
            return
        self._uncount(self._of_server, known.server)
        self._uncount(self._of_user, session.user)
        if not sessions:
            del self._topics[session.topic]

    def _uncount(self, counts: Counter[str], key: str) -> None:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]

    # Servers.

    @property
    def _needs_beats(self) -> bool:
        """True while there are sessions, and another process is alive."""
        return bool(self._of_server) and not self._liveness.is_alone

    def _apply_own_beat(self) -> None:
        self._is_beating = False
        self._bury_all_of(self._liveness.record_own_beat(self._of_server))

    def _bury_all_of(self, dead: Collection[str]) -> None:
        if not dead:
            return
        for topic in self._topics:
            for present, server in self.present(topic):
                if server in dead:
                    self._bury(present)

    def _bury(self, present: PresentSession) -> None:
        """Write the leave of a dead process's session, unless connected here."""
        if self._connected[present.session]:
            self._claimed[present.session] = None
            return
        self._write(SessionLeft(present.session, self.server, present.seq))

    def _renew(self, now: float) -> None:
        due: list[UserSession] = []
        for session, announced_at in self._announced.items():
            if announced_at + RENEWAL_SECONDS > now or len(due) >= _MAX_LISTED:
                break
            due.append(session)
        self._announce(due)

    def _announce(self, sessions: list[UserSession]) -> None:
        now = self._clock()
        present: list[PresentSession] = []
        for session in sessions:
            known = self._find(session)
            if known is not None:
                present.append(PresentSession(session, known.since, known.seq))
                self._announced.pop(session, None)
                self._announced[session] = now
        for start in range(0, len(present), _MAX_LISTED):
            self._write(SessionsHere(present[start : start + _MAX_LISTED], self.server))
