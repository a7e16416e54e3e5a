"""Lost connections and gaps."""

from typing import Any

import pytest

from fanline import Gap, Subscriber
from fanline.client import subscriber as subscriber_module
from tests.fanline.client.subscriber.conftest import MakeSubscriber, take, values
from tests.stubs import StubSubscriber

# Lost connections.


async def test_resumes_without_a_gap_or_a_repeat(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """Through any number of lost connections everything comes, once, in order (promises 2 and 4)."""
    async with make_subscriber("t", after=0) as subscriber:
        for round_ in range(4):
            await stub.until(lambda: stub.is_subscribed("t"))
            await stub.publish("t", 3 * round_)
            await stub.publish("t", 3 * round_ + 1)
            stub.drop()
            stub.store("t", 3 * round_ + 2)
        assert values(await take(subscriber, 12)) == list(range(12))
    assert len(stub.paths) == 5


async def test_drops_what_it_has_seen(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """A server that sends more than it was asked for does not make messages come twice."""
    stub.repeat = 2
    async with make_subscriber("t") as subscriber:
        for n in range(6):
            await stub.until(lambda: stub.is_subscribed("t"))
            await stub.publish("t", n)
            if n % 2:
                stub.drop()
        assert values(await take(subscriber, 6)) == list(range(6))
    assert stub.sent[1] > 1


async def test_state_can_be_followed(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """Each change of the connection is told, with the reason."""
    states: list[str | None] = []
    async with make_subscriber(on_state=states.append) as subscriber:
        assert subscriber.problem == f"{stub.url}/subscribe is not connected yet"
        await subscriber.subscribe("t")
        assert subscriber.connected
        await stub.close(1013, "overloaded")
        await subscriber.subscribe("u")
    assert states == [None, f"{stub.url}/subscribe has closed the connection: 1013, overloaded", None]


async def test_comes_back_when_the_server_says(
    stub: StubSubscriber, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain notice sets the delay before the next attempt (promise 8)."""
    caplog.set_level("INFO", "fanline.client.transport.connection")
    await subscriber.subscribe("t")
    await stub.drain(retry_ms=7)
    await subscriber.subscribe("u")
    assert "closed the connection: 1001; next attempt in 0.0 s" in caplog.text


async def test_a_slow_consumer_that_was_cut_resumes(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """4008 costs a reconnect, and no message (promise 5)."""
    async with make_subscriber("t") as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.publish("t", 1)
        await stub.close(4008, "nothing was read")
        stub.store("t", 2)
        assert values(await take(subscriber, 2)) == [1, 2]


# Gaps.


async def test_a_gap_is_told_in_its_place(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """Positions removed by retention are reported between the messages around them (promise 4)."""
    events: list[Any] = []
    async with make_subscriber("t", on_gap=events.append) as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.publish("t", 1)
        await stub.until(lambda: stub.sent[1] == 1)
        await stub.stop()
        for n in (2, 3, 4):
            stub.store("t", n)
        stub.floor = 3
        await stub.start()
        await stub.until(lambda: stub.is_subscribed("t"))
        for _ in range(2):
            events.append((await anext(subscriber)).value())  # noqa: PERF401 - gaps come between
    assert events == [1, Gap("t", 2, 3), 4]


async def test_a_gap_is_told_once(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """After a gap was told, a reconnect does not ask for what is gone."""
    gaps: list[Gap] = []
    for n in range(3):
        stub.store("t", n)
    stub.floor = 3
    async with make_subscriber("t", after=0, on_gap=gaps.append) as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        stub.drop()
        await stub.until(lambda: len(stub.paths) == 2 and stub.is_subscribed("t"))
        await stub.publish("t", 3)
        assert values(await take(subscriber, 1)) == [3]
    assert gaps == [Gap("t", 1, 3)]
    assert stub.commands[-1] == {"sub": "t", "after": 3}


async def test_a_gap_that_comes_by_itself_is_told(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """A gap on the way, of one subscription or of all, is told like one at the start."""
    gaps: list[Gap] = []
    async with make_subscriber("t", on_gap=gaps.append) as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.send('{"gap": {"topic": "t", "from": 1, "to": 2}}')
        await stub.send('{"gap": {"from": 3, "to": 4}}')
        for _ in range(3):
            await stub.publish("t", 0)
        assert [message.seq for message in await take(subscriber, 1)] == [3]
    assert gaps == [Gap("t", 1, 2), Gap(None, 3, 4)]


async def test_a_gap_is_logged_by_default(
    stub: StubSubscriber, make_subscriber: MakeSubscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a callback a gap is not silent either."""
    async with make_subscriber("t") as subscriber:
        await stub.until(lambda: stub.is_subscribed("t"))
        await stub.send('{"gap": {"from": 3, "to": 4}}')
        await stub.publish("t", 0)
        await take(subscriber, 1)
    subscriber_module.log_gap(Gap("t"))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "all subscriptions: retention has dropped positions 3 to 4",
        "t: what came while there was no connection is lost",
    ]


async def test_a_queue_without_positions_is_followed(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """Behind a queue of the plain dialect every message comes, and every reconnect is a gap (line 9)."""
    stub.has_positions = False
    events: list[Any] = []
    async with make_subscriber("t", on_gap=events.append) as subscriber:
        assert await subscriber.subscribe("u") == 0
        for n in range(2):
            await stub.publish("t", n)
        await stub.until(lambda: stub.sent[2] == 1)
        await subscriber.subscribe("v")
        stub.drop()
        await stub.until(lambda: stub.is_subscribed("v"))
        await stub.publish("t", 2)
        for _ in range(3):
            message = await anext(subscriber)
            events.append((message.value(), message.seq, message.time))
    assert events == [(0, 0, 0), (1, 0, 0), Gap("t"), Gap("u"), Gap("v"), (2, 0, 0)]
    assert stub.commands[-3:] == [{"sub": "t"}, {"sub": "u"}, {"sub": "v"}]
