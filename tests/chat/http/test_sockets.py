"""The WebSockets of chat, over real TLS, on a real pipeline."""

import asyncio
import gc
import json
from collections.abc import Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from chat.http.frames import FRAME_BYTES
from chat.http.sockets import IN_FLIGHT, MemberConnection
from fanline.errors import ErrorCode
from fanline.protocol import MAX_POSITION, Ack
from fanline.server import Connection
from tests.chat.client import BOTH, ChatClient, bearer
from tests.chat.conftest import StartChat
from tests.conftest import until
from tests.stubs import DEADLINE

# Coming in.


@BOTH
async def test_the_first_frame_is_the_own_join(chat: ChatClient, v1: bool) -> None:
    """One's own ``joined`` comes first, with one's id and name; the others see it as well (lines 16, 23)."""
    other = await chat.enter()
    member = await chat.open("/join", token=await chat.log_in("Ada"), v1=v1)
    me = await member.hear()
    assert me["self"] is True
    assert (me["type"], me["memberName"], me["roomId"]) == ("joined", "Ada", "lobby")
    seen = await other.hear()
    assert seen == {name: value for name, value in me.items() if name != "self"}


async def test_joining_the_lobby_needs_a_good_token(chat: ChatClient) -> None:
    """Without a token /join answers 400, with one that is not good 401 (line 14)."""
    assert (await chat.refused("/join"))[0] == 400
    status, problem = await chat.refused("/join", token="nonsense")
    assert (status, problem["code"]) == (401, "unauthorized")
    assert problem["detail"] == "the token is malformed: log in again"
    token = await chat.log_in()
    await chat.http.post("/logout", params={"token": token})
    assert (await chat.refused("/join", token=token))[0] == 401


async def test_the_token_may_be_in_the_header(chat: ChatClient) -> None:
    """A client that can send headers shows its token there (line 14)."""
    headers = {"Authorization": f"Bearer {await chat.log_in('Ada')}"}
    member = await chat.open("/join", additional_headers=headers)
    assert (await member.hear())["memberName"] == "Ada"


async def test_guests_have_a_random_name_and_are_new_each_time(chat: ChatClient) -> None:
    """Without a login one is called by two random words; who comes back is a new member (line 23)."""
    await chat.make_room("cellar")
    ids = set()
    for _ in range(2):
        member = await chat.open("/api/serve/cellar")
        me = await member.hear()
        assert len(me["memberName"].split()) == 2
        ids.add(me["memberId"])
        await member.connection.close()
    assert len(ids) == 2


async def test_a_server_without_guests_wants_a_token(start_chat: StartChat) -> None:
    """Where guests are not allowed, every WebSocket needs a token."""
    chat = await start_chat(chat_guests=False)
    for path in ("/api/serve/lobby", "/api/serve/nowhere", "/api/feed"):
        assert (await chat.refused(path))[0] == 401
    await chat.enter(token=await chat.log_in())


async def test_an_unknown_room_is_an_error(chat: ChatClient) -> None:
    """Where there is no room there is no open socket, but 404 and a sentence (line 24)."""
    status, problem = await chat.refused("/api/serve/nowhere")
    assert (status, problem["code"]) == (404, "unknown-room")
    for path in ("/api/serve/", "/api/serve/a/b", f"/api/serve/{'x' * 1000}", "/api/rooms", "/"):
        assert (await chat.refused(path))[0] == 404


async def test_a_bad_position_is_an_error(chat: ChatClient) -> None:
    """An invalid position is refused."""
    for after in ("", "x", "-1", "1.5", "1e3", "²", str(MAX_POSITION + 1), "9" * 5000):
        status, problem = await chat.refused(f"/api/serve/lobby?after={after}")
        assert (status, problem["code"]) == (400, ErrorCode.BAD_POSITION)


async def test_pages_of_other_sites_are_refused(chat: ChatClient, start_chat: StartChat) -> None:
    """A cross-origin WebSocket is refused with 403, unless the setting allows the site."""
    status, problem = await chat.refused("/api/serve/lobby", origin="https://evil.example")
    assert (status, problem["code"]) == (403, "foreign-origin")
    await chat.enter(origin=f"https://localhost:{chat.server.port}")
    friendly = await start_chat(allowed_origins=["https://friend.example"])
    await friendly.enter(origin="https://friend.example")
    assert (await friendly.refused("/api/feed", origin="https://evil.example"))[0] == 403


# Talking.


async def test_plain_text_is_a_message(chat: ChatClient) -> None:
    """In the plain protocol a frame is the message, verbatim (line 23)."""
    ada, bob = await chat.enter(), await chat.enter()
    for said in ("hello", '{"message":"not JSON here"}', " two\nlines ", "<b>ünïcödé</b> 🦦"):
        await ada.say(said)
        assert (await bob.hear_chat(1)) == [said]
    await ada.connection.send(b"bytes that are text")
    assert (await bob.hear_chat(1)) == ["bytes that are text"]


async def test_all_members_get_each_message_once_in_one_order(chat: ChatClient) -> None:
    """Members of either protocol see the same messages in the same order, their own included."""
    members = [await chat.enter(v1=v1) for v1 in (False, True, False, True)]
    await asyncio.gather(
        *(ada.say(f"{number} {turn}") for number, ada in enumerate(members) for turn in range(50))
    )
    heard = [await member.hear_chat(200) for member in members]
    assert sorted(heard[0]) == sorted(f"{number} {turn}" for number in range(4) for turn in range(50))
    assert all(each == heard[0] for each in heard)
    for number in range(4):  # the messages of one member keep their order
        assert [said for said in heard[0] if said.startswith(f"{number} ")] == [
            f"{number} {t}" for t in range(50)
        ]


async def test_one_token_on_two_sockets(chat: ChatClient) -> None:
    """Two sockets of one token are two members of one name, and both receive everything (line 19)."""
    token = await chat.log_in("Ada")
    first, second = await chat.open("/join", token=token), await chat.open("/join", token=token)
    one, two = await first.hear(), await second.hear()
    assert one["memberId"] != two["memberId"]
    assert one["memberName"] == two["memberName"] == "Ada"
    await first.say("from the first")
    await second.say("from the second")
    assert (
        sorted(await first.hear_chat(2))
        == sorted(await second.hear_chat(2))
        == ["from the first", "from the second"]
    )
    room = (await chat.http.get("/api/room/lobby")).json()
    assert [member["name"] for member in room["members"]] == ["Ada", "Ada"]


async def test_an_acknowledgement_has_the_position(chat: ChatClient) -> None:
    """In v1 a message is acknowledged when it is stored, under its id, with its position (line 25)."""
    member = await chat.enter(v1=True)
    await member.say("hello", id="a1")
    assert (await member.hear_of(ok="a1")).keys() == {"ok", "seq"}
    messages = (await chat.http.get("/api/room/lobby/messages")).json()
    assert messages[-1]["message"] == "hello"


async def test_a_message_sent_again_is_stored_once(chat: ChatClient) -> None:
    """The same id with the same token, also on another connection, is one message, acknowledged alike."""
    token = await chat.log_in()
    positions = set()
    for _ in range(2):
        member = await chat.enter(token=token, v1=True)
        for _ in range(2):
            await member.say("only once", id="a1")
            positions.add((await member.hear_of(ok="a1"))["seq"])
        await member.connection.close()
    assert len(positions) == 1
    assert (await chat.http.get("/api/room/lobby?details=true")).json()["messages"] == 1


async def test_frames_may_be_arrays_both_ways(chat: ChatClient) -> None:
    """In v1 frames are arrays in both directions, and those of the server have a limited size."""
    talker = await chat.enter(v1=True)
    for _ in range(4):
        await talker.connection.send(json.dumps([{"message": "x" * 1000}] * 50))
    assert await talker.hear_chat(200) == ["x" * 1000] * 200
    reader = await chat.open("/api/serve/lobby", v1=True, after=0)
    frames: list[str] = []
    async with asyncio.timeout(DEADLINE):
        while sum(frame.count('"type":"chat"') for frame in frames) < 200:
            frames.append(str(await reader.connection.recv()))
    assert FRAME_BYTES < sum(map(len, frames)) < 10 * FRAME_BYTES
    assert len(frames) < 10
    assert all(len(frame) < FRAME_BYTES + 2_000 for frame in frames)


async def test_an_invalid_frame_is_refused_alone(chat: ChatClient) -> None:
    """An invalid frame is refused with a reason, and the connection stays open (line 6)."""
    talker, other = await chat.enter(v1=True), await chat.enter()
    for number, (frame, code, message_id) in enumerate([
        ("nonsense", "bad-json", None),
        ("[1", "bad-json", None),
        ("[" * 60_000, "bad-json", None),
        ('{"x":' + "[" * 60_000, "bad-json", None),
        ("[[1]]", "bad-message", None),
        ('{"text": "hello"}', "bad-message", None),
        ('{"message": 7, "id": "a1"}', "bad-message", "a1"),
        ('{"message": "hello", "id": 7}', "bad-message", None),
        ('{"message": "", "id": "a1"}', "bad-message", "a1"),
        ('{"message": " \\n\\t ", "id": "a1"}', "bad-message", "a1"),
        ('{"message": "\\ud800", "id": "a1"}', "bad-json", None),
        ('{"message": "' + "x" * 16_385 + '", "id": "a1"}', "too-big", "a1"),
    ]):  # fmt: skip
        await talker.connection.send(frame)
        answer = await talker.hear_of(error=code)
        assert answer["reason"]
        assert answer.get("id") == message_id
        await talker.say(f"still here {number}")
        assert await talker.hear_chat(1) == [f"still here {number}"]
        assert await other.hear_chat(1) == [f"still here {number}"]


async def test_a_line_that_is_no_message(chat: ChatClient) -> None:
    """An empty or too long text is refused, and so are bytes that are not text."""
    talker, other = await chat.enter(), await chat.enter()
    await talker.hear_of(type="joined")
    bad: list[tuple[str | bytes, str]] = [
        ("  ", "bad-message"),
        ("x" * 16_385, "too-big"),
        (b"\xff\xfe", "bad-message"),
    ]
    for frame, code in bad:
        await talker.connection.send(frame)
        assert (await talker.hear())["error"] == code
    await talker.say("x" * 16_384)
    assert len((await other.hear())["message"]) == 16_384


async def test_a_frame_that_is_too_big(chat: ChatClient) -> None:
    """A frame over the limit closes its own connection with 1009, and no other."""
    talker, other = await chat.enter(), await chat.enter()
    with suppress(ConnectionClosed):
        await talker.connection.send("x" * 10_000_000)
    assert (await talker.end())[0] == 1009
    assert (await other.hear())["type"] == "left"


async def test_injected_markup_comes_back_verbatim(chat: ChatClient) -> None:
    """Names, room names and messages are data: whatever is in them comes back as it was."""
    for number, hostile in enumerate(
        [
            "<script>alert(1)</script>",
            "'; DROP TABLE rooms; --",
            "{{7*7}}",
            "${7*7}",
            '"},{"type":"left"',
            "\\u0000",
        ]
    ):
        room = await chat.http.post("/api/room", params={"id": f"r{number}", "name": hostile})
        assert room.json()["roomName"] == hostile
        member = await chat.open(f"/api/serve/r{number}", token=await chat.log_in(hostile), v1=True)
        assert (await member.hear())["memberName"] == hostile
        await member.say(hostile)
        assert (await member.hear_of(type="chat"))["message"] == hostile
        shown = await chat.http.get(f"/api/room/r{number}/messages")
        assert shown.json()[-1]["message"] == hostile
        assert shown.headers["Content-Type"] == "application/json"
        assert shown.headers["X-Content-Type-Options"] == "nosniff"


async def test_rooms_do_not_leak(chat: ChatClient) -> None:
    """A message is delivered in its own room only (line 26)."""
    rooms = ("a", "ab", "a-b", "A")
    members = []
    for room in rooms:
        await chat.make_room(room)
        members.append(await chat.enter(room))
    for room, member in zip(rooms, members, strict=True):
        await member.say(f"in {room}")
    for room, member in zip(rooms, members, strict=True):
        heard = await member.hear()
        assert (heard["roomId"], heard["message"]) == (room, f"in {room}")
        await member.say("last")
        assert (await member.hear())["message"] == "last"


# The feed.


async def test_the_feed_tells_of_rooms(chat: ChatClient) -> None:
    """The feed begins with all rooms, and tells which are made and deleted, and what happens in them."""
    watcher = await chat.open("/api/feed")
    (lobby,) = (await watcher.hear())["rooms"]
    assert lobby["roomId"] == "lobby"
    await chat.make_room("cellar")
    assert (await watcher.hear())["made"]["roomId"] == "cellar"
    member = await chat.enter("cellar", v1=True)
    await member.say("hello", id="a1")
    seq = (await member.hear_of(ok="a1"))["seq"]
    news = await watcher.hear()
    while news["room"]["messages"] == 0:
        news = await watcher.hear()
    found = {name: news["room"][name] for name in ("roomId", "members", "messages", "seq")}
    assert found == {"roomId": "cellar", "members": 1, "messages": 1, "seq": seq}
    await watcher.connection.send("it has no ears")
    await chat.http.delete("/api/room/cellar")
    assert (await watcher.hear()) == {"deleted": {"roomId": "cellar"}}


async def test_a_token_may_be_a_subprotocol(chat: ChatClient) -> None:
    """A token among the subprotocols is a login, for rooms and for the feed, and is not sent back."""
    token = await chat.log_in("Ada")
    offered = [Subprotocol("fanline.chat.v1"), Subprotocol(f"fanline.token.{token}")]
    member = await chat.open("/join", subprotocols=offered)
    watcher = await chat.open("/api/feed", subprotocols=offered)
    assert [each.connection.subprotocol for each in (member, watcher)] == ["fanline.chat.v1"] * 2
    assert (await member.hear())["memberName"] == "Ada"
    await chat.http.post("/logout", headers=bearer(token))
    assert [(await each.end())[0] for each in (member, watcher)] == [4001, 4001]


async def test_the_feed_gets_all_of_many_rooms(start_chat: StartChat) -> None:
    """A feed over the wire begins with all pages of the list."""
    chat = await start_chat(chat_rooms_per_person=500, chat_guest_rooms_per_hour=1_000)
    for number in range(0, 210, 10):  # more at a time would hold up all else, as each takes a connection
        await asyncio.gather(*(chat.make_room(f"r{number + more}") for more in range(10)))
    watcher = await chat.open("/api/feed")
    pages = [await watcher.hear(), await watcher.hear()]
    assert [(len(page["rooms"]), page.get("more")) for page in pages] == [(200, True), (11, None)]
    await chat.make_room("last")
    assert (await watcher.hear_of())["made"]["roomId"] == "last"


async def test_closed_connections_are_freed_without_the_collector(chat: ChatClient) -> None:
    """Memory of a member or of a page that has left is not kept until the collector comes."""
    await chat.make_room("r")
    gc.disable()
    try:
        before = open_connections()
        opened = [await chat.open(path) for path in ("/api/serve/r", "/api/feed") * 2]
        for member in opened:
            await member.hear()
        assert open_connections() == before + len(opened)
        for member in opened[:2]:
            member.connection.transport.abort()
        for member in opened[2:]:
            await member.connection.close()
        await until(lambda: open_connections() == before)
    finally:
        gc.enable()


def open_connections() -> int:
    """Return how many connections of servers are in memory."""
    return sum(type(each) is Connection for each in gc.get_objects())


class FailingRoom:
    """A chat whose messages fail by a defect, as a member's connection sees it, and the connection itself."""

    peer = SimpleNamespace(address="192.0.2.1")
    is_open, paused = True, False

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.has_left = False

    async def say(self, _member: object, text: str, _key: str | None) -> Ack:
        if text != "good":
            raise LookupError(text)
        return Ack("1", 1)

    def leave(self, _member: object) -> None:
        self.has_left = True

    def create_task(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    def write(self, _frames: bytes) -> None:
        """Nothing is looked at."""

    pause_reading = resume_reading = lambda self: None


async def test_a_member_leaves_after_a_defect() -> None:
    """Messages that fail by a defect neither hold up the next one nor keep a member in the room (line 23)."""
    room: Any = FailingRoom()
    answers: list[bytes] = []
    member: Any = SimpleNamespace(
        id="m", user="u", token=None, first=b"{}", end=None, push=answers.append, take_all=list
    )
    rates: Any = SimpleNamespace(message_delay=lambda *_: 0)
    connection = MemberConnection(room, member, room, rates, is_v1=True, after=None)
    texts = ["bad"] * 2 * IN_FLIGHT + ["good", "bad"]
    connection.on_frame(json.dumps([{"message": text} for text in texts]).encode())
    connection.on_close()
    while not all(task.done() for task in room.tasks):
        await asyncio.wait(room.tasks)
    assert [repr(task.exception()) for task in room.tasks].count("LookupError('bad')") == len(texts) - 1
    assert len(answers) == 1
    assert room.has_left
