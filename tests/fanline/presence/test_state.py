"""Tests of who is present where, as several processes conclude it from one log."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.presence.events import PresenceEvent, SessionLeft, UserSession, decode_presence, encode_presence
from fanline.presence.liveness import BEAT_INTERVAL, MISSED_BEATS
from fanline.presence.state import RENEWAL_SECONDS, PresenceState
from fanline.protocol import Message, Record, encode
from fanline.protocol.topics import watched_pattern

DELAY = 5.0
TABLET = UserSession("room.7", "alice", "tablet")
PHONE = UserSession("room.7", "alice", "phone")
SESSIONS = [TABLET, PHONE, UserSession("room.7", "bob", "tablet"), UserSession("room.8", "alice", "tablet")]


class World:
    """A log, the processes that read it, and a clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.log: list[Record] = []
        self.ids: set[tuple[str | None, str]] = set()
        self.servers: list[Server] = []
        self.started = 0
        self.is_refusing_leaves = False

    def start(self) -> "Server":
        """Start a process, which reads the whole log."""
        self.started += 1
        server = Server(self, f"server{self.started}")
        self.servers.append(server)
        return server

    def write(self, event: PresenceEvent) -> None:
        """Store the message of an event, once for its id."""
        if isinstance(event, SessionLeft) and self.is_refusing_leaves:
            return
        message = encode_presence(event)
        if message.id is not None:
            if (message.sender, message.id) in self.ids:
                return
            self.ids.add((message.sender, message.id))
        seq = len(self.log) + 1
        stored = Message(
            message.topic, message.content, seq, int(self.now * 1000), None, message.sender, message.type
        )
        self.log.append(Record(seq, message.topic, encode(stored)))

    def pass_time(self, seconds: float) -> None:
        """Pass time in steps in which everything in the log is read."""
        for _ in range(int(seconds / 0.5)):
            self.now += 0.5
            for server in self.servers:
                server.read(len(self.log))
                server.state.tick()

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """The events that those see who watch: kind, user, and the name of the session."""
        messages = [msgspec.json.decode(record.body) for record in self.log]
        return [(each["type"], each["from"], each["content"]["as"]) for each in messages if "from" in each]

    def watched(self) -> set[UserSession]:
        """Return the sessions that are present for one who has watched from the beginning."""
        present: set[UserSession] = set()
        for record in self.log:
            message: dict[str, Any] = msgspec.json.decode(record.body)
            topic = watched_pattern(record.topic)
            if topic is not None:
                session = UserSession(topic, message["from"], message["content"]["as"])
                (present.add if message["type"] == "join" else present.discard)(session)
        return present


class Server:
    """One process: its state, its connections, and how far it has read."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.connections: list[UserSession] = []
        self.state = PresenceState(name, leave_delay=DELAY, write=world.write, clock=lambda: world.now)
        self.position = len(world.log)
        for record in world.log:
            if (found := decode_presence(record)) is not None:
                self.state.apply_past(found[0])

    def read(self, count: int) -> None:
        """Read so many records of the log."""
        for record in self._world.log[self.position : self.position + count]:
            if (found := decode_presence(record)) is not None:
                self.state.apply(found[0])
            self.position += 1
        self.state.announce_claims()

    def enter(self, session: UserSession) -> None:
        """Accept a connection."""
        self.connections.append(session)
        self.state.enter(session)

    def end(self, session: UserSession, *, is_lost: bool) -> None:
        """End a connection."""
        self.connections.remove(session)
        (self.state.release if is_lost else self.state.leave)(session)

    def present(self) -> set[UserSession]:
        """Return who is present."""
        return {present.session for pattern in (">",) for present, _ in self.state.present(pattern)}


def test_a_session_joins_and_leaves() -> None:
    """A session is told once when it begins, and once when it has ended (line 48)."""
    world = World()
    server = world.start()
    server.enter(TABLET)
    server.enter(TABLET)
    world.pass_time(1)
    server.end(TABLET, is_lost=False)
    world.pass_time(1)
    assert server.present() == {TABLET}
    server.end(TABLET, is_lost=False)
    world.pass_time(1)
    assert world.events == [("join", "alice", "tablet"), ("leave", "alice", "tablet")]
    assert server.state.is_idle


def test_a_client_that_returns_makes_no_noise() -> None:
    """A leave is held back, also for a client that comes back to another process (line 48)."""
    world = World()
    one, two = world.start(), world.start()
    one.enter(TABLET)
    world.pass_time(1)
    one.end(TABLET, is_lost=True)
    world.pass_time(DELAY - 1)
    two.enter(TABLET)
    world.pass_time(2 * DELAY)
    assert world.events == [("join", "alice", "tablet")]
    two.end(TABLET, is_lost=True)
    world.pass_time(2 * DELAY)
    assert world.events[1:] == [("leave", "alice", "tablet")]


def test_the_sessions_of_a_dead_process_end() -> None:
    """Within 15 seconds those of a killed process are left, once, but for those who returned (line 48)."""
    world = World()
    dead, one, two = world.start(), world.start(), world.start()
    dead.enter(TABLET)
    dead.enter(PHONE)
    world.pass_time(60)
    world.servers.remove(dead)
    world.pass_time(2)
    one.enter(PHONE)
    world.pass_time(13)
    assert one.present() == two.present() == world.watched() == {PHONE}
    assert world.events[2:] == [("leave", "alice", "tablet")]


def test_a_successor_ends_what_the_last_process_left() -> None:
    """A process that starts alone learns from the log who was present, and that they are gone."""
    world = World()
    world.start().enter(TABLET)
    world.servers.clear()
    successor = world.start()
    assert successor.present() == {TABLET}
    world.pass_time((MISSED_BEATS + 1) * BEAT_INTERVAL)
    assert successor.present() == set()
    written = len(world.log)
    world.pass_time(600)
    assert len(world.log) == written, "without sessions, nothing is written"


def test_a_session_is_left_before_it_is_taken_over() -> None:
    """A client that comes back and at once leaves is gone, though the takeover is not in the log yet."""
    world = World()
    one, two = world.start(), world.start()
    one.enter(TABLET)
    world.pass_time(1)
    one.end(TABLET, is_lost=True)
    two.enter(TABLET)
    two.state.announce_claims()
    two.end(TABLET, is_lost=False)
    world.pass_time(1)
    assert world.events == [("join", "alice", "tablet"), ("leave", "alice", "tablet")]
    assert one.present() == two.present() == set()


def test_sessions_are_told_again_for_those_who_read_later() -> None:
    """Of a long session there is always something new in the log, however old its join."""
    world = World()
    server = world.start()
    server.enter(TABLET)
    world.pass_time(RENEWAL_SECONDS + 1)
    del world.log[0]
    late = Server(world, "late")
    assert late.present() == {TABLET}
    assert [present for present, _ in late.state.present("room.7")] == [
        present for present, _ in server.state.present("room.7")
    ]


def test_a_session_taken_for_dead_joins_again() -> None:
    """A process that stood still finds its sessions ended, and has them join again."""
    world = World()
    slow, other = world.start(), world.start()
    slow.enter(TABLET)
    world.pass_time(10)
    world.servers.remove(slow)
    world.pass_time(20)
    assert world.watched() == set()
    world.servers.append(slow)
    world.pass_time(1)
    assert world.watched() == slow.present() == other.present() == {TABLET}


def test_a_log_read_again_leads_to_the_same() -> None:
    """After a gap the state is read again: sessions of connections stay, others end."""
    world = World()
    server = world.start()
    server.enter(TABLET)
    server.enter(PHONE)
    world.pass_time(1)
    server.end(PHONE, is_lost=True)
    server.state.clear()
    for record in world.log:
        if (found := decode_presence(record)) is not None:
            server.state.apply_past(found[0])
    server.state.restore()
    world.pass_time(2 * DELAY)
    assert server.present() == world.watched() == {TABLET}


def test_leaves_of_a_dead_process_are_written_again() -> None:
    """Leaves that were refused are written again, though no process needs beats any more."""
    world = World()
    one, dead = world.start(), world.start()
    dead.enter(TABLET)
    world.pass_time(1)
    world.servers.remove(dead)
    world.is_refusing_leaves = True
    world.pass_time(20)
    assert world.watched() == {TABLET}
    world.is_refusing_leaves = False
    world.pass_time(60)
    one.state.restore()
    world.pass_time(1)
    assert world.watched() == one.present() == set()


STEP = st.tuples(
    st.sampled_from(["enter", "leave", "lose", "read", "wait", "kill", "start"]),
    st.integers(0, 2),
    st.sampled_from(SESSIONS),
    st.integers(1, 8),
)


@settings(max_examples=12)
@given(st.lists(STEP, max_size=40))
def test_all_processes_agree_with_those_who_watch(steps: Sequence[tuple[str, int, UserSession, int]]) -> None:
    """Whatever happens, in the end exactly those with a connection are present, for all (line 48)."""
    world = World()
    world.start()
    for kind, index, session, amount in steps:
        server = world.servers[index % len(world.servers)]
        if kind == "enter":
            server.enter(session)
        elif kind in ("leave", "lose") and session in server.connections:
            server.end(session, is_lost=kind == "lose")
        elif kind == "read":
            server.read(amount)
        elif kind == "wait":
            world.pass_time(amount)
        elif kind == "kill" and len(world.servers) > 1:
            world.servers.remove(server)
        elif kind == "start" and len(world.servers) < 3:
            world.start()
    world.pass_time(40)
    connected = {session for server in world.servers for session in server.connections}
    assert world.watched() == connected
    for server in world.servers:
        assert server.present() == connected
        assert server.state.sessions == len(connected)
