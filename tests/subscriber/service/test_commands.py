"""Wrong commands and too many of them harm their own connection only."""

import asyncio
from contextlib import suppress

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, contents, discard, keep_little_unread, receive


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
    """A frame of msgqueue that is no message is skipped, and delivery goes on (line 6)."""
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
