"""One message or many on an open connection: acks, refusals, windows."""

import asyncio
import math

import msgspec
import pytest

from fanline import (
    Ack,
    Disconnected,
    Publisher,
    Rejected,
)
from tests.conftest import until
from tests.fanline.client.publisher.conftest import MakePublisher, nested, refused
from tests.stubs import Do, StubPublisher

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
    results = [await publisher.send("t", n) for n in range(3)]
    with pytest.raises(Rejected, match="hello may not publish there") as caught:
        await results[1]
    assert (caught.value.code, caught.value.id) == ("forbidden", results[1].id)
    assert [(await results[0]).seq, (await results[2]).seq] == [1, 2]


async def test_a_refusal_without_an_id_is_for_the_oldest(stub: StubPublisher, publisher: Publisher) -> None:
    """An id that the server does not accept cannot be named in its answer; the order tells."""
    result = await publisher.send("t", 1, id="bad")
    await stub.until(lambda: len(stub.stored) == 1)
    await result
    stub.script.append(Do.IGNORE)
    result = await publisher.send("t", 1, id="\x00")
    await stub.until(lambda: len(stub.frames) == 2)
    await stub.send('{"error": "bad-id", "reason": "an id has no control characters"}')
    with pytest.raises(Rejected, match="no control characters"):
        await result


async def test_a_timeout_tells_what_is_wrong(stub: StubPublisher, publisher: Publisher) -> None:
    """A publish with a limit ends by it, with the reason, connected or not."""
    await publisher.publish("t", "connected")
    stub.holding = True
    with pytest.raises(Disconnected, match=r"no ack within 0\.05 s: the server does not answer"):
        await publisher.publish("t", 1, timeout=0.05)
    await stub.stop()
    await until(lambda: publisher.problem is not None)
    with pytest.raises(Disconnected, match=r"no ack within 0\.05 s: .* (refused|closed the connection)"):
        await publisher.publish("t", 1, timeout=0.05)
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
        results = [await publisher.send("t", n) for n in range(5_000)]
    assert [(await result).seq for result in results] == list(range(1, 5_001))
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


async def test_a_result_tells_whether_it_is_answered(stub: StubPublisher, publisher: Publisher) -> None:
    """A result tells whether it can be awaited without waiting."""
    stub.holding = True
    result = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.stored) == 1)
    assert not result.done()
    await stub.release()
    await result
    assert result.done()


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
    results = [await publisher.send("t", n) for n in range(3)]
    with pytest.raises(Rejected, match="one"):
        await results[0]
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
