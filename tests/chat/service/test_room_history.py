"""Reading rooms back, and how much of the log is looked at for that."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from chat.domain.errors import Unavailable
from chat.domain.events import Chat, Joined, RoomEvent, room_topic
from chat.domain.room import Room
from chat.service.room_history import RoomHistory
from fanline.client import History, HistoryPage, Message
from fanline.errors import Disconnected
from fanline.protocol import encode

SHORT = 7
AUTHOR = "chat"


class FakeHistory:
    """A log whose pages are short, and that notes what it is asked for.

    Attributes:
        asked: The position of each page that was asked for.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self.asked: list[int | None] = []
        self._messages = messages

    async def page(self, topic: str, *, after: int | None, before: int | None, limit: int) -> HistoryPage:
        self.asked.append(before if after is None else after)
        limit = min(limit, SHORT)
        if after is not None:
            return HistoryPage([each for each in self._messages if each.seq > after][:limit])
        return HistoryPage([each for each in self._messages if before is None or each.seq < before][-limit:])


def message(seq: int, event: RoomEvent) -> Message:
    return Message(room_topic("a"), msgspec.Raw(encode(event)), seq, seq * 1_000, sender=AUTHOR)


@pytest.fixture
def room() -> Room:
    """A room that was made at position 100, when another one of its id had been there before."""
    return Room("a", "A", "k", made=100, last=130, count=30)


@pytest.fixture
def history() -> FakeHistory:
    """Its log: positions 1 to 99 are of the room before it, 101 to 130 its own, with joins between them."""
    old = [message(seq, Chat("old", "m", "Ada", f"old {seq}")) for seq in range(1, 100)]
    own = [message(seq, Chat("k", "m", "Ada", str(seq))) for seq in range(101, 131) if seq % 3]
    joins = [message(seq, Joined("k", f"m{seq}", "Bob", "s")) for seq in range(101, 131) if not seq % 3]
    late = [message(100, Chat("old", "m", "Ada", "too late"))]
    return FakeHistory(sorted([*old, *late, *own, *joins], key=lambda each: each.seq))


@pytest.fixture
def room_history(history: FakeHistory) -> RoomHistory:
    return RoomHistory(cast("History", history), AUTHOR)


async def test_short_pages_are_filled_up(room_history: RoomHistory, room: Room) -> None:
    """As many entries come as were asked for, although the pages of the log are shorter."""
    assert [entry["seq"] for entry in await room_history.after(room, 0, 20)] == [*range(101, 121)]
    assert [entry["seq"] for entry in await room_history.before(room, None, 20)] == [*range(111, 131)]
    assert [entry["seq"] for entry in await room_history.before(room, 111, 20)] == [*range(101, 111)]


async def test_nothing_before_the_room_is_looked_at(
    room_history: RoomHistory, history: FakeHistory, room: Room
) -> None:
    """Messages before the room was made are not read."""
    await room_history.after(room, 0, 5)
    assert history.asked == [100]
    history.asked.clear()
    await room_history.before(room, 105, 100)
    assert history.asked == [105]
    history.asked.clear()
    assert await room_history.before(room, 100, 100) == []
    assert history.asked == []


async def test_nothing_behind_the_end_is_looked_at(
    room_history: RoomHistory, history: FakeHistory, room: Room
) -> None:
    """Reading ends at the given end, or at the newest that has happened, without another page to see it."""
    assert [entry["seq"] for entry in await room_history.after(room, 121, 100)] == [*range(122, 131)]
    assert history.asked == [121, 128]
    assert await room_history.after(room, 130, 100) == []
    assert history.asked == [121, 128]
    history.asked.clear()
    assert [entry["seq"] for entry in await room_history.after(room, 100, 100, end=105)] == [*range(101, 105)]
    assert history.asked == [100]


async def test_joins_are_no_messages(room_history: RoomHistory, room: Room) -> None:
    """A page of messages has nothing else on it, however much is between them."""
    room.starts.append(101)
    page = await room_history.page(room, 1)
    assert [entry["message"] for entry in page["messages"]] == [
        str(seq) for seq in range(101, 131) if seq % 3
    ]


async def test_a_log_that_cannot_be_read(room: Room) -> None:
    """Whatever keeps the log from being read, it is unavailable."""

    class Broken:
        async def page(self, *_: object, **__: object) -> Any:
            raise Disconnected("gone")

    with pytest.raises(Unavailable, match="gone"):
        await RoomHistory(cast("History", Broken()), AUTHOR).after(room, 0, 1)
