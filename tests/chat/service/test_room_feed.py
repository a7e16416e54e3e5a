"""The feed of all rooms."""

import time
from typing import Any

import msgspec
import pytest

from chat.domain.errors import MemberClosed
from chat.domain.events import Chat, Deleted, Event, Joined, LoggedEvent, Made
from chat.domain.rooms import Rooms
from chat.service.room_feed import FeedSubscriber, RoomFeed
from fanline.security.tokens import Claims
from tests.conftest import until


class World:
    """A state and its feed, changed by events."""

    def __init__(self) -> None:
        self.rooms = Rooms()
        self.feed = RoomFeed(self.rooms, window=0.02)
        self.seq = 0

    def happen(self, event: Event, room: str = "") -> None:
        self.seq += 1
        change = self.rooms.apply(LoggedEvent(self.seq, self.seq * 1_000, room, event))
        assert change is not None
        assert change.room is not None
        tellers = {Made: self.feed.room_made, Deleted: self.feed.room_deleted}
        tell = tellers.get(type(event), self.feed.room_changed)
        tell(change.room)


@pytest.fixture
def world() -> World:
    return World()


async def told(watcher: FeedSubscriber) -> list[Any]:
    return [msgspec.json.decode(body) for body in await watcher.take()]


def summary(room: str, *, members: int = 0, messages: int = 0, seq: int) -> dict[str, Any]:
    return {
        "roomId": room,
        "roomName": room.upper(),
        "creatorId": "",
        "creatorName": "ada",
        "members": members,
        "messages": messages,
        "senderId": "",
        "seq": seq,
    }


async def test_a_long_list_comes_in_pages(world: World) -> None:
    """Ten thousand rooms come in small texts, each once, before what has happened to them since."""
    for number in range(10_000):
        world.happen(Made(f"r{number}", "R", f"k{number}", "ada"))
    watcher = world.feed.subscribe(None)
    world.happen(Deleted("r9999", "k9999", "ada"))
    listed: list[str] = []
    is_complete = False
    while not is_complete:
        body, *others = await watcher.take()
        assert len(body) < 65_536
        page = msgspec.json.decode(body)
        listed += [room["roomId"] for room in page["rooms"]]
        is_complete = not page.get("more", False)
    assert listed == [f"r{number}" for number in range(10_000)]
    assert [msgspec.json.decode(each) for each in others] == [{"deleted": {"roomId": "r9999"}}]


async def test_begins_with_all_rooms(world: World) -> None:
    """The first thing that a watcher gets is the list of rooms."""
    world.happen(Made("a", "A", "k", "ada"))
    world.happen(Joined("k", "m", "Ada", "s"), "a")
    watcher = world.feed.subscribe(None)
    assert await told(watcher) == [{"rooms": [summary("a", members=1, seq=2)]}]


async def test_tells_what_happens(world: World) -> None:
    """New and deleted rooms are told at once."""
    watcher = world.feed.subscribe(None)
    world.happen(Made("a", "A", "k", "ada"))
    world.happen(Deleted("a", "k", "ada"))
    assert await told(watcher) == [
        {"rooms": []},
        {"made": summary("a", seq=1)},
        {"deleted": {"roomId": "a"}},
    ]


async def test_gathers_what_changes(world: World) -> None:
    """However much happens in a room, it is told once in a while, with the numbers as they are then."""
    world.happen(Made("a", "A", "k", "ada"))
    world.happen(Made("b", "B", "l", "ada"))
    watchers = [world.feed.subscribe(None) for _ in range(2)]
    for watcher in watchers:
        await told(watcher)
    for _ in range(50):
        world.happen(Chat("k", "m", "Ada", "hi"), "a")
    for watcher in watchers:
        assert await told(watcher) == [{"room": summary("a", messages=50, seq=52)}]
    world.happen(Chat("k", "m", "Ada", "hi"), "a")
    for watcher in watchers:
        assert await told(watcher) == [{"room": summary("a", messages=51, seq=53)}]


async def test_a_deleted_room_is_not_told_again(world: World) -> None:
    """A change just before a deletion is not told after it."""
    world.happen(Made("a", "A", "k", "ada"))
    world.happen(Made("b", "B", "l", "ada"))
    watcher = world.feed.subscribe(None)
    world.happen(Chat("k", "m", "Ada", "hi"), "a")
    world.happen(Chat("l", "m", "Ada", "hi"), "b")
    world.happen(Deleted("a", "k", "ada"))
    assert (await told(watcher))[1:] == [{"deleted": {"roomId": "a"}}]
    assert await told(watcher) == [{"room": summary("b", messages=1, seq=4)}]


async def test_without_subscribers_nothing_is_kept(world: World) -> None:
    """Without watchers nothing is gathered; and of those who go, nothing is kept (line 37)."""
    watcher = world.feed.subscribe(None)
    watcher.close(1000, "left")
    world.happen(Made("a", "A", "k", "ada"))
    world.happen(Chat("k", "m", "Ada", "hi"), "a")
    assert len(world.feed) == 0
    assert not world.feed.has_changes


async def test_another_log_has_other_rooms(world: World) -> None:
    """A change from a replaced log is not told."""
    world.happen(Made("a", "A", "k", "ada"))
    world.feed.subscribe(None)
    world.happen(Chat("k", "m", "Ada", "hi"), "a")
    world.feed.close(1013, "this server starts over")
    world.rooms.clear()
    await until(lambda: not world.feed.has_changes)


async def test_a_logout_ends_watching(world: World) -> None:
    """A subscriber whose token is revoked is closed with 4001, the others stay (line 15)."""
    ada, bob = (world.feed.subscribe(Claims(name, name, int(time.time()) + 60)) for name in ("ada", "bob"))
    world.feed.revoke("ada")
    assert ada.end is not None
    assert ada.end.code == 4001
    assert not bob.is_closed
    world.feed.close(1001, "this server stops")
    await bob.take()
    with pytest.raises(MemberClosed, match="this server stops"):
        await bob.take()
