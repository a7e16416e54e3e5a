"""Subscribers that read slowly, or not at all."""

from websockets.asyncio.client import ClientConnection

from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, contents, discard


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
