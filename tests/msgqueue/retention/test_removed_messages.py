"""Removed messages, as told to those who resume."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.msgqueue.conftest import OpenedStores
from tests.msgqueue.retention.conftest import trimmed
from tests.stubs import DEADLINE


async def receive(client: ClientConnection, count: int) -> list[Any]:
    async with asyncio.timeout(DEADLINE):
        frames = [json.loads(await client.recv()) for _ in range(count)]
    for frame in frames:
        if isinstance(frame, dict):
            frame.pop("epoch", None)
    return frames


async def publish(client: ClientConnection, topic: str, *contents: int) -> list[int]:
    """Publish, one after the other, and return the positions."""
    positions = []
    for content in contents:
        await client.send(json.dumps({"topic": topic, "content": content}))
        [ack] = await receive(client, 1)
        positions.append((ack[0] if isinstance(ack, list) else ack)["seq"])
    return positions


async def first_of_log(client: ClientConnection, topics: list[str]) -> int:
    """Return the position of the oldest message that msgqueue still has, over ``/popmsg``."""
    await client.send(json.dumps({"read": {"topics": topics, "after": 0, "limit": 1}}))
    [page] = await receive(client, 1)
    return int(page["messages"][0]["seq"]) if "messages" in page else 0


async def test_who_resumes_is_told_what_is_gone(start_service: StartService, dial: Dial) -> None:
    """The gap is that of the subscriber's own topics, and behind it comes everything left (promise 4)."""
    limits = {"recent_bytes": 1024, "retention": [{"topics": "few.*", "max_count": 3}]}
    queue = await start_service(open_msgqueue, **limits)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    pusher = await dial(publisher, "/publish")
    for n in range(10):
        await publish(pusher, "few.a", n)
        await publish(pusher, "all.a", n)
    await publish(pusher, "few.b", 0)
    await publish(pusher, "all.b", *range(20))  # pushes the others out of memory
    reader = await dial(queue, "/popmsg")
    while await first_of_log(reader, ["few.a"]) < 15:
        pass
    subscriber = await start_service(open_subscriber, queue_url=url)

    async def resume(pattern: str, after: int, count: int) -> tuple[Any, list[int]]:
        client = await dial(subscriber, "/subscribe")
        await client.send(f"sub {pattern} after={after}")
        answer, *messages = await receive(client, 1 + count)
        return answer, [message["seq"] for message in messages]

    assert await resume("few.a", 0, 3) == (
        {"subscribed": "few.a", "seq": 0, "gap": {"from": 1, "to": 13}},
        [15, 17, 19],
    )
    assert await resume("few.*", 5, 4) == (
        {"subscribed": "few.*", "seq": 5, "gap": {"from": 6, "to": 13}},
        [15, 17, 19, 21],
    )
    everything = [*range(2, 15, 2), *range(15, 42)]
    gap = {"from": 1, "to": 13}
    assert await resume(">", 0, len(everything)) == ({"subscribed": ">", "seq": 0, "gap": gap}, everything)
    assert await resume("few.a", 13, 3) == ({"subscribed": "few.a", "seq": 13}, [15, 17, 19])
    assert await resume("few.b", 0, 1) == ({"subscribed": "few.b", "seq": 0}, [21])
    assert await resume("all.a", 0, 10) == ({"subscribed": "all.a", "seq": 0}, list(range(2, 21, 2)))


async def test_removed_messages_in_memory_are_no_gap(start_service: StartService, dial: Dial) -> None:
    """Messages removed from disk and delivered from memory are not reported (promise 4)."""
    queue = await start_service(open_msgqueue, retention=[{"topics": "t", "max_count": 1}])
    client = await dial(queue, "/pushmsg")
    await client.send(json.dumps([{"topic": "t", "content": n} for n in range(5)]))
    await client.recv()
    await until(lambda: trimmed(queue) == 4)
    reader = await dial(queue, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    answer, messages = await receive(reader, 2)
    assert answer == {"popping": None, "seq": 0}
    assert [message["seq"] for message in messages] == [1, 2, 3, 4, 5]


async def test_positions_go_on_after_everything_was_removed(start_service: StartService, dial: Dial) -> None:
    """When all is gone, and after a restart, the next message gets the next position (promise 2)."""
    rules = [{"topics": ">", "max_age": 0.001}]
    first = await start_service(open_msgqueue, retention=rules)
    pusher = await dial(first, "/pushmsg")
    await pusher.send(json.dumps([{"topic": "t", "content": n} for n in range(7)]))
    await pusher.recv()
    await until(lambda: trimmed(first) == 7)
    await first.stop()
    second = await start_service(open_msgqueue)
    reader = await dial(second, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    assert await receive(reader, 1) == [{"popping": None, "seq": 0, "gap": {"from": 1, "to": 7}}]
    durable = await dial(second, "/popmsg")
    await durable.send('{"pop":{"consumer":"billing","after":3}}')
    assert await receive(durable, 1) == [{"popping": "billing", "seq": 3, "gap": {"from": 4, "to": 7}}]
    pusher = await dial(second, "/pushmsg")
    assert await publish(pusher, "t", 7) == [8]
    for client in (reader, durable):
        [[message]] = await receive(client, 1)
        assert message["seq"] == 8


async def test_a_reader_on_its_way_is_told_what_is_gone(
    start_service: StartService, dial: Dial, monkeypatch: pytest.MonkeyPatch, opened_stores: OpenedStores
) -> None:
    """A gap ahead of a late reader is named before the next message (promise 4)."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), recent_bytes=1024)
    pusher = await dial(queue, "/pushmsg")
    await pusher.send(json.dumps([{"topic": "t", "content": "x" * 100_000} for _ in range(6)]))
    await pusher.recv()
    [store] = opened_stores
    read = store.read

    async def read_and_trim(after: int, **how: Any) -> Any:
        if after == 2:
            await store.trim([3, 4])
        return await read(after, **how)

    monkeypatch.setattr(store, "read", read_and_trim)
    reader = await dial(queue, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    answer, first, gap, second = await receive(reader, 4)
    assert answer == {"popping": None, "seq": 0}
    assert [message["seq"] for message in first] == [1, 2]
    assert gap == {"gap": {"from": 3, "to": 4}}
    assert [message["seq"] for message in second] == [5, 6]
