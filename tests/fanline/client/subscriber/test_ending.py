"""Flow control, unexpected frames, and the end of a subscribing client."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest

from fanline import Closed, Disconnected, Gap, LoginRefused, Rejected, Subscriber
from tests.conftest import until
from tests.fanline.client.subscriber.conftest import MakeSubscriber, take, values
from tests.stubs import DEADLINE, StubSubscriber

# What the server should not send, or not yet.


async def test_what_is_unknown_is_ignored(
    stub: StubSubscriber, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer server may say more; garbage is told, and ends nothing (forward compatibility)."""
    await subscriber.subscribe("t")
    await stub.send("{garbage")
    await stub.send("[garbage")
    await stub.send("")
    await stub.send('[7, null, {"subscribed": 7}, {"presence": {"user": "hello"}}]')
    await stub.send('{"subscribed": "never asked for", "seq": 1}')
    await stub.send('{"unsubscribed": "never asked for"}')
    await stub.send('[{"topic": "t", "content": 1, "seq": 1, "time": 2, "shard": 3}, {"topic": "x"}]')
    assert values(await take(subscriber, 1)) == [1]
    assert len(stub.paths) == 1
    assert caplog.text.count("has sent what is not JSON") == 3


async def test_reads_ahead_within_bounds(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """Without iteration the server waits; nothing is lost (promise 5)."""
    for n in range(1_000):
        stub.store("t", f"{n}".rjust(20_000))
    async with make_subscriber("t", after=0) as subscriber:
        await until(lambda: stub.is_held_up)
        assert stub.sent.total() < 1_000
        received = await take(subscriber, 1_000)
    assert [message.seq for message in received] == list(range(1, 1_001))


async def test_a_command_is_answered_without_iteration(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """A task can subscribe between two messages, however many stand before the answer."""
    for n in range(1_000):
        stub.store("t", n)
    async with asyncio.timeout(DEADLINE), make_subscriber("t", after=0) as subscriber:
        await take(subscriber, 1)
        await subscriber.subscribe("u")
        await subscriber.unsubscribe("u")
        assert values(await take(subscriber, 999)) == list(range(1, 1_000))


# The end.


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_a_refused_login_ends_everything(
    stub: StubSubscriber, make_subscriber: MakeSubscriber, status: HTTPStatus
) -> None:
    """With a wrong password no call waits forever (line 1)."""
    stub.answer = status
    async with asyncio.timeout(DEADLINE), make_subscriber("t") as subscriber:
        waiting = asyncio.create_task(subscriber.subscribe("u"))
        with pytest.raises(LoginRefused):
            await anext(subscriber)
        with pytest.raises(LoginRefused):
            await waiting
        with pytest.raises(LoginRefused):
            await subscriber.subscribe("v")


async def test_what_has_arrived_comes_before_the_end(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """A server that closes permanently does not take away what it had sent."""
    async with make_subscriber("t") as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.publish("t", 1)
        await stub.close(1008, "a rule was broken")
        assert values(await take(subscriber, 1)) == [1]
        with pytest.raises(Disconnected, match="a rule was broken"):
            await take(subscriber, 1)


async def test_original_server(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """An original server's messages come, without positions; each reconnect is a gap (line 9)."""
    stub.be_original()
    gaps: list[Gap] = []
    async with make_subscriber("t", on_gap=gaps.append) as subscriber:
        await stub.until(lambda: stub.frames == [b'{"Topic":"t","Content":"sub"}'])
        assert await subscriber.subscribe("u") == 0
        await subscriber.unsubscribe("u")
        await stub.until(lambda: len(stub.frames) == 3)
        assert stub.frames[1:] == [b'{"Topic":"u","Content":"sub"}', b'{"Topic":"u","Content":"unsub"}']
        await stub.send('{"Topic":"t","Content":"one"}')
        await stub.send("nonsense")
        await stub.send('{"Topic":"t","Content":"two"}')
        assert [message.value() for message in await take(subscriber, 2)] == ["one", "two"]
        stub.drop()
        await stub.until(lambda: len(stub.frames) == 4 and bool(stub.connections))
        await stub.send('{"Topic":"t","Content":"three"}')
        assert [message.value() for message in await take(subscriber, 1)] == ["three"]
    assert gaps == [Gap("t")]


async def test_a_server_that_cannot_resume(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """No resume is pretended where the server speaks the plain dialect (line 9)."""
    stub.be_original()
    async with make_subscriber() as subscriber:
        options: dict[str, Any]
        for options in ({"after": 0}, {"last": 1}, {"latest": True}):
            with pytest.raises(Rejected, match="speaks the plain dialect, which cannot resume"):
                await subscriber.subscribe("t", **options)
    assert stub.frames == []


async def test_leaving_ends_those_who_wait(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """Closing is told to a task that iterates, and to one that waits for an answer."""
    async with make_subscriber("t") as subscriber:
        iterating = asyncio.create_task(take(subscriber, 1))
        await stub.until(lambda: stub.is_subscribed("t"))
        stub.deafen()
        asking = asyncio.create_task(subscriber.subscribe("u"))
        await asyncio.sleep(0)
        stub.drop()
    for task in (iterating, asking):
        with pytest.raises(Closed):
            await task


async def test_it_is_usable_inside_its_block_only(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """Before and after the block there is nothing to wait for; what was not read is gone."""
    subscriber = make_subscriber("t")
    with pytest.raises(Closed, match="not open yet"):
        await anext(subscriber)
    async with subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.publish("t", 1)
        await subscriber.subscribe("u")
    with pytest.raises(Closed, match="has ended"):
        await anext(subscriber)
    with pytest.raises(Closed, match="has ended"):
        await subscriber.unsubscribe("t")


async def test_cancellation_passes_through_the_iteration(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """A task that iterates can be stopped, and closes its connection."""

    async def read() -> None:
        async with make_subscriber("t") as subscriber:
            async for _ in subscriber:
                pass

    task = asyncio.create_task(read())
    await stub.until(lambda: stub.is_subscribed("t"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stub.until(lambda: not stub.connections)
