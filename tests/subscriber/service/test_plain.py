"""The plain dialect, frame by frame, as the original Go programs speak it (line 9)."""

import asyncio
from pathlib import Path

import pytest

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, discard, receive


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
