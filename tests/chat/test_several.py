"""Several chat servers with the same rooms, each a process of its own."""

import asyncio

from chat.domain import sentences
from tests.chat.client import ChatClient, Member
from tests.chat.conftest import StartChatProcess


async def names(chat: ChatClient, room: str) -> list[str]:
    """The names of the members of a room, as a server sees them."""
    shown = (await chat.http.get(f"/api/room/{room}")).json()
    return [member["name"] for member in shown["members"]]


async def all_hear(members: list[Member], **wanted: object) -> list[int]:
    """Wait until all have heard of something; return its positions."""
    heard = await asyncio.gather(*(member.hear_of(**wanted) for member in members))
    return [each["seq"] for each in heard]


async def test_two_servers_share_their_rooms(start_chat_process: StartChatProcess) -> None:
    """Members of two servers see all messages, joins and leaves, also when one server stops (line 27).

    A logout on one closes what is open on the other (line 15), and a room is deleted on both.
    """
    here, there = await asyncio.gather(start_chat_process(), start_chat_process())
    assert (await here.http.post("/api/room", params={"id": "shared"})).status_code == 201
    token = await here.log_in("Ada")
    ada = await here.enter("shared", token=token, v1=True)
    bob = await there.enter("shared", token=await there.log_in("Bob"))
    assert (await ada.hear_of(type="joined"))["memberName"] == "Bob"
    assert await names(here, "shared") == await names(there, "shared") == ["Ada", "Bob"]

    await asyncio.gather(
        *(each.say(f"{name} {n}") for n in range(50) for name, each in (("Ada", ada), ("Bob", bob)))
    )
    heard = await asyncio.gather(ada.hear_chat(100), bob.hear_chat(100))
    assert heard[0] == heard[1]
    assert len(set(heard[0])) == 100

    carl = await there.enter("shared", token=token)  # a token is good on every server
    await all_hear([ada, bob], type="joined", memberName="Ada")
    watcher = await there.open("/api/feed", token=token)
    guest = await here.enter("shared")
    await here.http.post("/logout", params={"token": token})
    ends = await asyncio.gather(ada.end(), carl.end(), watcher.end())
    assert set(ends) == {sentences.LOGGED_OUT}
    assert (await there.refused("/join", token=token))[0] == 401

    assert await there.server.stop() == 0
    gone = await guest.hear_of(type="left", memberName="Bob")
    assert await names(here, "shared") == [
        (await here.http.get("/api/room/shared")).json()["members"][0]["name"]
    ]
    again = await start_chat_process()
    back = await again.enter("shared", after=gone["seq"] - 1, v1=True)
    assert (await back.hear())["seq"] == gone["seq"]
    assert (await again.http.delete("/api/room/shared")).status_code == 204
    assert [(await each.end())[0] for each in (guest, back)] == [4004, 4004]
    assert (await here.http.get("/api/room/shared")).status_code == 404
