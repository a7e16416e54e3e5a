"""Joining and leaving rooms, on a pipeline in this process."""

import asyncio
import gc
import weakref

import msgspec
import pytest

from chat.domain.errors import Refused, Unavailable
from chat.domain.rooms import LOBBY
from chat.service.chat_service import ChatService, Tuning
from chat.service.members import LocalMember
from tests.chat.conftest import OpenServer
from tests.chat.frames import ADMIN, brief, end_of, members_of_all, receive, say_all, token
from tests.conftest import until


async def test_the_first_text_is_the_own_join(server: ChatService) -> None:
    """The first frame is one's own joined, with one's id and name (lines 16 and 23)."""
    ada = await server.join(LOBBY, "Ada", None)
    first = msgspec.json.decode(ada.first)
    assert first["self"] is True
    assert (first["type"], first["memberId"], first["memberName"]) == ("joined", ada.id, "Ada")
    assert first["seq"] == ada.joined
    assert server.rooms.by_id[LOBBY].members[ada.id].name == "Ada"


async def test_members_see_each_other(server: ChatService) -> None:
    """Members see others come, speak and leave, but nothing of before they came themselves (line 23)."""
    ada = await server.join(LOBBY, "Ada", None)
    bob = await server.join(LOBBY, "Bob", None)
    await server.say(bob, "hi")
    server.leave(bob)
    server.leave(bob)
    assert brief(await receive(ada, 3)) == [("joined", "Bob", ""), ("chat", "Bob", "hi"), ("left", "Bob", "")]
    assert brief(await receive(bob, 1)) == [("chat", "Bob", "hi")]
    assert [*server.rooms.by_id[LOBBY].members] == [ada.id]
    again = await server.join(LOBBY, "Bob", None)
    assert again.id != bob.id


async def test_unknown_room(server: ChatService) -> None:
    """An unknown room can be neither joined nor read (line 24)."""
    with pytest.raises(Refused, match="There is no room"):
        await server.join("nowhere", "Ada", None)
    with pytest.raises(Refused, match="There is no room"):
        await server.messages("nowhere", limit=1)
    with pytest.raises(Refused, match="There is no room"):
        await server.page("nowhere", None)


async def test_joining_a_room_that_is_being_deleted(server: ChatService) -> None:
    """A join during a deletion succeeds and is closed, or is refused (line 24)."""
    outcomes = []
    for _ in range(10):
        await server.make_room("a", None, ADMIN)
        joining = [asyncio.create_task(server.join("a", f"Ada{n}", None)) for n in range(5)]
        await asyncio.sleep(0)
        deleting = asyncio.create_task(server.delete_room("a", ADMIN))
        late = [asyncio.create_task(server.join("a", f"Bob{n}", None)) for n in range(5)]
        await deleting
        outcomes += await asyncio.gather(*joining, *late, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, LocalMember):
            assert (await end_of(outcome)).code == 4004
        else:
            assert isinstance(outcome, Refused)
    assert not members_of_all(server)
    assert [*server.state.members] == []


async def test_a_cancelled_join_leaves_no_member(server: ChatService) -> None:
    """However late a join is cancelled, no member remains (line 37)."""
    for turns in range(40):
        joining = asyncio.create_task(server.join(LOBBY, "Ada", None))
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait([joining])
        if not joining.cancelled():
            server.leave(joining.result())
    watcher = await server.join(LOBBY, "Bob", None)
    await until(lambda: [*server.rooms.by_id[LOBBY].members] == [watcher.id])
    assert [*server.state.members] == [watcher]


async def test_a_join_that_is_cancelled_at_the_last_moment(
    server: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member who is activated after the cancellation leaves again (line 37)."""
    joining: asyncio.Task[LocalMember]
    members = server.state.members
    activate = members.activate

    def cancel_and_activate(member_id: str, joined: int, first: bytes) -> bool:
        joining.cancel()
        return activate(member_id, joined, first)

    monkeypatch.setattr(members, "activate", cancel_and_activate)
    joining = asyncio.create_task(server.join(LOBBY, "Ada", None))
    with pytest.raises(asyncio.CancelledError):
        await joining
    await until(lambda: server.rooms.by_id[LOBBY].last > 0 and not members_of_all(server))
    assert [entry["type"] for entry in await server.messages(LOBBY, limit=9)] == ["joined", "left"]
    assert [*members] == []


async def test_joining_while_the_server_stops(server: ChatService) -> None:
    """A join pending at a stop is refused, and no member remains (line 37)."""
    joining = asyncio.create_task(server.join(LOBBY, "Ada", None))
    await asyncio.sleep(0)
    await server.lifecycle.drain()
    with pytest.raises(Unavailable):
        await joining
    await until(lambda: not members_of_all(server))
    assert [entry["type"] for entry in await server.messages(LOBBY, limit=9)] == ["joined", "left"]


async def test_leaving_a_room_that_is_being_deleted(server: ChatService) -> None:
    """A member who leaves during a deletion is gone, whichever comes first (line 29)."""
    for _ in range(5):
        await server.make_room("a", None, ADMIN)
        ada, bob = await server.join("a", "Ada", None), await server.join("a", "Bob", None)
        deleting = asyncio.create_task(server.delete_room("a", ADMIN))
        await asyncio.sleep(0)
        server.leave(ada)
        await deleting
        assert (await end_of(bob)).code == 4004
        assert not members_of_all(server)


async def test_one_token_in_two_places(server: ChatService) -> None:
    """Two sockets with one token are two members of one name, and both receive everything (line 19)."""
    ada = token()
    one, two = await server.join(LOBBY, "Ada", ada), await server.join(LOBBY, "Ada", ada)
    await server.say(one, "hi")
    assert one.id != two.id
    assert brief(await receive(one, 2)) == [("joined", "Ada", ""), ("chat", "Ada", "hi")]
    assert brief(await receive(two, 1)) == [("chat", "Ada", "hi")]


async def test_a_returning_member_gets_missed_events(server: ChatService) -> None:
    """A returning member gets missed events, then new ones, each once (line 31)."""
    bob = await server.join(LOBBY, "Bob", None)
    ada = await server.join(LOBBY, "Ada", None)
    await server.say(bob, "0")
    seen = (await receive(ada, 1))[-1]["seq"]
    server.leave(ada)
    talking = asyncio.create_task(say_all(server, bob, [str(n) for n in range(1, 1_200)]))
    await until(lambda: server.rooms.by_id[LOBBY].count > 600)
    again = await server.join(LOBBY, "Ada", None)
    await talking
    await server.say(bob, "1200")
    missed = [msgspec.json.decode(body) async for bodies in server.missed(again, seen) for body in bodies]
    chats = [frame["message"] for frame in missed if frame["type"] == "chat"]
    live = await receive(again, 1_200 - len(chats))
    assert [*chats, *(frame["message"] for frame in live)] == [str(n) for n in range(1, 1_201)]
    seqs = [frame["seq"] for frame in (*missed, *live)]
    assert sorted(set(seqs)) == seqs
    assert missed[-1]["seq"] < again.joined < live[0]["seq"]


async def test_a_logout_while_joining(server: ChatService) -> None:
    """A token that is revoked during a join admits no member (line 15)."""
    joining = [asyncio.create_task(server.join(LOBBY, "Ada", token())) for _ in range(3)]
    await asyncio.sleep(0)
    await server.revoke(token())
    for outcome in await asyncio.gather(*joining, return_exceptions=True):
        if isinstance(outcome, LocalMember):
            assert (await end_of(outcome)).code == 4001
        else:
            assert isinstance(outcome, Unavailable)
    await until(lambda: not members_of_all(server))


async def test_a_client_that_does_not_read_is_closed(open_server: OpenServer) -> None:
    """A member who lets too much pile up is closed with 4008 and seen to leave; the others miss nothing."""
    server = await open_server(tuning=Tuning(max_waiting=20))
    slow, quick = await server.join(LOBBY, "Slow", None), await server.join(LOBBY, "Quick", None)
    for n in range(30):
        await server.say(quick, str(n))
        assert brief(await receive(quick, 1)) == [("chat", "Quick", str(n))]
        if n == 19:
            assert brief(await receive(quick, 1)) == [("left", "Slow", "")]
    assert (await end_of(slow)).code == 4008
    assert [*server.rooms.by_id[LOBBY].members] == [quick.id]


async def test_nothing_is_kept_of_members_who_left(server: ChatService) -> None:
    """After hundreds have come and gone, objects, tasks and timers are those of before (lines 29 and 37)."""
    await server.make_room("a", None, ADMIN)
    server.leave(await server.join("a", "Ada", None))
    await until(lambda: not members_of_all(server))
    tasks = len(asyncio.all_tasks())
    references: list[weakref.ref[LocalMember]] = []
    for _ in range(3):
        members = await asyncio.gather(*(server.join("a", "Ada", token()) for _ in range(100)))
        await asyncio.gather(*(server.say(member, "hi") for member in members))
        references += map(weakref.ref, members)
        for member in members:
            server.leave(member)
        await until(lambda: not members_of_all(server))
    del members, member
    gc.collect()
    assert [*filter(None, (reference() for reference in references))] == []
    await until(lambda: len(asyncio.all_tasks()) <= tasks)  # a check of the pipeline has some for a moment
    assert [*server.state.members] == []
    assert not members_of_all(server)
    assert not server.state.writer.waiting
    assert server.rooms.by_id["a"].members == {}
    again = await server.join("a", "Ada", None)
    await server.say(again, "still a room")
