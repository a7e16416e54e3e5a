"""Members who leave and come back, rooms that are deleted, and what goes wrong, over real TLS."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from chat.app import chat_app
from chat.domain import sentences
from chat.service.chat_service import ChatService
from chat.settings import ChatSettings
from fanline.server import App
from tests.chat.client import BOTH, ChatClient, Member
from tests.chat.conftest import Services, StartChat
from tests.conftest import until
from tests.stubs import DEADLINE

# Going, and coming back.


async def test_leaving_is_seen(chat: ChatClient) -> None:
    """A closed and an aborted connection are both seen to leave (line 23)."""
    watcher = await chat.enter()
    polite, rude = await chat.enter(), await chat.enter()
    names = [(await watcher.hear_of(type="joined"))["memberId"] for _ in range(2)]
    await polite.connection.close()
    rude.connection.transport.abort()
    assert {(await watcher.hear_of(type="left"))["memberId"] for _ in range(2)} == set(names)


async def test_messages_before_a_close_are_stored(chat: ChatClient) -> None:
    """Messages that were sent right before the connection was closed are stored, in front of the ``left``."""
    watcher, talker = await chat.enter(), await chat.enter()
    for number in range(200):
        await talker.say(str(number))
    await talker.connection.close()
    assert await watcher.hear_chat(200) == [str(number) for number in range(200)]
    assert (await watcher.hear())["type"] == "left"


async def test_messages_that_come_too_fast_wait(start_chat: StartChat) -> None:
    """More messages than the rate allows are stored later, also after the connection was closed."""
    chat = await start_chat(chat_messages_per_second=20)
    watcher, talker = await chat.enter(), await chat.enter(v1=True)
    await talker.connection.send(json.dumps([{"message": str(number)} for number in range(110)]))
    await talker.connection.close()
    assert await watcher.hear_chat(110) == [str(number) for number in range(110)]
    assert (await watcher.hear())["type"] == "left"


@BOTH
async def test_coming_back_shows_what_was_missed(start_chat: StartChat, v1: bool) -> None:
    """With ``after`` what was missed follows one's ``joined``, once, in order, and then what is new."""
    chat = await start_chat(chat_messages_per_second=1_000, chat_guest_messages_per_second=1_000)
    first, talker = await chat.enter(), await chat.enter()
    await talker.say("seen")
    seen = await first.hear_of(message="seen")
    await first.connection.close()
    for number in range(1200):  # more than is read at a time
        await talker.say(str(number))
    await talker.hear_of(message="1199")
    back = await chat.enter(after=seen["seq"], v1=v1)
    await talker.say("new")
    assert await back.hear_chat(1201) == [*(str(number) for number in range(1200)), "new"]


async def test_there_is_nothing_to_miss(chat: ChatClient) -> None:
    """A position at or behind the end of the log shows what is new, and nothing else."""
    talker = await chat.enter()
    await talker.say("old")
    await talker.hear_of(message="old")
    for after in (10**6, 10**18 - 1):
        back = await chat.enter(after=after)
        await talker.say("new")
        assert (await back.hear())["message"] == "new"


async def test_a_room_that_was_left_by_all_lives_on(chat: ChatClient) -> None:
    """An empty room can be joined again, and has its messages (line 29)."""
    await chat.make_room("cellar")
    member = await chat.enter("cellar")
    await member.say("still here?")
    await member.hear_chat(1)
    await member.connection.close()
    again = await chat.enter("cellar", after=0)
    assert await again.hear_chat(1) == ["still here?"]


async def test_deleting_a_room_says_so(chat: ChatClient) -> None:
    """Members of a deleted room are closed with 4004, and no other member (line 28)."""
    await chat.make_room("cellar")
    members = [await chat.enter("cellar", v1=v1) for v1 in (False, True)]
    lobby = await chat.enter()
    assert (await chat.http.delete("/api/room/cellar")).status_code == 204
    assert [await member.end() for member in members] == [sentences.ROOM_GONE] * 2
    assert (await chat.refused("/api/serve/cellar"))[0] == 404
    await lobby.say("unharmed")
    assert await lobby.hear_chat(1) == ["unharmed"]


async def test_deleting_while_many_are_sending(chat: ChatClient) -> None:
    """A room can be deleted while many members send; only they are closed (line 29)."""
    await chat.make_room("busy")
    lobby, watcher = await chat.enter(), await chat.open("/api/feed")
    members = await asyncio.gather(*(chat.enter("busy", v1=number % 2 == 0) for number in range(30)))
    talking = [asyncio.create_task(talk(member, f"I am {number}")) for number, member in enumerate(members)]
    while (await watcher.hear()).get("room", {}).get("messages", 0) < 60:
        pass
    assert (await chat.http.delete("/api/room/busy")).status_code == 204
    assert await asyncio.gather(*talking) == [sentences.ROOM_GONE] * 30
    await lobby.say("unharmed")
    assert await lobby.hear_chat(1) == ["unharmed"]
    await chat.make_room("busy")
    assert (await chat.http.get("/api/room/busy/messages")).json() == []


async def talk(member: Member, text: str) -> tuple[int, str]:
    """Say the same whenever it was heard, until the connection is closed; return why it was."""
    with suppress(ConnectionClosed):
        while True:
            await member.say(text)
            await member.hear_of(message=text)
    return await member.end()


@BOTH
async def test_logging_out_closes_what_is_open(chat: ChatClient, v1: bool) -> None:
    """Sockets of a token that is logged out are closed at once with 4001, and no others (line 15)."""
    token = await chat.log_in("Ada")
    other = await chat.enter(token=await chat.log_in("Ben"))
    opened = [await chat.open("/join", token=token, v1=v1), await chat.open("/api/feed", token=token)]
    assert (await chat.http.post("/logout", params={"token": token})).status_code == 204
    assert [await each.end() for each in opened] == [sentences.LOGGED_OUT] * 2
    await other.say("still here")
    assert await other.hear_chat(1) == ["still here"]


async def test_nothing_is_left_of_closed_connections(chat: ChatClient) -> None:
    """When all have gone, in whichever way, no connection and no task is left of them (lines 8, 29)."""
    before = len(asyncio.all_tasks())
    members = await asyncio.gather(*(chat.enter(v1=number % 2 == 0) for number in range(20)))
    watchers = await asyncio.gather(*(chat.open("/api/feed") for _ in range(10)))
    for number, each in enumerate([*members, *watchers]):
        if number % 3:
            await each.connection.close()
        else:
            each.connection.transport.abort()
    await chat.http.aclose()
    await until(lambda: not len(chat.server.connections))
    await until(lambda: not chat.server.connections.tasks)
    await until(lambda: len(asyncio.all_tasks()) <= before)


# Trouble.


@BOTH
async def test_a_message_that_cannot_be_stored_fails(
    start_chat: StartChat, services: Services, v1: bool
) -> None:
    """A message that is not stored in time fails, and no other member sees it (line 25)."""
    opened: list[ChatService] = []

    @asynccontextmanager
    async def open_app(settings: ChatSettings) -> AsyncIterator[App]:
        service = ChatService.from_settings(settings)
        opened.append(service)
        async with service.running():
            yield chat_app(service, settings)

    chat = await start_chat(open_app, drain_timeout=0.5)
    talker, other = await chat.enter(v1=v1), await chat.enter()
    await talker.hear_of(type="joined")
    await services.publisher.stop()
    opened[0].state.writer.timeout = 0.2
    await talker.say("lost", **({"id": "a1"} if v1 else {}))
    failed = await talker.hear()
    assert failed.pop("reason")
    expected = {"type": "failed", "roomId": "lobby", "message": "lost", **({"id": "a1"} if v1 else {})}
    assert failed == expected
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await other.connection.recv()


async def test_a_member_who_does_not_read_is_closed(start_chat: StartChat) -> None:
    """A member with too much waiting is closed with 4008; the others get everything (line 5)."""
    chat = await start_chat(drain_timeout=2 * DEADLINE)  # time for one who is closed to read why
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", chat.server.port))
    slow, talker = await chat.enter(sock=narrow, max_queue=1), await chat.enter(v1=True)
    slow.connection.transport.pause_reading()
    frame = json.dumps([{"message": "x" * 16_000}] * 4)
    while len((await chat.http.get("/api/room/lobby")).json()["members"]) == 2:
        await talker.connection.send(frame)
        assert len(await talker.hear_chat(4)) == 4
    slow.connection.transport.resume_reading()
    assert (await slow.end())[0] == 4008
