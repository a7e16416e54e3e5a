"""Tests of a room as a client sees it, against a stub service."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fanline.client.base import HIGH_WATER
from fanline.client.chat.room import WINDOW, ChatRoom, RoomClosed, RoomEvent
from fanline.errors import Closed, Rejected
from tests.clientdemo.stub_chat import ROOM, Do, StubChat
from tests.conftest import until
from tests.stubs import DEADLINE

Enter = Callable[..., Any]


@pytest.fixture
async def chat(cert_dir: Path) -> AsyncIterator[StubChat]:
    async with StubChat(cert_dir) as stub:
        yield stub


@pytest.fixture
async def enter(chat: StubChat, tls: ssl.SSLContext) -> AsyncIterator[Enter]:
    """Enter the room, and wait until one is there."""
    async with AsyncExitStack() as entered:

        async def enter_one(**how: Any) -> ChatRoom:
            room = await entered.enter_async_context(
                ChatRoom(chat.url, ROOM, token="token-of-Ada", tls=tls, **how)
            )
            joined = await hear(room)
            assert joined.is_own
            return room

        yield enter_one


async def hear(room: ChatRoom) -> RoomEvent:
    async with asyncio.timeout(DEADLINE):
        return await anext(room)


async def hear_messages(room: ChatRoom, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        event = await hear(room)
        if event.type == "chat":
            found.append(event.message)
    return found


async def test_says_and_hears(chat: StubChat, enter: Enter) -> None:
    """An answer tells where a message is stored; the event is known as one's own."""
    room = await enter()
    ack = await (await room.send("Hello"))
    event = await hear(room)
    assert (event.seq, event.message, event.is_own) == (ack.seq, "Hello", True)
    await chat.happen("Bea", "Hello, Ada")
    assert not (await hear(room)).is_own


async def test_what_was_sent_long_ago_is_not_sent_again(chat: StubChat, enter: Enter) -> None:
    """A message that might be stored twice fails; one never sent is sent, however late."""
    room = await enter(id_lifetime=-1.0)
    chat.script.append(Do.DROP_UNACKED)
    sent = await room.send("sent")
    await until(lambda: room.problem is not None)
    unsent = await room.send("unsent")
    with pytest.raises(Rejected, match="it is unknown whether it was stored"):
        await sent
    await unsent
    assert chat.said == [("Ada", "sent"), ("Ada", "unsent")]


async def test_own_comings_are_told_once(chat: StubChat, enter: Enter) -> None:
    """Missed events contain the own join, which was seen already."""
    room = await enter(after=0)
    chat.drop()
    second = await hear(room)
    assert (second.member_id, second.type) == ("member-1", "joined")
    await chat.happen("Bea", "Hello")
    events = [await hear(room)]
    while events[-1].type != "chat":
        events.append(await hear(room))
    assert [event.type for event in events] == ["left", "chat"]


async def test_ignores_what_it_does_not_know(chat: StubChat, enter: Enter) -> None:
    """A newer server may say more; what came already does not come again."""
    room = await enter()
    event = await chat.happen("Bea", "one")
    await chat.say([{"type": "renamed"}, {"news": 1}, {"seq": "x"}, 7, event, {"ok": "unknown", "seq": 1}])
    await chat.happen("Bea", "two")
    assert await hear_messages(room, 2) == ["one", "two"]


async def test_what_is_not_json_is_a_lost_connection(chat: StubChat, enter: Enter) -> None:
    """A server that has gone mad is left, and tried again."""
    room = await enter()
    await chat.send("{")
    assert (await hear(room)).is_own
    assert len(chat.entered) == 2


async def test_reads_ahead_within_bounds(chat: StubChat, enter: Enter) -> None:
    """Without iteration a few hundred events are read; but an answer always arrives."""
    room = await enter()
    for n in range(2 * HIGH_WATER):
        await chat.happen("Bea", str(n))
    await until(lambda: room.waiting >= HIGH_WATER)
    ack = await (await room.send("last"))
    assert ack.seq > 4 * HIGH_WATER
    assert await hear_messages(room, 2 * HIGH_WATER + 1) == [*map(str, range(2 * HIGH_WATER)), "last"]


async def test_stops_reading_without_iteration(chat: StubChat, enter: Enter) -> None:
    """Events not read stay with the server."""
    room = await enter()
    flood = asyncio.create_task(_flood(chat))
    sent = [-1]

    def is_stalled() -> bool:
        sent.append(len(chat.log))
        return chat.is_held_up and set(sent[-20:]) == {len(chat.log)}

    await until(is_stalled)
    assert HIGH_WATER <= room.waiting < 2 * HIGH_WATER
    for _ in range(2 * HIGH_WATER):
        await hear(room)
    flood.cancel()


async def _flood(chat: StubChat) -> None:
    while True:
        await chat.happen("Bea", "x" * 10_000)


async def test_messages_on_their_way_are_bounded(chat: StubChat, enter: Enter) -> None:
    """Sending waits while so many have no answer; one that is withdrawn is not sent again."""
    room = await enter()
    chat.script.extend([Do.IGNORE] * WINDOW)
    answers = [await room.send(str(n)) for n in range(WINDOW)]
    one_more = asyncio.create_task(room.send("one more"))
    await chat.until(lambda: not chat.script)
    assert not one_more.done()
    answers[0].cancel()
    chat.drop()
    await (await one_more)
    assert chat.said == [("Ada", text) for text in (*map(str, range(1, WINDOW)), "one more")]


async def test_what_is_withdrawn_in_time_is_not_sent(chat: StubChat, enter: Enter) -> None:
    """An abandoned message is not sent, on this connection or the next."""
    room = await enter()
    (await room.send("not now")).cancel()
    await (await room.send("now"))
    await chat.stop()
    await until(lambda: room.problem is not None)
    (await room.send("never")).cancel()
    answer = await room.send("later")
    await chat.start()
    await answer
    assert chat.said == [("Ada", "now"), ("Ada", "later")]


async def test_cannot_say_what_is_no_text(enter: Enter) -> None:
    """Half a surrogate pair is refused before it is sent."""
    room = await enter()
    with pytest.raises(Rejected, match="not valid UTF-8"):
        await room.send("\ud800")


async def test_a_deleted_room_is_over(chat: StubChat, enter: Enter) -> None:
    """Waiting and later calls raise the end; earlier events are still delivered."""
    room = await enter()
    chat.script.append(Do.IGNORE)
    answer = await room.send("x")
    await chat.until(lambda: not chat.script)
    await chat.happen("Bea", "last words")
    await chat.close(4004, "the room has been deleted")
    for waiting in (answer, room.send("y")):
        with pytest.raises(RoomClosed, match="the room has been deleted"):
            await waiting
    assert await hear_messages(room, 1) == ["last words"]
    with pytest.raises(RoomClosed):
        await hear(room)
    assert str(room.problem).endswith("the room has been deleted")


async def test_a_room_that_was_left_is_closed(chat: StubChat, tls: ssl.SSLContext) -> None:
    """Outside of its block nothing can be sent, and no call waits forever."""
    room = ChatRoom(chat.url, ROOM, token="token-of-Ada", tls=tls)
    with pytest.raises(Closed, match="not open yet"):
        await room.send("x")
    chat.script.append(Do.IGNORE)
    async with room:
        answer = await room.send("x")
        await chat.until(lambda: not chat.script)
    with pytest.raises(Closed):
        await answer
    with pytest.raises(Closed):
        await room.send("y")
