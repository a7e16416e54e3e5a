"""Delivery by a subscribing client, and where it begins."""

import asyncio

from fanline import Gap
from tests.fanline.client.subscriber.conftest import MakeSubscriber, take, values
from tests.stubs import StubSubscriber


async def test_delivers_what_is_published(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """A message comes as it was published, with its position (line 5)."""
    async with make_subscriber("orders.>") as subscriber:
        await stub.until(lambda: stub.is_subscribed("orders.>"))
        await stub.publish("elsewhere", 0)
        await stub.publish("orders.eu", {"n": 1})
        (message,) = await take(subscriber, 1)
    assert (message.topic, message.value(), message.seq) == ("orders.eu", {"n": 1}, 2)
    assert stub.paths == ["/subscribe"]


async def test_begins_after_a_position(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """Earlier messages can be asked for by position (promise 4)."""
    for n in range(5):
        stub.store("t", n)
    async with make_subscriber("t", after=2) as subscriber:
        assert values(await take(subscriber, 3)) == [2, 3, 4]


async def test_begins_with_the_newest_of_each_topic(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """It is asked for once; after a lost connection it resumes after its position (line 49)."""
    for topic in ("a.x", "a.y", "a.y"):
        stub.store(topic, topic)
    async with make_subscriber("a.*", latest=True) as subscriber:
        await take(subscriber, 1)
        stub.drop()
        await stub.publish("a.x", "new")
        assert values(await take(subscriber, 3))[-1] == "new"
        assert await subscriber.subscribe("b", latest=True) == 4
    assert stub.commands[0] == {"sub": "a.*", "latest": True}
    assert stub.commands[1]["after"] > 0


async def test_position_of_another_log_is_told(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """A program that stored a position and its epoch cannot resume wrongly in a restored log (line 51)."""
    for n in range(3):
        stub.store("t", n)
    gaps: list[Gap] = []
    stub.epoch = "e2"
    async with make_subscriber("t", after=2, epoch="e1", on_gap=gaps.append) as subscriber:
        assert values(await take(subscriber, 3)) == [0, 1, 2]
        assert subscriber.epoch == "e2"
    assert gaps == [Gap("t", is_new_log=True)]
    async with make_subscriber("t", after=2, epoch="e2", on_gap=gaps.append) as subscriber:
        assert values(await take(subscriber, 1)) == [2]
    assert len(gaps) == 1


async def test_begins_with_the_last_ones(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """The newest messages of each topic can be asked for by number."""
    for n in range(5):
        stub.store("t", n)
    async with make_subscriber("t", last=2) as subscriber:
        assert values(await take(subscriber, 2)) == [3, 4]


async def test_iterates_with_async_for(stub: StubSubscriber, make_subscriber: MakeSubscriber) -> None:
    """The plain loop of the documentation works."""
    for n in range(1_000):
        stub.store("t", n)
    received = []
    async with make_subscriber("t", after=0) as subscriber:
        async for message in subscriber:
            received.append(message.value())
            if len(received) == 1_000:
                break
    assert received == list(range(1_000))


async def test_several_tasks_share_the_messages(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """Each message goes to one of those who iterate."""
    async with make_subscriber("t") as subscriber:
        readers = [asyncio.create_task(take(subscriber, 2)) for _ in range(3)]
        await stub.until(lambda: stub.is_subscribed("t"))
        for n in range(6):
            await stub.publish("t", n)
        received = await asyncio.gather(*readers)
    assert sorted(values([*received[0], *received[1], *received[2]])) == list(range(6))
