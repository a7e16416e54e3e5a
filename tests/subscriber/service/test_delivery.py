"""Delivery of what is subscribed to, live."""

import pytest

from fanline.server import Service
from tests.conftest import Dial, until
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, contents, receive


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
    """While the link to msgqueue is down subscribers stay, and afterwards they miss nothing (promise 4)."""
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
    assert (subscriber.app.metrics.get_sample_value("fanline_reconnects_total") or 0) >= 1
