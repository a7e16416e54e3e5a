"""Subscriptions from a position, from the last or latest messages, and the gaps told on the way."""

import msgspec
import pytest

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, contents, receive


async def test_resume_after_a_position(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """``after`` brings exactly what follows, from the log and then live (promise 4)."""
    for n in range(1, 1501):
        queue.store("t" if n % 2 else "other", n)
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, '{"sub":"t","after":100}') == {"subscribed": "t", "seq": 100}
    await queue.publish(("t", 1501))
    assert await contents(client, 701) == [*range(101, 1501, 2), 1501]


async def test_resume_from_memory(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """Records in memory are not read from msgqueue, so that many reconnects cost it nothing."""
    watcher = await dial(subscriber, "/subscribe")
    await ask(watcher, "sub t")
    await queue.publish(*(("t", n) for n in range(1, 101)))
    await contents(watcher, 100)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, "sub t after=90") == {"subscribed": "t", "seq": 90}
    assert await contents(client, 10) == list(range(91, 101))
    assert queue.reads == []


async def test_last(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """``last`` brings the newest so many of the topic, then what follows."""
    for n in range(1, 101):
        queue.store("t" if n % 10 == 0 else "other", n)
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, "sub t last=3") == {"subscribed": "t", "seq": 79}
    assert await contents(client, 3) == [80, 90, 100]
    assert await ask(client, '{"sub":"none","last":5}') == {"subscribed": "none", "seq": 100}
    assert await ask(client, '{"sub":"other","last":0}') == {"subscribed": "other", "seq": 100}
    await queue.publish(("t", 101))
    assert await contents(client, 1) == [101]


@pytest.mark.parametrize(
    "command",
    [
        "sub s.* latest=true",
        '{"Topic":"s.*","Content":"sub","latest":true}',
        '[{"sub":"s.*","latest":true}]',
    ],
)
async def test_latest(queue: StubQueue, start_service: StartService, dial: Dial, command: str) -> None:
    """The newest message of each topic, then what follows; later commands wait for that (line 49)."""
    for n in range(1, 301):
        queue.store(f"s.{n % 150}", n)
    queue.store("t", 301)
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, command) == {"subscribed": "s.*", "seq": 150, "latest": 301}
    await client.send("sub t after=0")
    assert await contents(client, 150) == list(range(151, 301))
    assert await receive(client) == [{"subscribed": "t", "seq": 0}]
    await queue.publish(("s.1", 302))
    assert await contents(client, 2) == [301, 302]


async def test_gap_is_named(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """When retention has removed part of what is asked for, the answer says which part (promise 4)."""
    for n in range(1, 51):
        queue.store("t", n)
    queue.floor = 30
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, "sub t after=11") == {
        "subscribed": "t",
        "seq": 11,
        "gap": {"from": 12, "to": 30},
    }
    assert await contents(client, 20) == list(range(31, 51))


async def test_gap_while_the_link_was_down_is_named(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """Also when retention was faster than the service, its subscribers are told (promise 4)."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.stop()
    for n in range(1, 11):
        queue.store("t", n)
    queue.floor = 4
    await queue.start()
    told, *messages = await receive(client, 7)
    assert told == {"gap": {"from": 1, "to": 4}}
    assert [message["content"] for message in messages] == [5, 6, 7, 8, 9, 10]


async def test_gap_on_the_way_is_named(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """A gap that msgqueue reports reaches the subscribers, in its place (promise 4)."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.publish(("t", 1))
    for n in (2, 3):
        queue.store("t", n)
    (link,) = queue.followers
    await link.send('{"gap":{"from":2,"to":3}}')
    await queue.publish(("t", 4))
    first, told, second = await receive(client, 3)
    assert (first["seq"], second["seq"]) == (1, 4)
    assert told == {"gap": {"from": 2, "to": 3}}


async def test_a_gap_during_an_interruption_is_told_on_resume(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """A subscriber that was away when the gap was reported gets it when it resumes (promise 4)."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.stop()
    for n in range(1, 11):
        queue.store("t", n)
    queue.floor = 4
    await queue.start()
    await receive(client, 7)
    late = await dial(subscriber, "/subscribe")
    assert await ask(late, "sub t after=0") == {"subscribed": "t", "seq": 0, "gap": {"from": 1, "to": 4}}
    assert await contents(late, 6) == [5, 6, 7, 8, 9, 10]
    assert await ask(late, "sub u after=7") == {"subscribed": "u", "seq": 7}


async def test_position_beyond_the_end(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """A position that no message has yet is refused, with the end of the log in the reason."""
    client = await dial(subscriber, "/subscribe")
    answer = await ask(client, "sub t after=7")
    assert (answer["error"], answer["sub"]) == ("bad-position", "t")
    assert "0" in answer["reason"]


async def test_position_that_has_not_arrived_here_yet(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """One who read further elsewhere gets only what follows, though it comes here later."""
    await ask(await dial(subscriber, "/subscribe"), "sub t")
    queue.store("t", 1)
    queue.store("t", 2)
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, "sub t after=2") == {"subscribed": "t", "seq": 2}
    assert await ask(client, "sub u") == {"subscribed": "u", "seq": 0}
    for connection in queue.connections:
        await connection.send(
            msgspec.json.encode([msgspec.Raw(record.body) for record in queue.log]), text=True
        )
    await queue.publish(("t", 3))
    assert await contents(client, 1) == [3]
