"""The presence of members, and what a server writes about it, without a pipeline."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.events import (
    ROOMS,
    SERVERS,
    Beat,
    Deleted,
    Event,
    Here,
    Joined,
    Left,
    ListedMember,
    Made,
    room_topic,
)
from chat.service.log_reader import PAST_MS, ServerState
from fanline.client import Publisher
from fanline.presence import MISSED_BEATS, RENEWAL_SECONDS
from fanline.tasks import running_task
from tests.chat.replay import Replay
from tests.conftest import until


class FakePublisher:
    """Notes what is sent, which is stored at once."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object, str | None]] = []
        self.connected = True

    async def send(self, topic: str, content: object, *, id: str | None) -> Any:  # noqa: A002
        self.sent.append((topic, content, id))
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stored.set_result(None)
        return stored


def joined(replay: Replay, room: str, member: str) -> None:
    """Apply the join of a member of this server who is gone by then."""
    replay.take(room_topic(room), Joined("k", member, "Ada", replay.state.presence.server))


def left(replay: Replay, member: str) -> Left:
    return Left("k", member, "Ada", replay.state.presence.server)


async def test_leaves_are_written_until_they_come_back() -> None:
    """A leave has the same id on all servers, and is written again by the next publisher (line 23)."""
    replay, first, second = Replay(), FakePublisher(), FakePublisher()
    presence = replay.state.presence
    replay.take(ROOMS, Made("a b", "A", "k", "ada"))
    async with running_task(presence.run(cast("Publisher", first))):
        joined(replay, "a b", "m")
        joined(replay, "a b", "n")
        await until(lambda: len(first.sent) == 2)
    topic = room_topic("a b")
    assert first.sent == [(topic, left(replay, member), f"left:{member}") for member in ("m", "n")]
    replay.take(topic, left(replay, "m"))
    settled = asyncio.create_task(presence.wait_until_empty())
    async with running_task(presence.run(cast("Publisher", second))):
        await until(lambda: len(second.sent) == 1)
        assert second.sent[0][2] == "left:n"
        await asyncio.sleep(0)
        assert not settled.done()
        replay.take(topic, left(replay, "n"))
        await settled


async def test_members_of_a_dead_server_leave() -> None:
    """A server writes the leaves of members whose server is silent, and then no more beats (line 29)."""
    replay, publisher = Replay(), FakePublisher()
    own = Beat(replay.state.presence.server)
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    replay.take(room_topic("a"), Joined("k", "m", "Bob", "other", "bob"))
    replay.take(SERVERS, *[own] * MISSED_BEATS)
    async with running_task(replay.state.presence.run(cast("Publisher", publisher))):
        gone = Left("k", "m", "Bob", "other", "bob")
        await until(lambda: publisher.sent == [(room_topic("a"), gone, "left:m")])
        replay.take(room_topic("a"), gone)
        publisher.connected = False
        await until(lambda: len(publisher.sent) == 2)
    assert publisher.sent[1:] == [(SERVERS, own, None)], (
        "a beat finds out whether there is a connection again"
    )


async def test_nothing_is_written_of_another_log() -> None:
    """Once a log has been replaced, leaves of its members are not written into the next one."""
    replay, publisher = Replay(), FakePublisher()
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    joined(replay, "a", "m")
    replay.reader.start_over()
    await replay.state.presence.wait_until_empty()
    async with running_task(replay.state.presence.run(cast("Publisher", publisher))):
        replay.take(ROOMS, Made("b", "B", "k", "ada"))
        joined(replay, "b", "n")
        await until(lambda: len(publisher.sent) == 1)
    assert publisher.sent[0][2] == "left:n"


def announced(*listed: ListedMember) -> Here:
    return Here("other", listed)


ADA = ListedMember("a", "k", "m", "Ada", "ada")


async def test_members_who_stay_are_announced_again() -> None:
    """Once retention had removed the join of a member who stayed, servers that started did not know them."""
    now = 0.0
    replay, publisher = Replay(lambda: now), FakePublisher()
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    replay.take(SERVERS, Beat(replay.state.presence.server))
    own = replay.state.members.add_pending("Bob", replay.state.rooms.by_id["a"], None)
    replay.take(room_topic("a"), Joined("k", own.id, "Bob", replay.state.presence.server))
    async with running_task(replay.state.presence.run(cast("Publisher", publisher))):
        now = RENEWAL_SECONDS
        await until(lambda: bool(publisher.sent))
    here = Here(replay.state.presence.server, (ListedMember("a", "k", own.id, "Bob", ""),))
    assert publisher.sent == [(SERVERS, here, None)]
    later = Replay()
    later.take(ROOMS, Made("a", "A", "k", "ada"))
    later.take(SERVERS, here, Beat(later.state.presence.server))
    assert sessions_of(later.state) == [(room_topic("a"), own.id, replay.state.presence.server)]
    assert [member.name for member in later.state.rooms.by_id["a"].members.values()] == ["Bob"]


def test_those_who_have_left_do_not_come_back() -> None:
    """Nothing comes of an announcement that a leave was read after, or of one long before the start."""
    replay = Replay()
    beat = Beat(replay.state.presence.server)
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    replay.take(SERVERS, announced(ADA._replace(member="old")))
    replay.take(SERVERS, announced(ADA), beat, time=PAST_MS + 10_000)
    assert [member for _, member, _ in sessions_of(replay.state)] == ["m"]
    replay.take(room_topic("a"), Left("k", "m", "Ada", "other", "ada"))
    replay.take(SERVERS, announced(ADA, ADA._replace(member="n", key="of another room")))
    assert sessions_of(replay.state) == []
    replay.take(SERVERS, announced(ADA._replace(member="n")))
    assert [member for _, member, _ in sessions_of(replay.state)] == ["n"]


members = st.sampled_from(["m", "n", "o"])
servers = st.sampled_from(["s", "t"])
placed_events: st.SearchStrategy[tuple[str, Event]] = st.one_of(
    st.tuples(st.just("a"), st.builds(Joined, st.just("k"), members, st.just("Ada"), servers)),
    st.tuples(st.just("a"), st.builds(Left, st.just("k"), members, st.just("Ada"), servers)),
    st.tuples(st.just(""), st.builds(Made, st.just("a"), st.just("A"), st.just("k"), st.just("ada"))),
    st.tuples(st.just(""), st.builds(Deleted, st.just("a"), st.just("k"), st.just("ada"))),
)


def sessions_of(state: ServerState) -> list[tuple[str, str, str]]:
    """Return topic, member and server of each session."""
    found = state.presence.state.present("chat.room.*")
    return sorted((present.session.topic, present.session.name, server) for present, server in found)


@settings(max_examples=25)
@given(st.lists(placed_events, max_size=30))
def test_the_members_are_the_sessions(log: Sequence[tuple[str, Event]]) -> None:
    """Whatever the log holds, the members of rooms are those who are present (line 48)."""
    replay = Replay()
    for room, event in log:
        replay.take(room_topic(room) if room else ROOMS, event)
        assert sessions_of(replay.state) == sorted(
            (room_topic(room.id), member.id, member.server)
            for room in replay.state.rooms.by_id.values()
            for member in room.members.values()
        )
