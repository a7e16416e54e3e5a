"""The end of a publishing client, and cancelled messages."""

import asyncio
from http import HTTPStatus

import pytest

from fanline import (
    Closed,
    ConfigurationError,
    LoginRefused,
    Publisher,
    PublishResult,
    Rejected,
)
from tests.fanline.client.publisher.conftest import MakePublisher
from tests.stubs import DEADLINE, StubPublisher

# The end.


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_a_refused_login_ends_everything(
    stub: StubPublisher, make_publisher: MakePublisher, status: HTTPStatus
) -> None:
    """With a wrong password no call waits forever: neither for acks nor for space (line 1)."""
    stub.answer = status
    async with asyncio.timeout(DEADLINE), make_publisher(window=3) as publisher:
        results = [await publisher.send("t", n) for n in range(3)]
        waiting = [asyncio.create_task(publisher.send("t", n)) for n in range(3)]
        for result in results:
            with pytest.raises(LoginRefused):
                await result
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [LoginRefused] * 3
        with pytest.raises(LoginRefused):
            await publisher.publish("t", 2)


async def test_a_refused_login_is_raised_on_leaving(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """A message not awaited is not lost in silence when the connection has ended."""
    stub.answer = HTTPStatus.UNAUTHORIZED
    with pytest.raises(LoginRefused):
        async with make_publisher() as publisher:
            await publisher.send("t", 1)


async def test_a_server_without_acks_is_refused(stub: StubPublisher, publisher: Publisher) -> None:
    """No ack is pretended where the server speaks the plain dialect (line 9)."""
    stub.speaks_v1 = False
    with pytest.raises(ConfigurationError, match="speaks the plain dialect, which has no acks"):
        await publisher.publish("t", 1)
    assert stub.frames == []


async def test_a_server_without_acks_is_accepted_on_request(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """Where plain is allowed messages go out, in the original spelling; no ack is pretended (line 9)."""
    stub.be_original()
    async with make_publisher(allow_plain=True) as publisher:
        for content in ("words", {"n": 1}):
            with pytest.raises(Rejected, match="was sent, but") as refused:
                await publisher.publish("t", content)
            assert refused.value.code == "ack-unavailable"
        await stub.until(lambda: len(stub.frames) == 2)
    assert stub.frames == [b'{"Topic":"t","Content":"words"}', b'{"Topic":"t","Content":"{\\"n\\":1}"}']


async def test_an_exception_closes_at_once(stub: StubPublisher, make_publisher: MakePublisher) -> None:
    """Messages without an ack fail, and the exception of the block is raised."""
    stub.holding = True
    results: list[PublishResult] = []

    async def fail_inside() -> None:
        async with make_publisher() as publisher:
            results.append(await publisher.send("t", 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    with pytest.raises(Closed):
        await results[0]
    await stub.until(lambda: not stub.connections)


async def test_cancellation_while_leaving_closes_at_once(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """Waiting for the last acks can be given up."""
    stub.holding = True

    async def send_one() -> None:
        async with make_publisher() as publisher:
            await publisher.send("t", 1)

    task = asyncio.create_task(send_one())
    await stub.until(lambda: len(stub.stored) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stub.until(lambda: not stub.connections)


async def test_it_is_usable_inside_its_block_only(make_publisher: MakePublisher) -> None:
    """Before and after the block, nothing is sent into the void."""
    publisher = make_publisher()
    with pytest.raises(Closed, match="not open yet"):
        await publisher.publish("t", 1)
    async with publisher:
        pass
    with pytest.raises(Closed, match="has ended"):
        await publisher.send("t", 1)


# Cancellation.


async def test_a_cancelled_message_that_waits_is_withdrawn(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """Before it is on its way a message can be taken back, and gives its room to another."""
    await stub.stop()
    async with make_publisher(window=1) as publisher:
        task = asyncio.create_task(publisher.publish("t", "unwanted"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        result = await publisher.send("t", "wanted")
        await stub.start()
        await result
    assert stub.contents == ["wanted"]


async def test_a_cancelled_message_on_its_way_is_not_sent_again(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """After that it may be stored; a lost connection takes it out, and gives its room to another."""
    stub.holding = True
    async with make_publisher(window=2) as publisher:
        task = asyncio.create_task(publisher.publish("t", "unwanted", id="u"))
        await stub.until(lambda: len(stub.stored) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        first = await publisher.send("t", "first")
        await stub.until(lambda: len(stub.stored) == 2)
        stub.holding = False
        stub.drop()
        await (await publisher.send("t", "second"))
        await first
    assert b"".join(stub.frames).count(b"unwanted") == 1


async def test_an_ack_for_a_cancelled_message_keeps_the_order(
    stub: StubPublisher, publisher: Publisher
) -> None:
    """The answers behind it still find their messages."""
    stub.holding = True
    task = asyncio.create_task(publisher.publish("t", "unwanted"))
    await stub.until(lambda: len(stub.stored) == 1)
    task.cancel()
    result = await publisher.send("t", "wanted")
    await stub.until(lambda: len(stub.stored) == 2)
    await stub.release()
    assert (await result).seq == 2
