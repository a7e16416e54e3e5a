"""Tests of the publishing client against a stub service, over real TLS."""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fanline import (
    Ack,
    Closed,
    ConfigurationError,
    Disconnected,
    LoginRefused,
    Publisher,
    PublishResult,
    Rejected,
)
from tests.stubs import DEADLINE, PASSWORD, USER, Do, StubPublisher

MakePublisher = Callable[..., Publisher]


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[StubPublisher]:
    async with StubPublisher(cert_dir) as running:
        yield running


@pytest.fixture
def make_publisher(stub: StubPublisher, tls: ssl.SSLContext) -> MakePublisher:
    """Make publishers for the stub; the test enters them."""

    def make(**options: Any) -> Publisher:
        return Publisher(stub.url, user=USER, password=PASSWORD, tls=tls, **options)

    return make


@pytest.fixture
async def publisher(make_publisher: MakePublisher) -> AsyncIterator[Publisher]:
    async with asyncio.timeout(DEADLINE), make_publisher() as open_publisher:
        yield open_publisher


def refused(code: str = "forbidden") -> Rejected:
    return Rejected(code, "hello may not publish there")


def nested(depth: int) -> list[Any]:
    content: list[Any] = []
    for _ in range(depth):
        content = [content]
    return content


# One message.


async def test_publish_returns_the_ack(stub: StubPublisher, publisher: Publisher) -> None:
    """A message is acknowledged with its position, and arrives as it was given."""
    first = await publisher.publish("orders.eu", {"n": [1, None, "ä"]})
    second = await publisher.publish("orders.eu", "two", id="my-id")
    assert (first.seq, second) == (1, Ack("my-id", 2))
    assert stub.paths == ["/publish"]
    assert stub.contents == [{"n": [1, None, "ä"]}, "two"]


async def test_every_message_has_an_id_of_its_own(stub: StubPublisher, make_publisher: MakePublisher) -> None:
    """Messages of two publishers can be told apart, so that each can be sent again (promise 3)."""
    for _ in range(2):
        async with make_publisher() as publisher:
            await publisher.publish("t", 1)
            await publisher.publish("t", 2)
    assert len({message.id for message in stub.stored}) == 4


async def test_a_repeated_id_is_told(publisher: Publisher) -> None:
    """The ack of a message that was stored before says so, with the position of then (promise 3)."""
    ack = await publisher.publish("t", "x", id="a1")
    again = await publisher.publish("t", "x", id="a1")
    assert (again.seq, again.duplicate, ack.duplicate) == (ack.seq, True, False)


async def test_raw_content_travels_byte_for_byte(stub: StubPublisher, publisher: Publisher) -> None:
    """JSON text that is ready is not rewritten."""
    await publisher.publish("t", msgspec.Raw(b'{"a" :  1.0}'))
    assert bytes(stub.stored[0].content) == b'{"a" :  1.0}'


@pytest.mark.parametrize(
    "content",
    [{1, object()}, "\ud800", math.nan, nested(100_000), msgspec.Raw(b"{oops"), msgspec.Raw(b'"\xff"')],
)
async def test_content_that_is_not_json_is_refused_here(
    stub: StubPublisher, publisher: Publisher, content: object
) -> None:
    """Content that is not JSON harms neither the connection nor other messages (promise 7)."""
    before = await publisher.send("t", "before")
    with pytest.raises(Rejected, match="cannot be written as JSON") as caught:
        await publisher.send("t", content)
    after = await publisher.publish("t", "after")
    assert caught.value.code == "bad-message"
    assert ((await before).seq, after.seq) == (1, 2)
    assert len(stub.paths) == 1


async def test_a_refusal_is_raised_to_who_sent_it(stub: StubPublisher, publisher: Publisher) -> None:
    """One refused message does not touch the others, and the refusal says why."""
    stub.script.extend([Do.ACK, refused(), Do.ACK])
    receipts = [await publisher.send("t", n) for n in range(3)]
    with pytest.raises(Rejected, match="hello may not publish there") as caught:
        await receipts[1]
    assert (caught.value.code, caught.value.id) == ("forbidden", receipts[1].id)
    assert [(await receipts[0]).seq, (await receipts[2]).seq] == [1, 2]


async def test_a_refusal_without_an_id_is_for_the_oldest(stub: StubPublisher, publisher: Publisher) -> None:
    """An id that the server does not accept cannot be named in its answer; the order tells."""
    receipt = await publisher.send("t", 1, id="bad")
    await stub.until(lambda: len(stub.stored) == 1)
    await receipt
    stub.script.append(Do.IGNORE)
    receipt = await publisher.send("t", 1, id="\x00")
    await stub.until(lambda: len(stub.frames) == 2)
    await stub.send('{"error": "bad-id", "reason": "an id has no control characters"}')
    with pytest.raises(Rejected, match="no control characters"):
        await receipt


async def test_a_timeout_tells_what_is_wrong(stub: StubPublisher, publisher: Publisher) -> None:
    """A publish with a limit ends by it, with the reason, connected or not."""
    stub.holding = True
    with pytest.raises(Disconnected, match=r"no ack within 0\.05 s: the server does not answer"):
        await publisher.publish("t", 1, timeout=0.05)
    await stub.stop()
    with pytest.raises(Disconnected, match=r"no ack within 0\.5 s: .* (refused|closed the connection)"):
        await publisher.publish("t", 1, timeout=0.5)
    await stub.start()


# Many messages.


async def test_messages_of_one_turn_travel_together(stub: StubPublisher, publisher: Publisher) -> None:
    """Messages sent without a pause go in one frame, and arrive in order."""
    await publisher.publish("t", "connected")
    acks = await asyncio.gather(*(publisher.publish("t", n) for n in range(50)))
    assert len(stub.frames) == 2
    assert [ack.seq for ack in acks] == list(range(2, 52))
    assert stub.contents[1:] == list(range(50))


async def test_large_messages_do_not_travel_together(stub: StubPublisher, publisher: Publisher) -> None:
    """A frame stays small enough for the server, however many messages wait."""
    for n in range(20):
        await publisher.send("t", str(n) * 30_000)
    await publisher.flush()
    assert len(stub.stored) == 20
    assert max(map(len, stub.frames)) < 100_000


async def test_leaving_waits_for_every_ack(stub: StubPublisher, make_publisher: MakePublisher) -> None:
    """After the block, everything that was sent in it is stored and acknowledged."""
    async with make_publisher(window=64) as publisher:
        receipts = [await publisher.send("t", n) for n in range(5_000)]
    assert [(await receipt).seq for receipt in receipts] == list(range(1, 5_001))
    assert stub.contents == list(range(5_000))


async def test_send_waits_while_the_window_is_full(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """No more than the window is in flight; each ack makes room for one more."""
    stub.holding = True
    async with make_publisher(window=3) as publisher:
        for n in range(3):
            await publisher.send("t", n)
        fourth = asyncio.create_task(publisher.send("t", 3))
        await stub.until(lambda: len(stub.stored) == 3)
        assert not fourth.done()
        await stub.release()
        await fourth


async def test_a_receipt_tells_whether_it_is_answered(stub: StubPublisher, publisher: Publisher) -> None:
    """A result tells whether it can be awaited without waiting."""
    stub.holding = True
    receipt = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.stored) == 1)
    assert not receipt.done()
    await stub.release()
    await receipt
    assert receipt.done()


async def test_flush_waits_for_what_was_sent_before(stub: StubPublisher, publisher: Publisher) -> None:
    """Flushing ends with the last ack; with nothing in flight it returns at once."""
    await publisher.flush()
    stub.holding = True
    await publisher.send("t", 1)
    flushing = asyncio.create_task(publisher.flush())
    await stub.until(lambda: len(stub.stored) == 1)
    assert not flushing.done()
    await stub.release()
    await flushing


async def test_flush_raises_failures_not_awaited(stub: StubPublisher, publisher: Publisher) -> None:
    """A refusal is never lost, and never told twice."""
    stub.script.extend([refused("one"), refused("two"), refused("three")])
    receipts = [await publisher.send("t", n) for n in range(3)]
    with pytest.raises(Rejected, match="one"):
        await receipts[0]
    with pytest.raises(Rejected, match="two"):
        await publisher.flush()
    await publisher.flush()


async def test_leaving_raises_failures_not_awaited(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """The end of the block means that everything is stored; if it is not, it raises."""
    stub.script.append(refused())
    with pytest.raises(Rejected):
        async with make_publisher() as publisher:
            await publisher.send("t", 1)


# Lost connections.


@pytest.mark.parametrize("step", [Do.DROP_UNSTORED, Do.DROP_UNACKED, Do.DROP_ACKED])
async def test_each_is_stored_once_in_order_through_a_drop(
    stub: StubPublisher, publisher: Publisher, step: Do
) -> None:
    """Whenever the connection breaks, what has no ack is sent again, and stored once (promises 3 and 6)."""
    stub.script.extend([Do.ACK] * 100 + [step] + [Do.ACK] * 100 + [step])
    receipts = [await publisher.send("t", n) for n in range(300)]
    acks = [await receipt for receipt in receipts]
    assert stub.contents == list(range(300))
    assert [ack.seq for ack in acks] == list(range(1, 301))
    assert len(stub.paths) == 3


async def test_what_is_sent_while_there_is_no_connection_waits(
    stub: StubPublisher, publisher: Publisher
) -> None:
    """A publisher outlives its server, and may be used while that is away."""
    await publisher.publish("t", 1)
    await stub.stop()
    receipt = await publisher.send("t", 2)
    await stub.start()
    assert (await receipt).seq == 2


async def test_the_order_of_starting_does_not_matter(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """A publisher can be entered, and used, before there is a server; its state can be seen and followed."""
    await stub.stop()
    states: list[str | None] = []
    async with make_publisher(on_state=states.append) as publisher:
        assert not publisher.connected
        receipt = await publisher.send("t", 1)
        await stub.start()
        await receipt
        assert publisher.connected
        assert publisher.problem is None
    assert states[-1] is None
    assert not publisher.connected


@pytest.mark.parametrize("nonsense", ['{"ok": "another id", "seq": 1}', "[not json", "not json", "[["])
async def test_nonsense_is_put_right_by_sending_again(
    stub: StubPublisher, publisher: Publisher, nonsense: str
) -> None:
    """An answer that cannot be, or be read, costs a reconnect and nothing else."""
    stub.script.append(Do.IGNORE)
    receipt = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.frames) == 1)
    await stub.send(nonsense)
    assert (await receipt).seq == 1
    assert len(stub.paths) == 2


async def test_what_is_unknown_is_ignored(stub: StubPublisher, publisher: Publisher) -> None:
    """A newer server may say more (forward compatibility)."""
    stub.holding = True
    receipt = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.stored) == 1)
    await stub.send('{"welcome": {"version": 2}}')
    await stub.send('[7, "x", null, {"drain": "soon"}]')
    await stub.send(f'[{{"news": []}}, {{"ok": "{receipt.id}", "seq": 1, "shard": 3}}]')
    assert await receipt == Ack(receipt.id, 1)
    assert len(stub.paths) == 1


@pytest.mark.parametrize("code", ["queue-unavailable", "rate-limited"])
async def test_a_queue_out_of_reach_is_waited_for(
    stub: StubPublisher, publisher: Publisher, code: str
) -> None:
    """Some refusals are a matter of time: everything without an ack is sent again (promise 6, line 47)."""
    stub.script.extend([Do.ACK, refused(code), refused(code)])
    receipts = [await publisher.send("t", n) for n in range(3)]
    assert [(await receipt).seq for receipt in receipts] == [1, 2, 3]
    assert stub.contents == [0, 1, 2]


async def test_comes_back_when_the_server_says(
    stub: StubPublisher, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain notice sets the delay before the next attempt (promise 8)."""
    caplog.set_level("INFO", "fanline.client.transport.connection")
    await publisher.publish("t", 1)
    await stub.drain(retry_ms=7)
    await publisher.publish("t", 2)
    assert "closed the connection: 1001; next attempt in 0.0 s" in caplog.text


async def test_a_message_too_big_for_the_server_is_refused_alone(
    stub: StubPublisher, publisher: Publisher
) -> None:
    """A close with 1009 is answered by giving up the largest message, not by sending it for ever."""
    small = await publisher.send("t", "small")
    big = await publisher.send("t", "x" * 5_000_000)
    after = await publisher.send("t", "after")
    with pytest.raises(Rejected, match="bytes are more than the server takes") as caught:
        await big
    assert caught.value.code == "too-big"
    await small
    await after
    assert stub.contents == ["small", "after"]


# The end.


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_a_refused_login_ends_everything(
    stub: StubPublisher, make_publisher: MakePublisher, status: HTTPStatus
) -> None:
    """With a wrong password no call waits forever: neither for acks nor for space (line 1)."""
    stub.answer = status
    async with asyncio.timeout(DEADLINE), make_publisher(window=3) as publisher:
        receipts = [await publisher.send("t", n) for n in range(3)]
        waiting = [asyncio.create_task(publisher.send("t", n)) for n in range(3)]
        for receipt in receipts:
            with pytest.raises(LoginRefused):
                await receipt
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
    receipts: list[PublishResult] = []

    async def fail_inside() -> None:
        async with make_publisher() as publisher:
            receipts.append(await publisher.send("t", 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    with pytest.raises(Closed):
        await receipts[0]
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
        receipt = await publisher.send("t", "wanted")
        await stub.start()
        await receipt
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
    receipt = await publisher.send("t", "wanted")
    await stub.until(lambda: len(stub.stored) == 2)
    await stub.release()
    assert (await receipt).seq == 2
