"""Tests of one publishing connection that does too much: others are not held up."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
from websockets.exceptions import ConnectionClosed

from fanline.queue.fair_queue import QUANTUM
from fanline.security.users import User, UsersFile
from fanline.server import Service
from publisher.app import open_publisher
from tests.conftest import Dial, StartService
from tests.conftest import receive_objects as answers
from tests.stubs import DEADLINE, StubPublisher

FLOOD = 9_000


async def test_a_flood_does_not_hold_up_other_connections(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """While thousands of messages of one wait for msgqueue, that of another overtakes most of them."""
    queue.holding = True
    flooder, client = await dial(publisher, "/publish"), await dial(publisher, "/publish")
    for start in range(0, FLOOD, 250):
        frame = [{"topic": "t", "content": n} for n in range(start, start + 250)]
        await flooder.send(msgspec.json.encode(frame), text=True)
    await (await flooder.ping())  # the pong comes when all of these have been taken
    await client.send('{"topic":"t","content":"other","id":"a"}')
    await queue.release()
    (ack,) = await answers(client, 1)
    assert ack["ok"] == "a"
    got: list[object] = []
    while len(got) < FLOOD:
        frame = msgspec.json.decode(await flooder.recv())
        got += frame if isinstance(frame, list) else [frame]
    assert queue.contents.index("other") < FLOOD // 2
    assert [content for content in queue.contents if content != "other"] == list(range(FLOOD))


async def test_a_user_without_a_backlog_need_not_wait(
    queue: StubPublisher, start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """While msgqueue has not acked a flood, a little of another user is on its way all the same."""
    users = UsersFile(tmp_path / "users")
    for name in ("eve", "bob"):
        users.put(User(name), "secret", cost=4)
    publisher = await start_service(open_publisher, queue_url=queue.url, users_file=users.path)
    flooder = await dial(publisher, "/publish", user="eve", password="secret")
    client = await dial(publisher, "/publish", user="bob", password="secret")
    queue.holding = True
    for start in range(0, FLOOD, 250):
        frame = [{"topic": "t", "content": n} for n in range(start, start + 250)]
        await flooder.send(msgspec.json.encode(frame), text=True)
    await (await flooder.ping())  # the pong comes when all of these have been taken
    large = "x" * QUANTUM
    await client.send(
        msgspec.json.encode([{"topic": "t", "content": c} for c in ("little", large)]), text=True
    )
    async with asyncio.timeout(DEADLINE):
        while "little" not in queue.contents:
            await asyncio.sleep(0.005)
    assert len(queue.contents) < FLOOD // 2
    assert large not in queue.contents
    await queue.release()
    assert all("ok" in answer for answer in await answers(client, 2))


async def test_too_many_messages_of_a_frame_get_one_answer(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """A legal frame of two million elements was answered with 226 MB; now with one refusal."""
    client = await dial(publisher, "/publish")
    await client.send("[" + "1," * 2_000_000 + "1]")
    await client.send(msgspec.json.encode([{"topic": "t", "content": n} for n in range(5_001)]), text=True)
    await client.send('{"topic":"t","content":"good","id":"good"}')
    first, second, third = await answers(client, 3)
    assert (first["error"], second["error"], third["ok"]) == ("bad-message", "too-big", "good")
    assert "5,000" in str(second["reason"])
    assert queue.contents == ["good"]


async def test_a_large_frame_gives_others_their_turn(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """The messages of a frame are taken in slices, before those of later frames, and in order."""
    client, other = await dial(publisher, "/publish"), await dial(publisher, "/publish")
    await client.send(msgspec.json.encode([{"topic": "t", "content": n} for n in range(5_000)]), text=True)
    await client.send('{"topic":"t","content":5000}')
    await other.send('{"topic":"t","content":"other"}')
    assert "ok" in (await answers(other, 1))[0]
    assert all("ok" in answer for answer in await answers(client, 5_001))
    assert [n for n in queue.contents if n != "other"] == list(range(5_001))
    assert len(queue.frames) > 2


async def test_a_large_frame_counts_though_its_sender_left(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """All of a frame that arrived is forwarded, and what came after it, in order."""
    client = await dial(publisher, "/publish")
    await client.send(msgspec.json.encode([{"topic": "t", "content": n} for n in range(5_000)]), text=True)
    await client.send('{"topic":"t","content":5000}')
    await client.close()
    await queue.until(lambda: queue.contents == list(range(5_001)))


async def test_repeated_refusals_close_the_connection(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """A connection of which a thousand messages are refused is closed with 1008; others go on."""
    client, other = await dial(publisher, "/publish"), await dial(publisher, "/publish")
    with suppress(ConnectionClosed):
        while True:
            await client.send("[" + "1," * 1_999 + "1]")
            await client.recv()
    assert client.close_code == 1008
    assert "refusals" in str(client.close_reason)
    await other.send('{"topic":"t","content":1,"id":"a"}')
    assert await answers(other, 1) == [{"ok": "a", "seq": 1}]
