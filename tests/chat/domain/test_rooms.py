"""The state that follows from the log."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.events import Beat, Chat, Deleted, Event, Joined, Left, LoggedEvent, Made, Revoked
from chat.domain.room import Change
from chat.domain.rooms import PAGE_MESSAGES, Rooms

rooms = st.sampled_from(["a", "b", "lobby"])
keys = st.sampled_from(["k", "l"])
members = st.sampled_from(["m", "n", "o"])
servers = st.sampled_from(["s", "t"])
names = st.just("Ada")

room_events = st.one_of(
    st.builds(Chat, keys, members, names, st.just("hi")),
    st.builds(Joined, keys, members, names, servers),
    st.builds(Left, keys, members, names, servers),
)
placed_events = st.one_of(
    st.tuples(st.just(""), st.builds(Made, rooms, names, keys, names)),
    st.tuples(st.just(""), st.builds(Deleted, rooms, keys, names)),
    st.tuples(rooms, room_events),
    st.tuples(rooms, room_events),
    st.tuples(st.just(""), st.builds(Revoked, st.sampled_from("xyz"), st.integers(0, 60))),
    st.tuples(st.just(""), st.builds(Beat, servers)),
)
logs = st.lists(placed_events, max_size=60).map(
    lambda events: [
        LoggedEvent(seq, seq * 1_000, room, event) for seq, (room, event) in enumerate(events, start=1)
    ]
)


def at(seq: int, event: Event, room: str = "") -> LoggedEvent:
    return LoggedEvent(seq, seq * 1_000, room, event)


def state_of(log: Sequence[LoggedEvent]) -> Rooms:
    state = Rooms()
    for logged in log:
        state.apply(logged)
    return state


def snapshot(state: Rooms) -> Any:
    """Everything that can be seen of a state, in its order."""
    seen = [
        (
            room.id,
            room.name,
            room.key,
            room.made,
            room.last,
            room.count,
            [*room.starts],
            [*room.members.items()],
        )
        for room in state.by_id.values()
    ]
    return seen, [token for token in "xyz" if state.is_revoked(token)]


def life_of(log: Sequence[LoggedEvent], room: str) -> Sequence[LoggedEvent]:
    """The part of a log that begins with the ``made`` of the room that has this id at its end; else empty."""
    life: Sequence[LoggedEvent] = ()
    for position, logged in enumerate(log):
        match logged.event:
            case Made(room=other) if other == room and not life:
                life = log[position:]
            case Deleted(room=other, key=key) if other == room != "lobby" and life and key == key_of(life):
                life = ()
    return life


def key_of(life: Sequence[LoggedEvent]) -> str:
    assert isinstance(life[0].event, Made)
    return life[0].event.key


def present(life: Sequence[LoggedEvent], room: str) -> list[str]:
    """The members who are in a room at the end of its life so far."""
    there: list[str] = []
    for logged in life:
        match logged.event:
            case Joined(key=key, member=member) if (logged.room, key) == (room, key_of(life)):
                if member not in there:
                    there.append(member)
            case Left(key=key, member=member) if (logged.room, key) == (room, key_of(life)):
                if member in there:
                    there.remove(member)
    return there


def said(life: Sequence[LoggedEvent], room: str) -> list[int]:
    """The positions of what was said in a room."""
    return [
        logged.seq
        for logged in life
        if isinstance(logged.event, Chat) and (logged.room, logged.event.key) == (room, key_of(life))
    ]


@given(logs)
def test_every_server_reaches_the_same_state(log: Sequence[LoggedEvent]) -> None:
    """Whatever the log holds, two servers that read it have the same state at every position (line 27)."""
    one, other = Rooms(), Rooms()
    for logged in log:
        assert (one.apply(logged) is None) == (other.apply(logged) is None)
        assert snapshot(one) == snapshot(other)


@given(logs)
def test_the_state_is_what_the_log_says(log: Sequence[LoggedEvent]) -> None:
    """Rooms, members and counts are those that follow from the whole log at once."""
    state = state_of(log)
    for room in ("a", "b", "lobby"):
        life = life_of(log, room)
        assert (room in state.by_id) == bool(life)
        if life:
            found = state.by_id[room]
            assert (found.key, found.made) == (key_of(life), life[0].seq)
            assert [*found.members] == present(life, room)
            assert found.count == len(said(life, room))
            assert [*found.starts] == said(life, room)[::PAGE_MESSAGES]


@given(logs)
def test_an_ignored_event_changes_nothing(log: Sequence[LoggedEvent]) -> None:
    """An event that does not count leaves everything as it was, and so does one that is there twice."""
    state = Rooms()
    for logged in log:
        before = snapshot(state)
        if state.apply(logged) is None:
            assert snapshot(state) == before


def test_first_made_counts() -> None:
    """Of two servers that make the same room at once, one has made it (line 20)."""
    state = Rooms()
    made = state.apply(at(1, Made("a", "One", "k", "ada")))
    assert made == Change(Made("a", "One", "k", "ada"), state.by_id["a"])
    assert state.apply(at(2, Made("a", "Two", "l", "bob"))) is None
    assert state.by_id["a"].name == "One"


@pytest.mark.parametrize("room", ["", "x" * 65])
def test_impossible_rooms_are_not_made(room: str) -> None:
    """A room whose id could not be part of a topic is never made."""
    assert Rooms().apply(at(1, Made(room, "Room", "k", "ada"))) is None


def test_nothing_leaks_into_the_next_room() -> None:
    """A room that is made again is empty; what was meant for the one before it does not count (line 28)."""
    state = state_of([at(1, Made("a", "One", "k", "ada")), at(2, Joined("k", "m", "Ada", "s"), "a")])
    deleted = state.apply(at(3, Deleted("a", "k", "ada")))
    assert deleted is not None
    assert deleted.room is not None
    assert [*deleted.room.members] == ["m"]
    state.apply(at(4, Made("a", "One", "l", "ada")))
    for late in (Chat("k", "m", "Ada", "late"), Joined("k", "n", "Bob", "s"), Left("k", "m", "Ada", "s")):
        assert state.apply(at(5, late, "a")) is None
    assert state.apply(at(6, Deleted("a", "k", "ada"))) is None
    room = state.by_id["a"]
    assert (room.key, room.made, room.last, room.count, room.members) == ("l", 4, 4, 0, {})


def test_rooms_do_not_leak_into_each_other() -> None:
    """An event on the topic of another room does not count, whatever its key (line 26)."""
    state = state_of([at(1, Made("a", "A", "k", "ada")), at(2, Made("b", "B", "l", "ada"))])
    assert state.apply(at(3, Chat("k", "m", "Ada", "hi"), "b")) is None
    assert (state.by_id["a"].count, state.by_id["b"].count) == (0, 0)


def test_the_lobby_stays() -> None:
    """No event deletes the lobby."""
    state = state_of([at(1, Made("lobby", "Lobby", "k", "s"))])
    assert state.apply(at(2, Deleted("lobby", "k", "ada"))) is None
    assert "lobby" in state.by_id


def test_pages_begin_at_every_hundredth_message() -> None:
    """The 101st message opens the second page; joins between them do not count (line 18)."""
    state = state_of([at(1, Made("a", "A", "k", "ada"))])
    for n in range(1, 202):
        state.apply(at(2 * n, Chat("k", "m", "Ada", "hi"), "a"))
        state.apply(at(2 * n + 1, Joined("k", f"m{n}", "Ada", "s"), "a"))
    assert [*state.by_id["a"].starts] == [2, 202, 402]
    assert state.by_id["a"].count == 201


def test_expired_tokens_are_forgotten() -> None:
    """A revoked token is remembered until its expiry, by the clock of the log (line 14)."""
    state = Rooms()
    state.apply(at(10, Revoked("x", 20)))
    state.apply(at(11, Revoked("x", 20)))
    state.apply(at(20, Revoked("y", 90)))
    assert state.is_revoked("x")
    state.apply(at(21, Revoked("z", 90)))
    assert not state.is_revoked("x")
    assert state.is_revoked("y")
    assert not state.is_revoked("never")


def test_an_empty_room_costs_little() -> None:
    """A room that all members have left keeps nothing of them, and can be joined again (line 29)."""
    state = state_of([at(1, Made("a", "A", "k", "ada"))])
    for n in range(1_000):
        state.apply(at(2 * n + 2, Joined("k", f"m{n}", "Ada", "s"), "a"))
        state.apply(at(2 * n + 3, Left("k", f"m{n}", "Ada", "s"), "a"))
    assert state.by_id["a"].members == {}
    assert state.apply(at(3_000, Joined("k", "again", "Ada", "s"), "a")) is not None


def test_another_log_begins_with_nothing() -> None:
    """Nothing is left after a restart."""
    state = state_of([at(1, Made("a", "A", "k", "ada")), at(2, Joined("k", "m", "Ada", "s"), "a")])
    state.clear()
    assert snapshot(state) == snapshot(Rooms())
