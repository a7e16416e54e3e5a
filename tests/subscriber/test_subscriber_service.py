"""The subscriber between real clients and a stub of msgqueue."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.stub_queue import StubQueue


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubQueue]:
    """A stub of msgqueue's ``/popmsg``."""
    async with StubQueue(cert_dir) as stub:
        yield stub


@pytest.fixture
async def subscriber(queue: StubQueue, start_service: StartService) -> Service:
    """A subscriber service that follows the stub."""
    return await start_service(open_subscriber, queue_url=queue.url)


async def receive(client: ClientConnection, count: int = 1) -> list[dict[str, Any]]:
    """Receive frames, each of them one JSON object."""
    return [msgspec.json.decode(await client.recv()) for _ in range(count)]


async def contents(client: ClientConnection, count: int) -> list[Any]:
    """Receive messages, and return what is in them."""
    return [message["content"] for message in await receive(client, count)]


async def discard(client: ClientConnection) -> None:
    """Receive until the connection is closed, whatever comes."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()


def keep_little_unread(client: ClientConnection) -> None:
    """Make the kernel hold little of what the client does not read, so that its service notices early."""
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)


async def ask(client: ClientConnection, command: str) -> dict[str, Any]:
    """Send a command, and return the answer."""
    await client.send(command)
    (answer,) = await receive(client)
    return answer


async def ask_until_subscribed(client: ClientConnection, command: str) -> dict[str, Any]:
    """Send a command again for as long as the queue is said to be out of reach."""
    while (answer := await ask(client, command)).get("error") == "queue-unavailable":
        pass
    return answer


@pytest.mark.parametrize(
    ("sub", "unsub"),
    [
        ("sub orders.eu", "unsub orders.eu"),
        ('{"Topic":"orders.eu","Content":"sub"}', '{"topic":"orders.eu","CONTENT":"unsub"}'),
        ('{"sub":"orders.eu"}', '{"unsub":"orders.eu"}'),
    ],
)
async def test_sub_delivers_and_unsub_stops(
    queue: StubQueue, subscriber: Service, dial: Dial, sub: str, unsub: str
) -> None:
    """``sub`` delivers, a repeated one does not double, ``unsub`` stops; in all three spellings (line 5)."""
    client = await dial(subscriber, "/subscribe")
    assert await ask(client, sub) == {"subscribed": "orders.eu", "seq": 0}
    assert await ask(client, sub) == {"subscribed": "orders.eu", "seq": 0}
    await queue.publish(("orders.eu", 1), ("orders.us", 2), ("orders.eu", 3))
    first, second = await receive(client, 2)
    assert first == {"topic": "orders.eu", "content": 1, "seq": 1, "time": 1_700_000_000_000}
    assert (second["content"], second["seq"]) == (3, 3)
    assert await ask(client, unsub) == {"unsubscribed": "orders.eu"}
    await queue.publish(("orders.eu", 4))
    await until(lambda: subscriber.app.metrics.get_sample_value("fanline_log_head") == 4)
    assert await ask(client, "sub other") == {"subscribed": "other", "seq": 4}


async def test_wildcards(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """A pattern gets what it matches, and overlapping ones get each message once."""
    client = await dial(subscriber, "/subscribe")
    for command in ("sub orders.*", "sub orders.>", "sub *.eu"):
        await ask(client, command)
    await queue.publish(
        ("orders.eu", 1), ("orders.eu.new", 2), ("bills.eu", 3), ("orders", 4), ("orders.us", 5)
    )
    assert await contents(client, 4) == [1, 2, 3, 5]


async def test_many_subscribers_get_the_same_order(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """Every one of many subscribers gets every message once, in one order (line 7, promise 2)."""
    clients = [await dial(subscriber, "/subscribe") for _ in range(20)]
    for client in clients:
        await ask(client, "sub t")
    for start in range(0, 500, 50):
        await queue.publish(*(("t", n) for n in range(start, start + 50)))
    for client in clients:
        assert await contents(client, 500) == list(range(500))


async def test_one_message_per_frame(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """Frames are joined into one write, and still are one frame for each message."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.publish(*(("t", n) for n in range(10)))
    frames = [await client.recv() for _ in range(10)]
    assert all(isinstance(frame, str) and frame.startswith('{"topic"') for frame in frames)


async def test_lost_link_is_not_noticed(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """While the link to the queue is down subscribers stay, and afterwards they miss nothing (promise 4)."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.publish(("t", 1))
    await queue.stop()
    queue.store("t", 2)
    queue.store("t", 3)
    await queue.start()
    await queue.until(lambda: queue.is_popped)
    await queue.publish(("t", 4))
    assert await contents(client, 4) == [1, 2, 3, 4]


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


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("hello there", "bad-command"),
        ("sub", "bad-command"),
        ("sub t now=1", "bad-command"),
        ("sub t after=-1", "bad-position"),
        ("sub t after=x", "bad-position"),
        ("sub t after=1 last=1", "bad-command"),
        ("sub a..b", "bad-topic"),
        ("sub a.>.b", "bad-topic"),
        ("sub " + "x" * 256, "bad-topic"),
        ('{"sub":"a b"}', "bad-topic"),
        ('{"sub":""}', "bad-topic"),
        ('{"sub":7}', "bad-command"),
        ('{"Topic":"t","Content":"shout"}', "bad-command"),
        ("{", "bad-json"),
        ("[" * 10_000, "bad-json"),
        (b"sub \xff", "bad-json"),
        (b"\x00\x01", "bad-json"),
    ],
)
async def test_bad_command_harms_only_itself(
    queue: StubQueue, subscriber: Service, dial: Dial, command: str | bytes, code: str
) -> None:
    """A wrong command gets a clear error; its connection and all deliveries continue (line 6)."""
    other, client = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    await ask(other, "sub t")
    await client.send(command)
    (answer,) = await receive(client)
    assert answer["error"] == code or (code == "bad-json" and answer["error"] == "bad-command")
    assert answer["reason"]
    await ask(client, "sub t")
    await queue.publish(("t", 1))
    assert await contents(client, 1) == await contents(other, 1) == [1]


async def test_a_malformed_record_affects_no_subscriber(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """A frame of the queue that is no message is skipped, and delivery goes on (line 6)."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    for frame in ("not json", "[1,2]", "{}", ""):
        await queue.send(frame)
    await queue.publish(("t", 1))
    assert await contents(client, 1) == [1]


async def test_too_many_subscriptions(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """Beyond the limit a subscription is refused; those held, and repeats of them, go on."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, max_subscriptions=2)
    client = await dial(subscriber, "/subscribe")
    for topic in ("a", "b"):
        await ask(client, f"sub {topic}")
    assert (await ask(client, "sub c"))["error"] == "too-many-subscriptions"
    assert (await ask(client, "sub a"))["subscribed"] == "a"
    await ask(client, "unsub b")
    assert (await ask(client, "sub c"))["subscribed"] == "c"


async def test_a_flood_of_commands_does_not_stop_the_others(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """One that sends ``sub`` without end, and reads no answer, is slowed; the others get their messages."""
    flooder, client = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    flooder.transport.pause_reading()
    keep_little_unread(flooder)

    async def flood() -> None:
        while True:
            await flooder.send(msgspec.json.encode([{"sub": "flood." + "x" * 200}] * 100), text=True)

    flooding = asyncio.create_task(flood())
    connection = next(c for c in subscriber.connections if c.peer.port == flooder.local_address[1])
    await until(lambda: connection.paused)
    await queue.publish(*(("t", n) for n in range(100)))
    assert await contents(client, 100) == list(range(100))
    flooding.cancel()
    flooder.transport.abort()


async def test_a_large_frame_of_commands_gives_others_their_turn(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """Its commands are executed in slices, in order, before those of later frames."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, max_subscriptions=2_000)
    client, other = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    topics = [f"t.{n}" for n in range(2_000)]
    await client.send(msgspec.json.encode([{"sub": topic} for topic in topics]), text=True)
    await client.send(msgspec.json.encode([{"unsub": topic} for topic in topics]), text=True)
    assert (await ask(other, "sub t.7"))["subscribed"] == "t.7"
    assert [answer["subscribed"] for answer in await receive(client, 2_000)] == [
        f"t.{n}" for n in range(2_000)
    ]
    assert [answer["unsubscribed"] for answer in await receive(client, 2_000)] == [
        f"t.{n}" for n in range(2_000)
    ]


async def test_too_many_commands_of_a_frame_get_one_answer(subscriber: Service, dial: Dial) -> None:
    """A frame of elements that are no commands froze the service, and left gigabytes with it."""
    client = await dial(subscriber, "/subscribe")
    await client.send("[" + "1," * 30_000 + "1]")
    (answer,) = await receive(client)
    assert (answer["error"], "5,000" in answer["reason"]) == ("too-big", True)
    assert (await ask(client, "sub t"))["subscribed"] == "t"


async def test_frames_of_subscribers_are_small(subscriber: Service, dial: Dial) -> None:
    """A subscriber has no use for frames of more than 64 KiB: it is closed with 1009."""
    client = await dial(subscriber, "/subscribe")
    with suppress(ConnectionClosed):
        await client.send("x" * 65_537)
    await client.wait_closed()
    assert client.close_code == 1009


async def test_repeated_refusals_close_a_subscriber(subscriber: Service, dial: Dial) -> None:
    """A connection of which a thousand commands are refused is closed with 1008; others go on."""
    client, other = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    await client.send("[" + "1," * 4_000 + "1]")
    await discard(client)
    assert client.close_code == 1008
    assert (await ask(other, "sub t"))["subscribed"] == "t"


async def test_slow_subscriber_loses_nothing(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """One that stops reading leaves the live path, and later gets all of it, on the same connection."""
    subscriber = await start_service(
        open_subscriber, queue_url=queue.url, write_buffer=4096, recent_bytes=1_000_000
    )
    slow, fast = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    for client in (slow, fast):
        await ask(client, "sub t")
    slow.transport.pause_reading()
    connection = next(c for c in subscriber.connections if c.peer.port == slow.local_address[1])
    count = 0
    filler = "x" * 10_000
    while count < 2000 or not connection.paused:
        await queue.publish(*(("t", [count + n, filler]) for n in range(100)))
        got = await contents(fast, 100)
        assert [content[0] for content in got] == list(range(count, count + 100))
        count += 100
    assert connection.write_buffer_size < 2_000_000
    slow.transport.resume_reading()
    await queue.publish(("t", [count, "end"]))
    got = await contents(slow, count + 1)
    assert [content[0] for content in got] == list(range(count + 1))


async def test_readers_of_every_speed(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """With readers at half, a hundredth and no speed, a fast one gets each message at once.

    What is held for each of them in the service stays under the write buffer plus two pages, and all of them
    get everything in the end (promise 5).
    """
    write_buffer, count, filler = 8_192, 3_000, "x" * 2_000
    subscriber = await start_service(open_subscriber, queue_url=queue.url, write_buffer=write_buffer)
    fast, half, hundredth, none = [
        await dial(subscriber, "/subscribe", max_queue=1, write_limit=1_024) for _ in range(4)
    ]
    for client in (fast, half, hundredth, none):
        await ask(client, "sub t")
    none.transport.pause_reading()
    read: dict[ClientConnection, list[int]] = {half: [], hundredth: [], none: []}
    for number in range(count):
        await queue.publish(("t", [number, filler]))
        assert (await contents(fast, 1))[0][0] == number
        for client, share in ((half, 2), (hundredth, 100)):
            if number % share == 0:
                read[client].append((await contents(client, 1))[0][0])
        held = max(each.write_buffer_size for each in subscriber.connections)
        assert held <= write_buffer + 2 * 65_536
    assert sum(each.paused for each in subscriber.connections) == 2  # all of them but the fast and the half
    none.transport.resume_reading()
    for client, numbers in read.items():
        numbers += [content[0] for content in await contents(client, count - len(numbers))]
        assert numbers == list(range(count))


async def test_subscriber_that_never_reads_is_cut(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """One that makes no progress for the limit is closed with 4008; no other is affected (promise 5)."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, write_buffer=4096, silence_limit=1)
    stuck, fast = await dial(subscriber, "/subscribe"), await dial(subscriber, "/subscribe")
    for client in (stuck, fast):
        await ask(client, "sub t")
    stuck.transport.pause_reading()
    connection = next(c for c in subscriber.connections if c.peer.port == stuck.local_address[1])
    filler = "x" * 100_000
    count = 0
    while not connection.paused:
        await queue.publish(("t", [count, filler]))
        assert (await contents(fast, 1))[0][0] == count
        count += 1
    await until(lambda: not connection.is_open)
    stuck.transport.resume_reading()
    await discard(stuck)
    assert stuck.close_code == 4008
    await until(lambda: len(subscriber.connections) == 1)
    await queue.publish(("t", ["last", ""]))
    assert (await contents(fast, 1))[0][0] == "last"


async def test_queue_is_away_at_first(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """A subscription waits for the queue, and is refused when that takes too long."""
    await queue.stop()
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    client = await dial(subscriber, "/subscribe")
    answer = await ask(client, "sub t")
    assert (answer["error"], answer["sub"]) == ("queue-unavailable", "t")
    assert subscriber.app.readiness_problem()
    await queue.start()
    await until(lambda: subscriber.app.readiness_problem() is None)
    assert await ask_until_subscribed(client, "sub t") == {"subscribed": "t", "seq": 0}


async def test_queue_does_not_answer_a_resume(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """When the log cannot be read in time the subscription is refused, and ``/readyz`` tells."""
    queue.store("t", 1)
    queue.is_mute = True
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    client = await dial(subscriber, "/subscribe")
    assert (await ask(client, "sub t after=0"))["error"] == "queue-unavailable"
    problem = "msgqueue has not answered a request for more than 0.2 s"
    await until(lambda: subscriber.app.readiness_problem() == problem)
    queue.is_mute = False
    assert (await ask_until_subscribed(client, "sub t after=0"))["subscribed"] == "t"
    await until(lambda: subscriber.app.readiness_problem() is None)
    assert await contents(client, 1) == [1]


async def test_a_page_for_a_subscriber_that_left_is_not_read(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """Msgqueue is told that nothing waits for it any more."""
    queue.is_mute = True
    client = await dial(subscriber, "/subscribe")
    await client.send("sub t.* last=1")
    await queue.until(lambda: len(queue.reads) == 1)
    client.transport.abort()
    await queue.until(lambda: queue.cancelled == [queue.reads[0].ref])


async def test_archive_link_drops_in_the_middle(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """A page that was asked for when the link dropped is asked for again; nothing is missing."""
    for n in range(1, 1201):
        queue.store("t", n)
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    queue.is_mute = True
    await client.send("sub t after=0")
    await queue.until(lambda: bool(queue.reads))
    queue.is_mute = False
    queue.drop()
    assert (await receive(client))[0]["subscribed"] == "t"
    assert await contents(client, 1200) == list(range(1, 1201))


async def test_log_replaced(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """When the queue's log is another one, subscribers are sent away: their positions mean nothing in it."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.publish(("t", 1), ("t", 2))
    await contents(client, 2)
    await queue.stop()
    queue.log.clear()
    await queue.start()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1013
    again = await dial(subscriber, "/subscribe")
    assert await ask(again, "sub t") == {"subscribed": "t", "seq": 0}


@pytest.mark.parametrize(
    "evasion",
    [{"error": "queue-unavailable", "reason": "the disk is away"}, {"drain": {"retry_ms": 1}}],
    ids=["queue-unavailable", "drain"],
)
async def test_subscribers_stay_when_the_queue_evades(
    queue: StubQueue, subscriber: Service, dial: Dial, evasion: object
) -> None:
    """Only an unknown position means another log; after any other answer the log is followed again."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    queue.evasions.append(evasion)
    queue.store("t", 1)
    queue.drop()
    assert await contents(client, 1) == [1]
    assert not queue.evasions


# The plain dialect, frame by frame, as the original Go programs speak it (line 9).


async def test_plain_subscriber_gets_messages_and_nothing_else(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """A plain client gets no answer to any command, and messages as Topic and Content (line 9)."""
    plain = await dial(subscriber, "/subscribe", v1=False)
    for frame in (
        "",
        "nonsense",
        "{",
        '{"Topic":"t","Content":"shout"}',
        '{"Topic":"a b","Content":"sub"}',
        '{"Topic":"t","Content":"sub"}',
        '{"Topic":"t","Content":"sub"}',
        '{"Topic":"u","Content":"sub"}',
        '{"Topic":"u","Content":"unsub"}',
    ):
        await plain.send(frame)
    await (await plain.ping())
    await asyncio.sleep(0)
    await queue.publish(("u", "no"), ("t", "words"), ("t", {"n": 1}), ("t", None))
    got = await receive(plain, 3)
    assert [(frame["Topic"], frame["Content"]) for frame in got] == [
        ("t", "words"),
        ("t", '{"n":1}'),
        ("t", "null"),
    ]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.recv(), 0.05)


async def test_plain_and_v1_side_by_side(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """Subscribers of both dialects to one topic each get it in theirs."""
    plain, v1 = await dial(subscriber, "/subscribe", v1=False), await dial(subscriber, "/subscribe")
    await plain.send("sub t")
    await (await plain.ping())
    await ask(v1, "sub t")
    await queue.publish(("t", "x"))
    assert (await receive(plain))[0]["Content"] == "x"
    assert (await receive(v1))[0]["content"] == "x"


async def test_plain_queue(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """Behind a Go msgqueue messages are delivered, without positions; what would need one is refused."""
    queue.speaks_v1 = False
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    plain, v1 = await dial(subscriber, "/subscribe", v1=False), await dial(subscriber, "/subscribe")
    await plain.send('{"Topic":"t","Content":"sub"}')
    await (await plain.ping())
    assert await ask(v1, "sub t") == {"subscribed": "t"}
    assert (await ask(v1, "sub u after=0"))["error"] == "resume-unavailable"
    assert (await ask(v1, "sub u last=1"))["error"] == "resume-unavailable"
    for frame in ('{"Topic":"t","Content":"one"}', "not json", "", '{"Topic":"t","Content":"two"}'):
        await queue.send(frame)
    assert await receive(plain, 2) == [{"Topic": "t", "Content": "one"}, {"Topic": "t", "Content": "two"}]
    assert await receive(v1, 2) == [{"topic": "t", "content": "one"}, {"topic": "t", "content": "two"}]


async def test_plain_queue_has_one_connection_that_stays(
    queue: StubQueue, start_service: StartService, cert_dir: Path
) -> None:
    """A Go msgqueue gives every connection a share, also a lost one, and answers no ping (line 9)."""
    queue.speaks_v1 = False
    async with StubQueue(cert_dir) as v1_queue:
        for stub in (queue, v1_queue):
            await start_service(open_subscriber, queue_url=stub.url, ping_interval=0.1, silence_limit=0.1)
            await stub.until(lambda stub=stub: bool(stub.connections))  # type: ignore[misc]
            stub.deafen()
        for losses in (1, 2):  # by the second one, the plain link would be lost and made again
            await v1_queue.until(lambda losses=losses: len(v1_queue.paths) > 2 * losses)  # type: ignore[misc]
            v1_queue.deafen()
    assert queue.paths == ["/popmsg"]


async def test_plain_queue_passes_on_what_is_no_text(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """A text frame that is not UTF-8, which a Go msgqueue hands on, is skipped; the link stays (line 9)."""
    queue.speaks_v1 = False
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    plain = await dial(subscriber, "/subscribe", v1=False)
    await plain.send("sub t")
    await (await plain.ping())
    await queue.until(lambda: bool(queue.connections))
    for connection in queue.connections:
        for frame in (b"\x00\xff", b'{"Topic":"t","Content":"\xff"}', b'{"Topic":"t","Content":"good"}'):
            await connection.send(frame, text=True)
    assert [frame["Content"] for frame in await receive(plain)] == ["good"]
    assert queue.paths == ["/popmsg"]


async def test_queue_replaced_by_one_of_the_other_dialect(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """Positions mean nothing to a plain queue, nor those before it to the next: subscribe again (line 9)."""
    queue.store("t", 1)
    for speaks_v1, answer in ((False, {"subscribed": "t"}), (True, {"subscribed": "t", "seq": 1})):
        client = await dial(subscriber, "/subscribe")
        await ask(client, "sub t")
        await queue.stop()
        queue.speaks_v1 = speaks_v1
        await queue.start()
        await discard(client)
        assert client.close_code == 1013
        assert await ask(await dial(subscriber, "/subscribe"), "sub t") == answer


async def test_plain_subscriber_is_there_before_the_queue(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """A plain client cannot be told that there is no queue; its subscription waits, however long (line 9)."""
    await queue.stop()
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.1)
    plain, v1 = await dial(subscriber, "/subscribe", v1=False), await dial(subscriber, "/subscribe")
    await plain.send('{"Topic":"t","Content":"sub"}')
    await (await plain.ping())
    assert (await ask(v1, "sub t"))["error"] == "queue-unavailable"
    await queue.start()
    await queue.until(lambda: queue.is_popped)
    await queue.publish(("t", "x"))
    assert (await receive(plain))[0]["Content"] == "x"
