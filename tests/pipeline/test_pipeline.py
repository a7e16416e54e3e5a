"""All three services together, as processes of their own, over real TLS (line 10)."""

import asyncio
import os
import resource
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanline import Publisher, Subscriber
from tests.conftest import open_websocket
from tests.processes import Pipeline
from tests.stubs import PASSWORD, USER


@pytest.fixture
async def pipeline(tmp_path: Path, cert_dir: Path) -> AsyncIterator[Pipeline]:
    """A running pipeline."""
    async with Pipeline(tmp_path, cert_dir) as running:
        yield running


def publisher_to(pipeline: Pipeline, tls: ssl.SSLContext) -> Publisher:
    return Publisher(pipeline.publisher.url, user=USER, password=PASSWORD, tls=tls)


def subscriber_to(
    pipeline: Pipeline, tls: ssl.SSLContext, *topics: str, after: int | None = None
) -> Subscriber:
    return Subscriber(
        *topics, url=pipeline.subscriber.url, user=USER, password=PASSWORD, tls=tls, after=after
    )


async def take(subscriber: Subscriber, count: int) -> list[object]:
    """Return the contents of the next messages."""
    return [(await anext(subscriber)).value() for _ in range(count)]


async def test_round_trip(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """A message goes from a publisher through msgqueue to every subscriber of its topic (line 10)."""
    async with (
        publisher_to(pipeline, tls) as publisher,
        subscriber_to(pipeline, tls) as first,
        subscriber_to(pipeline, tls) as second,
    ):
        await first.subscribe("orders.eu")
        await second.subscribe("orders.>")
        ack = await publisher.publish("orders.eu", {"n": 1})
        for subscriber in (first, second):
            message = await anext(subscriber)
            assert (message.topic, message.value(), message.seq) == ("orders.eu", {"n": 1}, ack.seq)
            assert message.sender == USER


async def test_many_at_once(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """Several publishers and subscribers at once: each gets everything once, in one order (line 7)."""
    subscribers = [subscriber_to(pipeline, tls) for _ in range(5)]
    publishers = [publisher_to(pipeline, tls) for _ in range(5)]

    async def publish(number: int) -> None:
        async with publishers[number] as publisher:
            for n in range(200):
                await publisher.send(f"t.{number}", [number, n])

    async def receive(subscriber: Subscriber) -> list[object]:
        async with subscriber:
            await subscriber.subscribe("t.*")
            ready.release()
            return await take(subscriber, 1000)

    ready = asyncio.Semaphore(0)
    receiving = [asyncio.create_task(receive(subscriber)) for subscriber in subscribers]
    for _ in subscribers:
        await ready.acquire()
    await asyncio.gather(*(publish(number) for number in range(5)))
    orders = await asyncio.gather(*receiving)
    assert all(order == orders[0] for order in orders)
    for number in range(5):
        assert [each for each in orders[0] if each[0] == number] == [[number, n] for n in range(200)]  # type: ignore[index]


async def test_everything_killed_in_the_middle(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """All three killed with SIGKILL, again and again: nothing acked is lost, doubled or out of order.

    Promises 1 to 4 and 6: the clients reconnect and resume by themselves.
    """
    count = 1200
    acked = 0

    async def publish() -> None:
        nonlocal acked
        async with publisher_to(pipeline, tls) as publisher:
            for n in range(count):
                await publisher.send("t", n)
                if n % 50 == 0:
                    await publisher.flush()
                    acked = n

    async with subscriber_to(pipeline, tls, "t", after=0) as subscriber:
        publishing = asyncio.create_task(publish())
        receiving = asyncio.create_task(take(subscriber, count))
        for round_number in range(2):
            goal = (round_number + 1) * 400
            while acked < goal:
                await asyncio.sleep(0.01)
            await asyncio.gather(*(service.kill() for service in pipeline.services))
            # Start order does not matter: msgqueue comes last.
            for service in reversed(pipeline.services):
                await service.start()
        await publishing
        assert await receiving == list(range(count))

    async with subscriber_to(pipeline, tls, "t", after=0) as again:
        assert await take(again, count) == list(range(count))


@pytest.mark.parametrize("name", ["msgqueue", "publisher", "subscriber"])
async def test_rolling_restarts_are_not_noticed(
    tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext, name: str
) -> None:
    """Clean restarts under load: exit code 0, nothing missing, nothing double (promise 8)."""
    async with (
        Pipeline(tmp_path, cert_dir, return_spread=0.2) as pipeline,
        publisher_to(pipeline, tls) as publisher,
        subscriber_to(pipeline, tls) as subscriber,
    ):
        await subscriber.subscribe("t")
        service = next(service for service in pipeline.services if service.name == name)
        is_over = asyncio.Event()

        async def publish() -> int:
            count = 0
            while not is_over.is_set():
                await publisher.send("t", count)
                count += 1
                if count % 20 == 0:
                    await publisher.flush()
            return count

        publishing = asyncio.create_task(publish())
        received = 0
        for _ in range(3):
            assert await take(subscriber, 20) == list(range(received, received + 20))
            received += 20
            assert await service.stop() == 0
            await service.start()
        is_over.set()
        count = await publishing
        await publisher.flush()
        assert await take(subscriber, count - received) == list(range(received, count))
        await publisher.publish("t", "end")
        assert await take(subscriber, 1) == ["end"]


async def test_stopped_process_is_a_dead_peer(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """A queue that is stopped with SIGSTOP is found dead; after SIGCONT nothing is lost (line 8)."""
    async with (
        Pipeline(tmp_path, cert_dir, ping_interval=0.5, silence_limit=0.5) as pipeline,
        publisher_to(pipeline, tls) as publisher,
        subscriber_to(pipeline, tls) as subscriber,
    ):
        await subscriber.subscribe("t")
        await publisher.publish("t", 1)
        os.kill(pipeline.msgqueue.pid, signal.SIGSTOP)
        result = await publisher.send("t", 2)
        while not any(b"cannot be reached" in line or b"closed" in line for line in pipeline.publisher.log):
            await asyncio.sleep(0.05)
        os.kill(pipeline.msgqueue.pid, signal.SIGCONT)
        await result
        assert await take(subscriber, 2) == [1, 2]


async def test_full_disk(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """With no room for the log publishers wait, are told, and go on by themselves when there is room again.

    What was acked before and after is all there, in order (promises 1 and 6).
    """
    async with (
        Pipeline(tmp_path, cert_dir, queue_wait=1) as pipeline,
        publisher_to(pipeline, tls) as publisher,
        subscriber_to(pipeline, tls) as subscriber,
    ):
        await subscriber.subscribe("t")
        await publisher.publish("t", 0)
        pid = pipeline.msgqueue.pid
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        async with open_websocket(f"{pipeline.publisher.url}/publish", tls) as raw:
            await raw.send('{"topic":"t","content":"no room","id":"x"}')
            assert '"error":"queue-unavailable"' in str(await raw.recv())
        waiting = [await publisher.send("t", n) for n in range(1, 50)]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        for result in waiting:
            await result
        assert await take(subscriber, 50) == list(range(50))
