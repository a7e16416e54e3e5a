"""The commands of chat, on a pipeline in this process."""

import asyncio
from typing import Any

import pytest

from chat.domain.errors import Refused
from chat.domain.events import ROOMS, Chat, Joined, Made, room_topic
from chat.domain.room import Room
from chat.domain.rooms import LOBBY
from chat.service.chat_service import ChatService
from fanline.client import History, Publisher
from fanline.errors import Rejected
from tests.chat.conftest import OpenServer, Services
from tests.chat.frames import ADMIN, brief, end_of, members_of_all, receive, said, say_all, token
from tests.conftest import until
from tests.stubs import PASSWORD, USER

# Rooms.


async def test_the_lobby_is_there(open_server: OpenServer, services: Services, tls: Any) -> None:
    """The first server finds no lobby and makes one; the next finds it."""
    first, second = await open_server(), await open_server()
    assert second.rooms.by_id[LOBBY].key == first.rooms.by_id[LOBBY].key
    url = f"wss://localhost:{services.subscriber.port}"
    async with History(url, user=USER, password=PASSWORD, tls=tls) as history:
        assert len((await history.page(ROOMS)).messages) == 1
    assert await second.lifecycle.problem() is None


async def test_a_room_with_random_names(server: ChatService) -> None:
    """A room gets a random id, and a random name of two words, where none is given (line 20)."""
    room = await server.make_room(None, None, ADMIN)
    assert len(room.name.split()) == 2
    assert server.rooms.by_id[room.id] is room


async def test_a_room_with_given_names(server: ChatService) -> None:
    """A room may be named by who makes it; a second one of that id is refused (line 20)."""
    room = await server.make_room("cellar", "  The Cellar ", ADMIN)
    assert (room.id, room.name) == ("cellar", "The Cellar")
    with pytest.raises(Refused, match="'cellar' already"):
        await server.make_room("cellar", None, ADMIN)


@pytest.mark.parametrize(("id", "name"), [("", None), (None, ""), ("x", "a\nb")])
async def test_invalid_rooms_are_refused(server: ChatService, id: str | None, name: str | None) -> None:  # noqa: A002
    """A bad id or name is refused, and nothing is written (line 20)."""
    with pytest.raises(Rejected):
        await server.make_room(id, name, ADMIN)
    assert [*server.rooms.by_id] == [LOBBY]


async def test_two_servers_make_the_same_room(open_server: OpenServer) -> None:
    """Of two servers that make the same room at once, one makes it and the other is told so (line 20)."""
    servers = [await open_server(), await open_server()]
    for n in range(10):
        results = await asyncio.gather(
            *(each.make_room(f"r{n}", None, ADMIN) for each in servers), return_exceptions=True
        )
        (made,) = [result for result in results if isinstance(result, Room)]
        (refused,) = [result for result in results if isinstance(result, Refused)]
        assert repr(made.id) in refused.reason
        await until(lambda: all(f"r{n}" in each.rooms.by_id for each in servers))  # noqa: B023
        assert {each.rooms.by_id[made.id].key for each in servers} == {made.key}


async def test_no_more_rooms_than_allowed(open_server: OpenServer) -> None:
    """Past the limit no room is made."""
    server = await open_server(chat_max_rooms=2)
    await server.make_room("a", None, ADMIN)
    with pytest.raises(Refused, match="2 rooms"):
        await server.make_room("b", None, ADMIN)


async def test_deleting_disconnects(open_server: OpenServer) -> None:
    """Members of a deleted room are closed with 4004 on every server, without a leave (line 28)."""
    server, other = await open_server(), await open_server()
    room = await server.make_room("a", None, ADMIN)
    await until(lambda: "a" in other.rooms.by_id)
    members = [await server.join("a", "Ada", None), await other.join("a", "Bob", None)]
    await server.delete_room("a", ADMIN)
    assert [(await end_of(member)).code for member in members] == [4004, 4004]
    with pytest.raises(Refused, match="There is no room"):
        await server.delete_room("a", ADMIN)
    for each in (server, other):
        await until(lambda: "a" not in each.rooms.by_id and not members_of_all(each))  # noqa: B023
    assert room.id not in server.rooms.by_id


async def test_a_room_made_again_is_empty(server: ChatService) -> None:
    """The id of a deleted room can be used again; nothing of before is in it (line 28)."""
    await server.make_room("a", "One", ADMIN)
    member = await server.join("a", "Ada", None)
    await server.say(member, "before")
    await server.delete_room("a", ADMIN)
    await server.make_room("a", "Two", ADMIN)
    again = await server.join("a", "Ada", None)
    await server.say(again, "after")
    assert said(await server.messages("a", limit=100)) == ["after"]
    assert said(await server.messages("a", after=0, limit=100)) == ["after"]
    assert (await server.page("a", None))["messages"][0]["message"] == "after"
    room = server.rooms.by_id["a"]
    assert (room.count, [*room.members]) == (1, [again.id])


async def test_the_lobby_cannot_be_deleted(server: ChatService) -> None:
    """The lobby stays, and an unknown room is unknown."""
    with pytest.raises(Rejected, match="lobby") as caught:
        await server.delete_room(LOBBY, ADMIN)
    assert caught.value.code == "forbidden"
    with pytest.raises(Refused, match="There is no room"):
        await server.delete_room("nowhere", ADMIN)


async def test_two_delete_the_same_room(open_server: OpenServer) -> None:
    """Of two who delete a room at once, one has done it; the other is told that there is none."""
    servers = [await open_server(), await open_server()]
    await servers[0].make_room("a", None, ADMIN)
    await until(lambda: "a" in servers[1].rooms.by_id)
    results = await asyncio.gather(
        *(each.delete_room("a", ADMIN) for each in servers), return_exceptions=True
    )
    assert sorted(map(str, results)) == ["None", "There is no room 'a'. (unknown-room)"]


# Messages.


async def test_a_message_is_stored_before_it_is_delivered(
    server: ChatService, services: Services, tls: Any
) -> None:
    """When saying returns, the message is in the log and has been shown to all (line 25)."""
    ada, bob = await server.join(LOBBY, "Ada", None), await server.join(LOBBY, "Bob", None)
    ack = await server.say(ada, "line one\nline two")
    (frame,) = await receive(bob, 1)
    assert (frame["seq"], frame["message"]) == (ack.seq, "line one\nline two")
    (entry,) = await server.messages(LOBBY, limit=1)
    assert (entry["seq"], entry["message"], entry["memberId"]) == (ack.seq, "line one\nline two", ada.id)
    assert server.rooms.by_id[LOBBY].last == ack.seq


async def test_a_repeated_key_stores_a_message_once(open_server: OpenServer) -> None:
    """A message that is sent again after a reconnect, even to another server, is stored once (line 31)."""
    server, other = await open_server(), await open_server()
    ada = await server.join(LOBBY, "Ada", token())
    ack = await server.say(ada, "hi", "k1")
    assert ack.ok == "k1"
    again = await other.join(LOBBY, "Ada", token())
    assert await server.say(ada, "hi", "k1") == ack
    assert await other.say(again, "hi", "k1") == ack
    assert (
        await asyncio.gather(*(other.say(again, "ho", "k2") for _ in range(3)))
        == [await other.say(again, "ho", "k2")] * 3
    )
    assert said(await server.messages(LOBBY, limit=100)) == ["hi", "ho"]


async def test_keys_differ_by_sender_and_room(server: ChatService) -> None:
    """The same key of another user, or in another room, is another message; a key is any text (line 26)."""
    await server.make_room("a", None, ADMIN)
    key = "\N{GRINNING FACE}\n" * 100
    speakers = [
        await server.join(LOBBY, "Ada", token()),
        await server.join("a", "Ada", token()),
        await server.join(LOBBY, "Bob", token("Bob", "t2")),
        await server.join(LOBBY, "Guest", None),
        await server.join(LOBBY, "Guest", None),
    ]
    acks = [await server.say(speaker, "hi", key) for speaker in speakers]
    assert len({ack.seq for ack in acks}) == 5
    assert (server.rooms.by_id[LOBBY].count, server.rooms.by_id["a"].count) == (4, 1)


async def test_invalid_messages_are_refused(open_server: OpenServer) -> None:
    """An empty or too big message is refused and not delivered; the next one is (line 25)."""
    server = await open_server(chat_max_message=1_024)
    ada = await server.join(LOBBY, "Ada", None)
    for text, code in (("", "bad-message"), (" \n", "bad-message"), ("x" * 1_025, "too-big")):
        with pytest.raises(Rejected) as caught:
            await server.say(ada, text)
        assert caught.value.code == code
    await server.say(ada, "x" * 1_024)
    assert len((await receive(ada, 1))[0]["message"]) == 1_024


async def test_deleting_while_a_hundred_are_sending(server: ChatService) -> None:
    """Each send during a deletion is acked or refused, and none gets into the next room (lines 28 and 29)."""
    await server.make_room("a", None, ADMIN)
    members = await asyncio.gather(*(server.join("a", f"M{n}", None) for n in range(100)))
    sending = [
        asyncio.create_task(server.say(member, f"{n}-{turn}", f"k{turn}"))
        for turn in range(5)
        for n, member in enumerate(members)
    ]
    await asyncio.sleep(0)
    deleting = asyncio.create_task(server.delete_room("a", ADMIN))
    late = [asyncio.create_task(server.say(member, "late")) for member in members]
    await deleting
    room = await server.make_room("a", None, ADMIN)
    outcomes = await asyncio.gather(*sending, *late, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, Rejected) and each.code in {"room-deleted", "closed"} for each in refused)
    assert len(refused) >= len(late)
    assert [(await end_of(member)).code for member in members] == [4004] * 100
    assert (room.count, room.members, await server.messages("a", limit=10)) == (0, {}, [])
    with pytest.raises(Rejected, match="deleted"):
        await server.say(members[0], "too late")


async def test_one_order_for_all(open_server: OpenServer) -> None:
    """Members of two servers see the same messages in the same order (line 27)."""
    servers = [await open_server(), await open_server()]
    members = [await servers[n % 2].join(LOBBY, f"M{n}", None) for n in range(10)]
    await until(lambda: all(len(server.rooms.by_id[LOBBY].members) == 10 for server in servers))
    for n, member in enumerate(members):
        await receive(member, 9 - n)
    await asyncio.gather(
        *(
            say_all(servers[n % 2], member, [f"{n}-{turn}" for turn in range(20)])
            for n, member in enumerate(members)
        )
    )
    orders = [[frame["message"] for frame in await receive(member, 200)] for member in members]
    assert all(order == orders[0] for order in orders)
    assert len(set(orders[0])) == 200
    for n in range(10):
        assert [text for text in orders[0] if text.startswith(f"{n}-")] == [
            f"{n}-{turn}" for turn in range(20)
        ]


async def test_other_messages_on_the_topics_are_ignored(
    server: ChatService, services: Services, tls: Any
) -> None:
    """Whatever else is published on the topics of chat, and whenever, the rooms go on (line 6)."""
    ada = await server.join(LOBBY, "Ada", None)
    room = server.rooms.by_id[LOBBY]
    url = f"wss://localhost:{services.publisher.port}"
    async with Publisher(url, user=USER, password=PASSWORD, tls=tls) as publisher:
        await publisher.publish(room_topic(LOBBY), "garbage")
        await publisher.publish(room_topic(LOBBY), Chat("another key", "m", "Eve", "old"))
        await publisher.publish(room_topic("nowhere"), Chat(room.key, "m", "Eve", "lost"))
        await publisher.publish("chat.rooms", Made(LOBBY, "Mine", "k", "Eve"))
        await publisher.publish("chat.rooms", [[[]]])
        await publisher.publish("chat", 1)
        await publisher.publish(
            room_topic(LOBBY), Joined(room.key, ada.id, "Eve", server.state.presence.server)
        )
    await server.say(ada, "hi")
    assert brief(await receive(ada, 1)) == [("chat", "Ada", "hi")]
    assert [entry["message"] for entry in await server.messages(LOBBY, limit=2)] == ["", "hi"]


# History.


async def test_messages_both_ways(server: ChatService) -> None:
    """Reading a room in either direction meets everything once, in order, and ends (line 22)."""
    await server.make_room("a", None, ADMIN)
    ada = await server.join("a", "Ada", None)
    other = await server.join(LOBBY, "Bob", None)
    for n in range(25):
        await server.say(ada, str(n))
        await server.say(other, "elsewhere")
    newest = await server.messages("a", limit=10)
    assert said(newest) == [str(n) for n in range(15, 25)]
    backwards, page = [*newest], newest
    while page := await server.messages("a", before=page[0]["seq"], limit=10):
        backwards = [*page, *backwards]
    forwards, page = [], await server.messages("a", after=0, limit=10)
    while page:
        forwards += page
        page = await server.messages("a", after=page[-1]["seq"], limit=10)
    assert forwards == backwards
    assert [entry["type"] for entry in forwards] == ["joined", *["chat"] * 25]
    assert said(forwards) == [str(n) for n in range(25)]
    assert [entry["seq"] for entry in forwards] == sorted({entry["seq"] for entry in forwards})


async def test_pages_of_a_hundred(server: ChatService) -> None:
    """The newest page comes unasked, the 101st message opens the next, a bad number is refused (line 18)."""
    assert await server.page(LOBBY, None) == await server.page(LOBBY, 1)
    ada = await server.join(LOBBY, "Ada", None)
    await say_all(server, ada, [str(n) for n in range(100)])
    full = await server.page(LOBBY, None)
    assert (full["page"], full["pages"], said(full["messages"])) == (1, 1, [str(n) for n in range(100)])
    for name in ("Bob", "Eve"):
        server.leave(await server.join(LOBBY, name, None))
    await server.say(ada, "100")
    newest = await server.page(LOBBY, None)
    assert (newest["page"], newest["pages"], said(newest["messages"])) == (2, 2, ["100"])
    assert await server.page(LOBBY, 1) == {**full, "pages": 2}
    for number in (0, -5, 3):
        with pytest.raises(Refused, match="from 1 to 2"):
            await server.page(LOBBY, number)


# Logins and the feed.


async def test_a_logout_reaches_every_server(open_server: OpenServer) -> None:
    """A token that is logged out closes what is open with it, on all servers; others stay (line 15)."""
    server, other = await open_server(), await open_server()
    ada, bob = token(), token("Bob", "t2")
    members = [await server.join(LOBBY, "Ada", ada), await other.join(LOBBY, "Ada", ada)]
    watcher = other.watch(ada)
    stays = await other.join(LOBBY, "Bob", bob)
    assert not server.rooms.is_revoked("t1")
    await server.revoke(ada)
    assert server.rooms.is_revoked("t1")
    assert not server.rooms.is_revoked("t2")
    assert [(await end_of(each)).code for each in (*members, watcher)] == [4001] * 3
    await until(lambda: [*other.rooms.by_id[LOBBY].members] == [stays.id])
    with pytest.raises(Rejected, match="logged out"):
        await server.say(members[0], "still here?")
    later = await open_server()
    assert later.rooms.is_revoked("t1")


async def test_watchers_see_what_happens(server: ChatService) -> None:
    """A subscriber of the feed gets all rooms, then each that is made, changed or deleted (line 31)."""
    watcher = server.watch(None)
    (rooms,) = await receive(watcher, 1)
    assert [room["roomId"] for room in rooms["rooms"]] == [LOBBY]
    room = await server.make_room("a", "A", ADMIN)
    (made,) = await receive(watcher, 1)
    assert made["made"]["roomId"] == "a"
    ada = await server.join("a", "Ada", None)
    await server.say(ada, "hi")
    (changed,) = await receive(watcher, 1)
    expected = {
        "roomId": "a",
        "roomName": "A",
        "creatorId": ADMIN.id,
        "creatorName": ADMIN.name,
        "members": 1,
        "messages": 1,
        "senderId": "",
        "seq": room.last,
    }
    assert changed["room"] == expected
    await server.delete_room("a", ADMIN)
    assert await receive(watcher, 1) == [{"deleted": {"roomId": "a"}}]
