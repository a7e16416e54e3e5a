"""The pages of rooms, over real TLS, on a real pipeline."""

import asyncio
from collections import Counter
from urllib.parse import quote

import httpx
import pytest

from chat.http.room_api import MAX_LIMIT
from tests.chat.client import ChatClient, bearer, problem
from tests.chat.conftest import StartChat
from tests.stubs import PASSWORD


async def test_a_room_is_made_with_a_random_name(chat: ChatClient) -> None:
    """A new room has an id of its own, and a name of two words (line 20)."""
    response = await chat.http.post("/api/room")
    room = response.json()
    assert response.status_code == 200
    assert room.keys() == {"roomId", "roomName"}
    assert len(room["roomName"].split()) == 2
    assert (await chat.http.post("/api/room")).json()["roomId"] != room["roomId"]


async def test_a_room_is_given_an_id_and_a_name(chat: ChatClient) -> None:
    """One may choose the id, once, and the name (line 20)."""
    response = await chat.http.post("/api/room", params={"id": "Cellar-1_", "name": "Der Keller"})
    assert response.status_code == 201
    assert response.json() == {"roomId": "Cellar-1_", "roomName": "Der Keller"}
    again = await chat.http.post("/api/room", params={"id": "Cellar-1_"})
    assert problem(again) == (409, "room-exists")


async def test_a_bad_id(chat: ChatClient) -> None:
    """An id that no room can have gives 400 (line 20)."""
    for room in ("", "x" * 65, "x" * 1000, "\N{GRINNING FACE}" * 50):
        assert problem(await chat.http.post("/api/room", params={"id": room})) == (400, "bad-room"), room


async def test_a_bad_name(chat: ChatClient) -> None:
    """A name that is empty, too long, or not to be shown gives 400, for rooms and for people alike."""
    for name in ("", "  ", "x" * 65, "a\x00b", "a\nb", "a\u202eb", "a\u2028b"):
        assert problem(await chat.http.post("/api/room", params={"name": name})) == (400, "bad-name"), name
        response = await chat.http.post("/login", json={"password": PASSWORD, "name": name})
        assert problem(response) in [(400, "bad-name"), (400, "bad-message")], name


async def test_there_may_be_only_so_many_rooms(start_chat: StartChat) -> None:
    """Once there are as many rooms as there may be, no more can be made."""
    chat = await start_chat(chat_max_rooms=2)
    assert (await chat.http.post("/api/room")).status_code == 200
    assert problem(await chat.http.post("/api/room")) == (503, "too-many-rooms")


async def test_a_room_shows_who_is_there(chat: ChatClient) -> None:
    """A room has an id, a name, and its members of this moment (line 21)."""
    await chat.http.post("/api/room", params={"id": "cellar", "name": "Keller"})
    member = await chat.open("/api/serve/cellar", token=await chat.log_in("Ada"))
    me = await member.hear()
    member_of = {"id": me["memberId"], "name": "Ada"}
    room = {"roomId": "cellar", "roomName": "Keller", "members": [member_of]}
    assert (await chat.http.get("/api/room/cellar")).json() == room
    details = (await chat.http.get("/api/room/cellar", params={"details": True})).json()
    assert details.pop("creatorId")
    assert details == room | {
        "members": [member_of | {"userId": me["userId"]}],
        "messages": 0,
        "seq": me["seq"],
        "creatorName": "a guest",
    }


async def test_an_unknown_room(chat: ChatClient) -> None:
    """A room that is not there gives 404, whatever is asked of it (lines 21, 24)."""
    for room in ("nowhere", "x" * 1000, "a%2Fb", "%00", "*", "lobby%20"):
        for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/messages")]:
            response = await chat.http.request(method, f"/api/room/{room}{path}")
            assert problem(response) in [(404, "unknown-room"), (404, "not-found")], (method, room)


async def test_a_room_may_be_called_like_a_part_of_a_path(chat: ChatClient) -> None:
    """An id with a slash, sent as %2F, is read, listed, deleted and restored like any other (line 20)."""
    for room in ("a/messages", "a/restore", "messages", "/messages", "50%2Fmessages", "a//restore/"):
        path = f"/api/room/{quote(room, safe='')}"
        assert (await chat.http.post("/api/room", params={"id": room})).status_code == 201
        assert (await chat.http.get(path)).json()["roomId"] == room
        assert (await chat.http.get(f"{path}/messages")).json() == []
        assert (await chat.http.delete(path)).status_code == 204
        assert problem(await chat.http.get(path)) == (404, "unknown-room")
        assert (await chat.http.post(f"{path}/restore")).json()["roomId"] == room
    assert problem(await chat.http.get("/api/room/a/messages")) == (404, "unknown-room")


async def test_rooms_are_listed(chat: ChatClient) -> None:
    """The list has every room, with how many are there, how many messages, and the newest position."""
    await chat.http.post("/api/room", params={"id": "cellar", "name": "Keller"})
    member = await chat.enter("cellar", v1=True, token=await chat.log_in("Ada"))
    await member.say("hello", id="1")
    seq = (await member.hear_of(ok="1"))["seq"]
    (said,) = (await chat.http.get("/api/room/cellar/messages?type=chat")).json()
    lobby, cellar = (await chat.http.get("/api/rooms")).json()
    assert lobby["roomId"] == "lobby"
    assert cellar.pop("creatorId")
    assert cellar == {
        "roomId": "cellar",
        "roomName": "Keller",
        "members": 1,
        "messages": 1,
        "senderId": said["userId"],
        "seq": seq,
        "creatorName": "a guest",
    }


async def test_the_lobby_cannot_be_deleted(chat: ChatClient) -> None:
    """The lobby cannot be deleted."""
    assert problem(await chat.http.delete("/api/room/lobby")) == (403, "forbidden")


async def test_a_deleted_room_can_be_made_again(chat: ChatClient) -> None:
    """A room is gone when it is deleted; made again, it starts empty (line 28)."""
    await chat.http.post("/api/room", params={"id": "cellar"})
    member = await chat.enter("cellar")
    await member.say("old")
    await member.hear_chat(1)
    assert (await chat.http.delete("/api/room/cellar")).status_code == 204
    assert (await chat.http.get("/api/room/cellar")).status_code == 404
    assert (await chat.http.post("/api/room", params={"id": "cellar"})).status_code == 201
    room = (await chat.http.get("/api/room/cellar?details=true")).json()
    assert (room["members"], room["messages"]) == ([], 0)
    assert (await chat.http.get("/api/room/cellar/messages")).json() == []


async def make_room(chat: ChatClient, token: str | None, **given: str) -> httpx.Response:
    return await chat.http.post("/api/room", params=given, headers=bearer(token) if token else {})


async def test_only_the_creator_and_admins_delete_a_room(start_chat: StartChat) -> None:
    """Guests and other people cannot delete a room; the person who made it can, and so can an admin."""
    chat = await start_chat(chat_admin_password="root")
    ada, ben, root = [
        await chat.log_in("Ada"),
        await chat.log_in("Ben"),
        await chat.log_in("Root", password="root"),
    ]
    guest = (await chat.http.post("/guest")).json()["token"]
    for room, owner in (("one", ada), ("two", root)):
        await make_room(chat, ada, id=room)
        for other in (None, guest, ben):
            refused = await chat.http.delete(f"/api/room/{room}", headers=bearer(other) if other else {})
            assert problem(refused) == (403, "forbidden")
        assert (await chat.http.delete(f"/api/room/{room}", headers=bearer(owner))).status_code == 204


async def test_a_deleted_room_can_be_restored(chat: ChatClient) -> None:
    """Within a day its creator restores a deleted room with its messages, unless its id is used again."""
    ada, ben = await chat.log_in("Ada"), await chat.log_in("Ben")
    await make_room(chat, ada, id="den", name="The Den")
    member = await chat.enter("den", v1=True)
    await member.say("kept", id="1")
    await member.hear_of(ok="1")
    await chat.http.delete("/api/room/den", headers=bearer(ada))
    assert (await chat.http.get("/api/rooms/deleted", headers=bearer(ben))).json() == []
    (deleted,) = (await chat.http.get("/api/rooms/deleted", headers=bearer(ada))).json()
    assert (deleted["roomId"], deleted["roomName"]) == ("den", "The Den")
    assert problem(await chat.http.post("/api/room/den/restore", headers=bearer(ben))) == (403, "forbidden")
    await make_room(chat, ben, id="den")
    assert problem(await chat.http.post("/api/room/den/restore", headers=bearer(ada))) == (409, "room-exists")
    assert (await chat.http.delete("/api/room/den", headers=bearer(ben))).status_code == 204
    # The newest room with an id is the one that can be restored.
    assert problem(await chat.http.post("/api/room/den/restore", headers=bearer(ada))) == (403, "forbidden")
    assert (await chat.http.post("/api/room/den/restore", headers=bearer(ben))).status_code == 200
    await make_room(chat, ada, id="cellar")
    await chat.http.delete("/api/room/cellar", headers=bearer(ada))
    restored = await chat.http.post("/api/room/cellar/restore", headers=bearer(ada))
    assert restored.json().keys() == {"roomId", "roomName"}
    assert problem(await chat.http.post("/api/room/cellar/restore", headers=bearer(ada))) == (
        404,
        "unknown-room",
    )


async def test_the_id_of_a_room_resembles_its_name(chat: ChatClient) -> None:
    """Without an id, the id comes from the name; a second room of that name needs to be wanted."""
    for name, room in (
        ("Release 2.0!", "release-2-0"),
        ("K\u00e4se", "k\u00e4se"),
        ("\u5de5\u7a0b", "\u5de5\u7a0b"),
    ):
        assert (await make_room(chat, None, name=name)).json() == {"roomId": room, "roomName": name}
    assert problem(await make_room(chat, None, name="RELEASE 2.0!")) == (409, "room-name-exists")
    again = await make_room(chat, None, name="release 2.0!", duplicate="true")
    assert again.json() == {"roomId": "release-2-0-2", "roomName": "release 2.0!"}
    assert len((await make_room(chat, None, name="!!!")).json()["roomId"]) == 36


@pytest.mark.parametrize(
    "room", ["a b", "a.b", "*", ">", "\N{GRINNING FACE}", "a/b", "=", "50%", "\u5de5" * 50]
)
async def test_a_room_may_have_any_id(chat: ChatClient, room: str) -> None:
    """An id may have any characters; what is said in the room is found under it."""
    assert (await make_room(chat, None, id=room)).json()["roomId"] == room
    path = quote(room, safe="")
    member = await chat.enter(path, v1=True)
    await member.say("hello", id="1")
    assert (await member.hear_of(type="chat"))["roomId"] == room
    messages = (await chat.http.get(f"/api/room/{path}/messages?type=chat")).json()
    assert [(each["roomId"], each["message"]) for each in messages] == [(room, "hello")]
    assert (await chat.http.delete(f"/api/room/{path}")).status_code == 204


async def test_a_person_may_have_only_so_many_rooms(start_chat: StartChat) -> None:
    """Many requests at once, to two servers, make no more rooms than one person may have, or one address."""
    servers = [await start_chat(chat_rooms_per_person=5) for _ in range(2)]
    ada = await servers[0].log_in("Ada")
    for token in (ada, None):
        made = await asyncio.gather(*(make_room(servers[n % 2], token) for n in range(24)))
        assert Counter(answer.status_code for answer in made) == {200: 5, 403: 19}
        assert {problem(answer) for answer in made if answer.is_error} == {(403, "too-many-own-rooms")}
    rooms = (await servers[0].http.get("/api/rooms")).json()
    await servers[0].http.delete(f"/api/room/{rooms[1]['roomId']}", headers=bearer(ada))
    assert (await make_room(servers[0], ada)).status_code == 200


async def test_guests_make_rooms_at_a_rate(start_chat: StartChat) -> None:
    """All guests of an address share a rate of new rooms; a person with a login has none."""
    chat = await start_chat(chat_guest_rooms_per_hour=3)
    assert (await chat.http.post("/api/room")).status_code == 200
    guest = bearer((await chat.http.post("/guest")).json()["token"])
    for path in ("/api/room", "/create"):
        refused = await chat.http.post(path, params={"id": "den"}, headers=guest)
        assert problem(refused) == (429, "rate-limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 1_200
    assert (await chat.http.post("/create?id=den", headers=bearer(await chat.log_in()))).status_code == 201


async def test_the_names_of_the_group_chat_work(chat: ChatClient) -> None:
    """Groups are made, joined and deleted under the names of the group chat (POST /create, /groups/ID)."""
    assert (await chat.http.post("/create", params={"id": "g 1"})).status_code == 201
    member = await chat.open("/groups/g%201")
    await member.say("hello")
    assert await member.hear_chat(1) == ["hello"]
    assert (await chat.http.delete("/groups/g%201")).status_code == 204
    assert (await member.end())[0] == 4004
    assert (await chat.refused("/groups/g%201"))[0] == 404


async def test_without_parameters_all_of_a_room_is_shown(chat: ChatClient) -> None:
    """Without a limit or a position every event of a room comes, however many there are."""
    member = await chat.enter(v1=True)
    texts = [str(number) for number in range(MAX_LIMIT * 2 + 1)]
    await member.say_all(texts)
    path = "/api/room/lobby/messages"
    assert [each["message"] for each in (await chat.http.get(path)).json()][1:] == texts
    assert [each["message"] for each in (await chat.http.get(f"{path}?type=chat")).json()] == texts
    assert len((await chat.http.get(f"{path}?after=0")).json()) == 100
    assert [each["message"] for each in (await chat.http.get(f"{path}?limit=2")).json()] == texts[-2:]
