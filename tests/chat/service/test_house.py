"""The rooms, live, on a pipeline of its own in this process."""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from chat.domain import server_liveness as presence
from chat.domain.errors import BadPage, RoomExists, TooManyRooms, Unavailable, UnknownRoom
from chat.domain.events import ROOMS, SERVERS, Beat, Chat, Event, Joined, Left, Made, room_topic
from chat.domain.server_liveness import PATIENCE
from chat.domain.state import LOBBY, Room
from chat.service import members as members_module
from chat.service.house import House
from chat.service.members import LocalMember
from fanline.client import Message, Publisher
from fanline.errors import Rejected
from fanline.protocol import encode
from fanline.security.tokens import Claims
from fanline.settings import Settings
from fanline.tasks import running_task
from tests.chat.conftest import OpenHouse, Services
from tests.chat.houses import brief, end_of, receive, said
from tests.conftest import until
from tests.stubs import PASSWORD, USER


def token(name: str = "Ada", id: str = "t1", *, seconds: float = 600) -> Claims:  # noqa: A002
    return Claims(name, id, int(time.time() + seconds))


async def say_all(house: House, member: LocalMember, texts: list[str]) -> None:
    await asyncio.gather(*(house.say(member, text) for text in texts))


# Rooms.


async def test_the_lobby_is_there(open_house: OpenHouse) -> None:
    """The first server finds no lobby and makes one; the next finds it."""
    first, second = await open_house(), await open_house()
    assert second.state.rooms[LOBBY].key == first.state.rooms[LOBBY].key
    assert len((await second._history.page(ROOMS)).messages) == 1
    assert await second.problem() is None


async def test_a_room_with_random_names(house: House) -> None:
    """A room gets a random id, and a random name of two words, where none is given (line 20)."""
    room = await house.make_room(None, None, "ada")
    assert len(room.name.split()) == 2
    assert house.state.rooms[room.id] is room


async def test_a_room_with_given_names(house: House) -> None:
    """A room may be named by who makes it; a second one of that id is refused (line 20)."""
    room = await house.make_room("cellar", "  The Cellar ", "ada")
    assert (room.id, room.name) == ("cellar", "The Cellar")
    with pytest.raises(RoomExists, match="'cellar' already"):
        await house.make_room("cellar", None, "bob")


@pytest.mark.parametrize(("id", "name"), [("a/b", None), ("", None), (None, ""), ("x", "a\nb")])
async def test_what_cannot_be_a_room(house: House, id: str | None, name: str | None) -> None:  # noqa: A002
    """A bad id or name is refused, and nothing is written (line 20)."""
    with pytest.raises(Rejected):
        await house.make_room(id, name, "ada")
    assert [*house.state.rooms] == [LOBBY]


async def test_two_servers_make_the_same_room(open_house: OpenHouse) -> None:
    """Of two servers that make the same room at once, one makes it and the other is told so (line 20)."""
    houses = [await open_house(), await open_house()]
    for n in range(10):
        results = await asyncio.gather(
            *(each.make_room(f"r{n}", None, "ada") for each in houses), return_exceptions=True
        )
        (made,) = [result for result in results if isinstance(result, Room)]
        (refused,) = [result for result in results if isinstance(result, RoomExists)]
        assert refused.room == made.id
        await until(lambda: all(f"r{n}" in each.state.rooms for each in houses))  # noqa: B023
        assert {each.state.rooms[made.id].key for each in houses} == {made.key}


async def test_no_more_rooms_than_allowed(open_house: OpenHouse) -> None:
    """Past the limit no room is made."""
    house = await open_house(chat_max_rooms=2)
    await house.make_room("a", None, "ada")
    with pytest.raises(TooManyRooms, match="2 rooms"):
        await house.make_room("b", None, "ada")


async def test_deleting_disconnects(open_house: OpenHouse) -> None:
    """Who is in a room that is deleted is closed with 4004, on every server, and has not left (line 28)."""
    house, other = await open_house(), await open_house()
    room = await house.make_room("a", None, "ada")
    await until(lambda: "a" in other.state.rooms)
    members = [await house.join("a", "Ada", None), await other.join("a", "Bob", None)]
    await house.delete_room("a", "ada")
    assert [(await end_of(member)).code for member in members] == [4004, 4004]
    with pytest.raises(UnknownRoom):
        await house.delete_room("a", "ada")
    for each in (house, other):
        await until(lambda: "a" not in each.state.rooms and not each.state.population)  # noqa: B023
        assert not each._farewells
    assert room.id not in house.state.rooms


async def test_a_room_made_again_is_empty(house: House) -> None:
    """The id of a deleted room can be used again; nothing of before is in it (line 28)."""
    await house.make_room("a", "One", "ada")
    member = await house.join("a", "Ada", None)
    await house.say(member, "before")
    await house.delete_room("a", "ada")
    await house.make_room("a", "Two", "ada")
    again = await house.join("a", "Ada", None)
    await house.say(again, "after")
    assert said(await house.messages("a", limit=100)) == ["after"]
    assert said(await house.messages("a", after=0, limit=100)) == ["after"]
    assert (await house.history("a", None)).messages[0].message == "after"
    room = house.state.rooms["a"]
    assert (room.count, [*room.members]) == (1, [again.id])


async def test_the_lobby_cannot_be_deleted(house: House) -> None:
    """The lobby stays, and an unknown room is unknown."""
    with pytest.raises(Rejected, match="lobby") as caught:
        await house.delete_room(LOBBY, "ada")
    assert caught.value.code == "forbidden"
    with pytest.raises(UnknownRoom):
        await house.delete_room("nowhere", "ada")


async def test_two_delete_the_same_room(open_house: OpenHouse) -> None:
    """Of two who delete a room at once, one has done it; the other is told that there is none."""
    houses = [await open_house(), await open_house()]
    await houses[0].make_room("a", None, "ada")
    await until(lambda: "a" in houses[1].state.rooms)
    results = await asyncio.gather(*(each.delete_room("a", "ada") for each in houses), return_exceptions=True)
    assert sorted(map(str, results)) == ["None", "there is no room 'a'"]


# Members.


async def test_one_is_told_who_one_is(house: House) -> None:
    """The first frame is one's own joined, with one's id and name (lines 16 and 23)."""
    ada = await house.join(LOBBY, "Ada", None)
    first = msgspec.json.decode(ada.first)
    assert first["self"] is True
    assert (first["type"], first["memberId"], first["memberName"]) == ("joined", ada.id, "Ada")
    assert first["seq"] == ada.joined
    assert house.state.rooms[LOBBY].members[ada.id].name == "Ada"


async def test_members_see_each_other(house: House) -> None:
    """Members see others come, speak and leave, but nothing of before they came themselves (line 23)."""
    ada = await house.join(LOBBY, "Ada", None)
    bob = await house.join(LOBBY, "Bob", None)
    await house.say(bob, "hi")
    await house.leave(bob)
    await house.leave(bob)
    assert brief(await receive(ada, 3)) == [("joined", "Bob", ""), ("chat", "Bob", "hi"), ("left", "Bob", "")]
    assert brief(await receive(bob, 1)) == [("chat", "Bob", "hi")]
    assert [*house.state.rooms[LOBBY].members] == [ada.id]
    again = await house.join(LOBBY, "Bob", None)
    assert again.id != bob.id


async def test_unknown_room(house: House) -> None:
    """Nobody can be in a room that is not there, nor read it (line 24)."""
    with pytest.raises(UnknownRoom):
        await house.join("nowhere", "Ada", None)
    with pytest.raises(UnknownRoom):
        await house.messages("nowhere", limit=1)
    with pytest.raises(UnknownRoom):
        await house.history("nowhere", None)


async def test_joining_a_room_that_is_being_deleted(house: House) -> None:
    """Who joins during a deletion is in, and then closed, or told that there is no such room (line 24)."""
    outcomes = []
    for _ in range(10):
        await house.make_room("a", None, "ada")
        joining = [asyncio.create_task(house.join("a", f"Ada{n}", None)) for n in range(5)]
        await asyncio.sleep(0)
        deleting = asyncio.create_task(house.delete_room("a", "ada"))
        late = [asyncio.create_task(house.join("a", f"Bob{n}", None)) for n in range(5)]
        await deleting
        outcomes += await asyncio.gather(*joining, *late, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, LocalMember):
            assert (await end_of(outcome)).code == 4004
        else:
            assert isinstance(outcome, UnknownRoom)
    assert not house.state.population
    assert not house._farewells
    assert [*house._hall] == []


async def test_a_join_that_is_cancelled_leaves_nobody(house: House) -> None:
    """Whenever a join is cancelled, in the end nobody is there (line 37)."""
    for turns in range(40):
        joining = asyncio.create_task(house.join(LOBBY, "Ada", None))
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait([joining])
        if not joining.cancelled():
            await house.leave(joining.result())
    watcher = await house.join(LOBBY, "Bob", None)
    await until(lambda: [*house.state.rooms[LOBBY].members] == [watcher.id])
    await until(lambda: not house._farewells)
    assert [*house._hall] == [watcher]


async def test_a_join_that_is_cancelled_at_the_last_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is let in, and is cancelled before they know, leaves again (line 37)."""
    joining: asyncio.Task[LocalMember]
    seat = house._hall.seat

    def seat_and_cancel(id: str, joined: int, first: bytes) -> bool:  # noqa: A002
        joining.cancel()
        return seat(id, joined, first)

    monkeypatch.setattr(house._hall, "seat", seat_and_cancel)
    joining = asyncio.create_task(house.join(LOBBY, "Ada", None))
    with pytest.raises(asyncio.CancelledError):
        await joining
    await until(lambda: house.state.rooms[LOBBY].last > 0 and not house.state.population)
    assert [entry.type for entry in await house.messages(LOBBY, limit=9)] == ["joined", "left"]
    assert [*house._hall] == []


async def test_joining_while_the_server_stops(house: House) -> None:
    """Who is on the way in when the server stops is not let in, and nobody is left behind (line 37)."""
    joining = asyncio.create_task(house.join(LOBBY, "Ada", None))
    await asyncio.sleep(0)
    await house.drain()
    with pytest.raises(Unavailable):
        await joining
    await until(lambda: not house.state.population and not house._farewells)
    assert [entry.type for entry in await house.messages(LOBBY, limit=9)] == ["joined", "left"]


async def test_leaving_a_room_that_is_being_deleted(house: House) -> None:
    """Who leaves during a deletion is gone, whichever comes first (line 29)."""
    for _ in range(5):
        await house.make_room("a", None, "ada")
        ada, bob = await house.join("a", "Ada", None), await house.join("a", "Bob", None)
        deleting = asyncio.create_task(house.delete_room("a", "ada"))
        await asyncio.sleep(0)
        await house.leave(ada)
        await deleting
        assert (await end_of(bob)).code == 4004
        assert not house._farewells
        assert not house.state.population


async def test_one_token_in_two_places(house: House) -> None:
    """Two sockets with one token are two members of one name, and both receive everything (line 19)."""
    ada = token()
    one, two = await house.join(LOBBY, "Ada", ada), await house.join(LOBBY, "Ada", ada)
    await house.say(one, "hi")
    assert one.id != two.id
    assert brief(await receive(one, 2)) == [("joined", "Ada", ""), ("chat", "Ada", "hi")]
    assert brief(await receive(two, 1)) == [("chat", "Ada", "hi")]


async def test_what_was_missed(house: House) -> None:
    """Who comes back gets what happened meanwhile, then what happens: no gap, no double (line 31)."""
    bob = await house.join(LOBBY, "Bob", None)
    ada = await house.join(LOBBY, "Ada", None)
    await house.say(bob, "0")
    seen = (await receive(ada, 1))[-1]["seq"]
    await house.leave(ada)
    talking = asyncio.create_task(say_all(house, bob, [str(n) for n in range(1, 1_200)]))
    await until(lambda: house.state.rooms[LOBBY].count > 600)
    again = await house.join(LOBBY, "Ada", None)
    await talking
    await house.say(bob, "1200")
    missed = [msgspec.json.decode(body) async for bodies in house.missed(again, seen) for body in bodies]
    chats = [frame["message"] for frame in missed if frame["type"] == "chat"]
    live = await receive(again, 1_200 - len(chats))
    assert [*chats, *(frame["message"] for frame in live)] == [str(n) for n in range(1, 1_201)]
    seqs = [frame["seq"] for frame in (*missed, *live)]
    assert sorted(set(seqs)) == seqs
    assert missed[-1]["seq"] < again.joined < live[0]["seq"]


# Saying something.


async def test_what_is_said_is_stored_first(house: House, services: Services, tls: Any) -> None:
    """When saying returns, the message is in the log and has been shown to all (line 25)."""
    ada, bob = await house.join(LOBBY, "Ada", None), await house.join(LOBBY, "Bob", None)
    ack = await house.say(ada, "line one\nline two")
    (frame,) = await receive(bob, 1)
    assert (frame["seq"], frame["message"]) == (ack.seq, "line one\nline two")
    (entry,) = await house.messages(LOBBY, limit=1)
    assert (entry.seq, entry.message, entry.member_id) == (ack.seq, "line one\nline two", ada.id)
    assert house.state.rooms[LOBBY].last == ack.seq


async def test_said_again_with_its_key(open_house: OpenHouse) -> None:
    """A message that is sent again after a reconnect, even to another server, is stored once (line 31)."""
    house, other = await open_house(), await open_house()
    ada = await house.join(LOBBY, "Ada", token())
    ack = await house.say(ada, "hi", "k1")
    assert ack.ok == "k1"
    again = await other.join(LOBBY, "Ada", token())
    assert await house.say(ada, "hi", "k1") == ack
    assert await other.say(again, "hi", "k1") == ack
    assert (
        await asyncio.gather(*(other.say(again, "ho", "k2") for _ in range(3)))
        == [await other.say(again, "ho", "k2")] * 3
    )
    assert said(await house.messages(LOBBY, limit=100)) == ["hi", "ho"]


async def test_keys_are_ones_own(house: House) -> None:
    """The same key of somebody else, or in another room, is another message; any text will do (line 26)."""
    await house.make_room("a", None, "ada")
    key = "\N{GRINNING FACE}\n" * 100
    speakers = [
        await house.join(LOBBY, "Ada", token()),
        await house.join("a", "Ada", token()),
        await house.join(LOBBY, "Bob", token("Bob", "t2")),
        await house.join(LOBBY, "Guest", None),
        await house.join(LOBBY, "Guest", None),
    ]
    acks = [await house.say(speaker, "hi", key) for speaker in speakers]
    assert len({ack.seq for ack in acks}) == 5
    assert (house.state.rooms[LOBBY].count, house.state.rooms["a"].count) == (4, 1)


async def test_what_cannot_be_said(open_house: OpenHouse) -> None:
    """A message that is empty or too big is refused; nobody sees it, and the next one is fine (line 25)."""
    house = await open_house(chat_max_message=1_024)
    ada = await house.join(LOBBY, "Ada", None)
    for text, code in (("", "bad-message"), (" \n", "bad-message"), ("x" * 1_025, "too-big")):
        with pytest.raises(Rejected) as caught:
            await house.say(ada, text)
        assert caught.value.code == code
    await house.say(ada, "x" * 1_024)
    assert len((await receive(ada, 1))[0]["message"]) == 1_024


async def test_deleting_while_a_hundred_are_sending(house: House) -> None:
    """Each send during a deletion is acked or refused, and none gets into the next room (lines 28 and 29)."""
    await house.make_room("a", None, "ada")
    members = await asyncio.gather(*(house.join("a", f"M{n}", None) for n in range(100)))
    sending = [
        asyncio.create_task(house.say(member, f"{n}-{turn}", f"k{turn}"))
        for turn in range(5)
        for n, member in enumerate(members)
    ]
    await asyncio.sleep(0)
    deleting = asyncio.create_task(house.delete_room("a", "ada"))
    late = [asyncio.create_task(house.say(member, "late")) for member in members]
    await deleting
    room = await house.make_room("a", None, "ada")
    outcomes = await asyncio.gather(*sending, *late, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, Rejected) and each.code in {"room-deleted", "closed"} for each in refused)
    assert len(refused) >= len(late)
    assert [(await end_of(member)).code for member in members] == [4004] * 100
    assert (room.count, room.members, await house.messages("a", limit=10)) == (0, {}, [])
    with pytest.raises(Rejected, match="deleted"):
        await house.say(members[0], "too late")


async def test_one_order_for_all(open_house: OpenHouse) -> None:
    """Members of two servers see the same messages in the same order (line 27)."""
    houses = [await open_house(), await open_house()]
    members = [await houses[n % 2].join(LOBBY, f"M{n}", None) for n in range(10)]
    await until(lambda: all(len(house.state.rooms[LOBBY].members) == 10 for house in houses))
    for n, member in enumerate(members):
        await receive(member, 9 - n)
    await asyncio.gather(
        *(
            say_all(houses[n % 2], member, [f"{n}-{turn}" for turn in range(20)])
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


async def test_garbage_in_the_log_harms_nobody(house: House, services: Services, tls: Any) -> None:
    """Whatever else is published on the topics of chat, and whenever, the rooms go on (line 6)."""
    ada = await house.join(LOBBY, "Ada", None)
    room = house.state.rooms[LOBBY]
    url = f"wss://localhost:{services.publisher.port}"
    async with Publisher(url, user=USER, password=PASSWORD, tls=tls) as publisher:
        await publisher.publish(room_topic(LOBBY), "garbage")
        await publisher.publish(room_topic(LOBBY), Chat("another key", "m", "Eve", "old"))
        await publisher.publish(room_topic("nowhere"), Chat(room.key, "m", "Eve", "lost"))
        await publisher.publish("chat.rooms", Made(LOBBY, "Mine", "k", "Eve"))
        await publisher.publish("chat.rooms", [[[]]])
        await publisher.publish("chat", 1)
        await publisher.publish(room_topic(LOBBY), Joined(room.key, ada.id, "Eve", house.server))
    await house.say(ada, "hi")
    assert brief(await receive(ada, 1)) == [("chat", "Ada", "hi")]
    assert [entry.message for entry in await house.messages(LOBBY, limit=2)] == ["", "hi"]


# Reading back.


async def test_messages_both_ways(house: House) -> None:
    """Reading a room in either direction meets everything once, in order, and ends (line 22)."""
    await house.make_room("a", None, "ada")
    ada = await house.join("a", "Ada", None)
    other = await house.join(LOBBY, "Bob", None)
    for n in range(25):
        await house.say(ada, str(n))
        await house.say(other, "elsewhere")
    newest = await house.messages("a", limit=10)
    assert said(newest) == [str(n) for n in range(15, 25)]
    backwards, page = [*newest], newest
    while page := await house.messages("a", before=page[0].seq, limit=10):
        backwards = [*page, *backwards]
    forwards, page = [], await house.messages("a", after=0, limit=10)
    while page:
        forwards += page
        page = await house.messages("a", after=page[-1].seq, limit=10)
    assert forwards == backwards
    assert [entry.type for entry in forwards] == ["joined", *["chat"] * 25]
    assert said(forwards) == [str(n) for n in range(25)]
    assert [entry.seq for entry in forwards] == sorted({entry.seq for entry in forwards})


async def test_pages_of_a_hundred(house: House) -> None:
    """The newest page comes unasked, the 101st message opens the next, a bad number is refused (line 18)."""
    assert await house.history(LOBBY, None) == await house.history(LOBBY, 1)
    ada = await house.join(LOBBY, "Ada", None)
    await say_all(house, ada, [str(n) for n in range(100)])
    full = await house.history(LOBBY, None)
    assert (full.page, full.pages, said(full.messages)) == (1, 1, [str(n) for n in range(100)])
    for name in ("Bob", "Eve"):
        await house.leave(await house.join(LOBBY, name, None))
    await house.say(ada, "100")
    newest = await house.history(LOBBY, None)
    assert (newest.page, newest.pages, said(newest.messages)) == (2, 2, ["100"])
    assert await house.history(LOBBY, 1) == msgspec.structs.replace(full, pages=2)
    for number in (0, -5, 3):
        with pytest.raises(BadPage, match="from 1 to 2"):
            await house.history(LOBBY, number)


# Logins.


async def test_a_logout_reaches_every_server(open_house: OpenHouse) -> None:
    """A token that is logged out closes what is open with it, on all servers; others stay (line 15)."""
    house, other = await open_house(), await open_house()
    ada, bob = token(), token("Bob", "t2")
    members = [await house.join(LOBBY, "Ada", ada), await other.join(LOBBY, "Ada", ada)]
    watcher = other.watch(ada)
    stays = await other.join(LOBBY, "Bob", bob)
    assert not house.is_revoked("t1")
    await house.revoke(ada)
    assert house.is_revoked("t1")
    assert not house.is_revoked("t2")
    assert [(await end_of(each)).code for each in (*members, watcher)] == [4001] * 3
    await until(lambda: [*other.state.rooms[LOBBY].members] == [stays.id])
    with pytest.raises(Rejected, match="logged out"):
        await house.say(members[0], "still here?")
    later = await open_house()
    assert later.is_revoked("t1")


async def test_a_logout_while_joining(house: House) -> None:
    """A token that is logged out while a member is on the way in lets nobody in (line 15)."""
    joining = [asyncio.create_task(house.join(LOBBY, "Ada", token())) for _ in range(3)]
    await asyncio.sleep(0)
    await house.revoke(token())
    for outcome in await asyncio.gather(*joining, return_exceptions=True):
        if isinstance(outcome, LocalMember):
            assert (await end_of(outcome)).code == 4001
        else:
            assert isinstance(outcome, Unavailable)
    await until(lambda: not house.state.population)


async def test_an_expired_token_leaves(house: House) -> None:
    """A member whose token expires is closed with 4001, and seen to leave (line 14)."""
    bob = await house.join(LOBBY, "Bob", None)
    ada = await house.join(LOBBY, "Ada", token(seconds=1))
    assert (await end_of(ada)).code == 4001
    assert brief(await receive(bob, 2))[1] == ("left", "Ada", "")


# Other servers.


class Replay:
    """A house without a pipeline, which is given one event after the other."""

    def __init__(self, settings: Settings) -> None:
        self.house = House(settings)
        self.seq = 0

    def take(self, topic: str, *events: Event) -> None:
        for event in events:
            self.seq += 1
            content = msgspec.Raw(encode(event))
            self.house._take(Message(topic, content, self.seq, self.seq * 1_000, sender=USER))


@pytest.fixture
async def replay(make_settings: Callable[..., Settings]) -> Replay:
    """A house that knows a room, with a member on another server."""
    replay = Replay(make_settings())
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    replay.take(room_topic("a"), Joined("k", "m", "Ada", "other"))
    return replay


@pytest.mark.parametrize(
    ("topic", "sign"),
    [
        (SERVERS, Beat("other")),
        (room_topic("a"), Chat("k", "m", "Ada", "hi")),
        (room_topic("a"), Joined("k", "n", "Bob", "other")),
    ],
)
async def test_signs_of_life(replay: Replay, topic: str, sign: Event) -> None:
    """A server is alive that beats, or whose members come or speak; silence is its death (line 27)."""
    own = Beat(replay.house.server)
    replay.take(SERVERS, *[own] * (PATIENCE - 1))
    replay.take(topic, sign)
    replay.take(SERVERS, *[own] * (PATIENCE - 1))
    assert not replay.house._farewells
    replay.take(SERVERS, own)
    assert len(replay.house._farewells) == replay.house.state.population["other"] > 0


async def test_others_may_have_noticed_first(replay: Replay) -> None:
    """What another server writes first, of somebody who is gone, need not be written any more."""
    replay.take(SERVERS, *[Beat(replay.house.server)] * PATIENCE)
    assert len(replay.house._farewells) == 1
    replay.take(room_topic("a"), Left("k", "m", "Ada", "other"))
    assert not replay.house._farewells


# Starting and stopping.


async def test_a_later_server_knows_everything(open_house: OpenHouse) -> None:
    """Rooms, members, counts and pages are rebuilt from the log (line 27)."""
    house = await open_house()
    await house.make_room("a", "A", "ada")
    await house.make_room("b", "B", "ada")
    await house.delete_room("b", "ada")
    ada = await house.join("a", "Ada", None)
    await say_all(house, ada, [str(n) for n in range(201)])
    later = await open_house()
    one, other = house.state.rooms["a"], later.state.rooms["a"]
    assert [*later.state.rooms] == [*house.state.rooms]
    for field in ("name", "key", "made", "count", "last", "members", "starts"):
        assert getattr(other, field) == getattr(one, field)
    assert (await later.history("a", 3)).messages[0].message == "200"


async def test_a_stop_is_clean(open_house: OpenHouse) -> None:
    """A server that stops closes everybody with 1001, and the others see them leave at once (line 27)."""
    house, other = await open_house(), await open_house()
    bob = await other.join(LOBBY, "Bob", None)
    members = [await house.join(LOBBY, "Ada", None) for _ in range(3)]
    watcher = house.watch(None)
    await receive(bob, 3)
    await house.drain()
    assert not house._farewells
    assert house.state.rooms[LOBBY].members.keys() == {bob.id}
    assert [(await end_of(each)).code for each in (*members, watcher)] == [1001] * 4
    assert [frame["type"] for frame in await receive(bob, 3)] == ["left"] * 3
    for attempt in (house.join(LOBBY, "Ada", None), house.make_room("a", None, "ada")):
        with pytest.raises(Unavailable, match="stops"):
            await attempt
    with pytest.raises(Unavailable, match="stops"):
        house.watch(None)


async def test_starting_over(replay: Replay) -> None:
    """Where there is another log, nothing of the one before is left."""
    house = replay.house
    replay.take(ROOMS, Made(LOBBY, "Lobby", "l", "own"))
    replay.take(SERVERS, *[Beat(house.server)] * PATIENCE)
    assert house.ready
    assert house._farewells
    house._start_over()
    assert not house.ready
    assert not house.state.rooms
    assert not house._farewells
    assert house._journal.position == 0
    replay.take(ROOMS, Made(LOBBY, "Lobby", "m", "own"))
    assert not house.ready


async def test_a_connection_that_has_ended_is_found_out(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a connection a beat is written even where nobody is: that tells if there will be one again."""
    monkeypatch.setattr(presence, "INTERVAL", 0.001)
    publisher = FakePublisher()
    replay.take(ROOMS, Made(LOBBY, "Lobby", "l", "own"))
    replay.take(SERVERS, Beat(replay.house.server))
    replay.house.state.population.clear()
    async with running_task(replay.house._keep_alive(cast("Publisher", publisher))):
        await until(lambda: publisher.beats == 1)
        publisher.connected = False
        await until(lambda: publisher.beats > 1)


class FakePublisher:
    """Counts the beats that it is given."""

    def __init__(self) -> None:
        self.connected = True
        self.beats = 0

    async def publish(self, topic: str, content: object) -> None:
        assert isinstance(content, Beat)
        self.beats += 1


async def test_nothing_can_be_written_after_the_end(open_house: OpenHouse) -> None:
    """A server that has stopped has no connection any more, and says so."""
    house = await open_house()
    await house.__aexit__(None, None, None)
    with pytest.raises(Unavailable, match="no connection"):
        await house._journal.write(SERVERS, Beat(house.server))


async def test_nothing_is_done_before_the_log_is_read(open_house: OpenHouse) -> None:
    """A server that does not know yet what there is says so."""
    house = await open_house(ready=False)
    assert not house.ready
    assert await house.problem()
    with pytest.raises(Unavailable, match="not ready"):
        await house.make_room("a", None, "ada")
    with pytest.raises(Unavailable, match="not ready"):
        house.watch(None)
    await until(lambda: house.ready)
    assert await house.problem() is None


async def test_a_defect_is_told(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that cannot go on is not healthy, and says why in its log."""
    house = await open_house(queue_wait=0.3)

    def fail(logged: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.state, "apply", fail)
    with pytest.raises(Unavailable):
        await house.make_room("a", None, "ada")
    problem = await house.problem()
    assert problem is not None
    assert "started again" in problem
    assert "ZeroDivisionError" in caplog.text


async def test_who_does_not_read_is_closed(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member who lets too much pile up is closed with 4008 and seen to leave; the others miss nothing."""
    monkeypatch.setattr(members_module, "MAX_WAITING", 20)
    house = await open_house()
    slow, quick = await house.join(LOBBY, "Slow", None), await house.join(LOBBY, "Quick", None)
    for n in range(30):
        await house.say(quick, str(n))
        assert brief(await receive(quick, 1)) == [("chat", "Quick", str(n))]
        if n == 19:
            assert brief(await receive(quick, 1)) == [("left", "Slow", "")]
    assert (await end_of(slow)).code == 4008
    assert [*house.state.rooms[LOBBY].members] == [quick.id]


async def test_watchers_see_what_happens(house: House) -> None:
    """Who watches is told of all rooms, then of each that is made, changed or deleted (line 31)."""
    watcher = house.watch(None)
    (rooms,) = await receive(watcher, 1)
    assert [room["roomId"] for room in rooms["rooms"]] == [LOBBY]
    room = await house.make_room("a", "A", "ada")
    (made,) = await receive(watcher, 1)
    assert made["made"]["roomId"] == "a"
    ada = await house.join("a", "Ada", None)
    await house.say(ada, "hi")
    (changed,) = await receive(watcher, 1)
    expected = {"roomId": "a", "roomName": "A", "members": 1, "messages": 1, "seq": room.last}
    assert changed["room"] == expected
    await house.delete_room("a", "ada")
    assert await receive(watcher, 1) == [{"deleted": {"roomId": "a"}}]


async def test_nothing_is_kept_of_those_who_left(house: House) -> None:
    """After hundreds have come and gone, objects, tasks and timers are those of before (lines 29 and 37)."""
    await house.make_room("a", None, "ada")
    await house.leave(await house.join("a", "Ada", None))
    await until(lambda: not house.state.population)
    tasks = len(asyncio.all_tasks())
    references: list[weakref.ref[LocalMember]] = []
    for _ in range(3):
        members = await asyncio.gather(*(house.join("a", "Ada", token()) for _ in range(100)))
        await asyncio.gather(*(house.say(member, "hi") for member in members))
        references += map(weakref.ref, members)
        for member in members:
            await house.leave(member)
        await until(lambda: not house.state.population)
    del members, member
    gc.collect()
    assert [*filter(None, (reference() for reference in references))] == []
    assert len(asyncio.all_tasks()) == tasks
    assert [*house._hall] == []
    assert not house._farewells
    assert not house._journal._waiting
    assert house.state.rooms["a"].members == {}
    again = await house.join("a", "Ada", None)
    await house.say(again, "still a room")
