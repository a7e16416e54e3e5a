"""Durable consumers over connections."""

import asyncio

import msgspec

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService, until
from tests.conftest import receive_objects as receive
from tests.msgqueue.service.conftest import pop, push, words


async def test_two_connections_share_a_consumer(queue: Service, dial: Dial) -> None:
    """Connections of one name share the work; another name gets everything again."""
    pusher = await dial(queue, "/pushmsg")
    one, two, other = [await dial(queue, "/popmsg") for _ in range(3)]
    for client, name in ((one, "billing"), (two, "billing"), (other, "audit")):
        await pop(client, consumer=name)
    await push(pusher, *words("t", *range(10)))
    await receive(other, 10)
    shares = {one: 0, two: 0}
    while sum(shares.values()) < 10:
        reading = {asyncio.ensure_future(client.recv()): client for client in shares}
        done, pending = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            shares[reading[task]] += len(msgspec.json.decode(task.result()))
    assert sum(shares.values()) == 10


async def test_what_a_dead_consumer_held_goes_to_the_next(queue: Service, dial: Dial) -> None:
    """Records given and not done go to another connection, in order, before anything newer (promise 6)."""
    pusher, dying, heir = [await dial(queue, path) for path in ("/pushmsg", "/popmsg", "/popmsg")]
    await push(pusher, *words("t", 1, 2, 3, 4))
    await pop(dying, consumer="billing")
    await receive(dying, 4)
    await dying.send('{"done":1}')
    await (await dying.ping())
    await pop(heir, consumer="billing")
    dying.transport.abort()
    assert [message["content"] for message in await receive(heir, 3)] == [2, 3, 4]
    await push(pusher, *words("t", 5))
    assert [message["content"] for message in await receive(heir, 1)] == [5]


async def test_a_poison_message_becomes_a_dead_letter(start_service: StartService, dial: Dial) -> None:
    """A message that no connection survives goes to another topic, and the consumer goes on after it."""
    queue = await start_service(open_msgqueue, max_deliveries=2)
    pusher, watcher = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await pop(watcher, topics=["$dead.>"])
    await push(pusher, *words("t", 1, 2, 3))
    for expected, done in (([1, 2, 3], 1), ([2], 0)):
        victim = await dial(queue, "/popmsg")
        await pop(victim, consumer="billing")
        assert [message["content"] for message in await receive(victim, len(expected))] == expected
        await victim.send(msgspec.json.encode({"done": done}), text=True)
        await victim.close()
    [letter] = await receive(watcher, 1)
    assert letter["topic"] == "$dead.billing"
    assert letter["content"]["deliveries"] == 2
    assert letter["content"]["message"]["content"] == 2
    heir = await dial(queue, "/popmsg")
    assert (await pop(heir, consumer="billing"))["seq"] == 2
    await push(pusher, *words("t", 4))
    assert [message["content"] for message in await receive(heir, 2)] == [3, 4]
    assert queue.app.metrics.get_sample_value("fanline_dead_letters_total") == 1


async def test_unfinished_work_is_bounded(queue: Service, dial: Dial) -> None:
    """A consumer that never says done is given only so much; then it goes on where it was."""
    pusher, popper = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg")
    await push(pusher, *words("t", *range(1500)))
    await pop(popper, consumer="c")
    assert [message["content"] for message in await receive(popper, 1000)] == list(range(1000))
    await popper.send('{"done":1000}')
    assert [message["content"] for message in await receive(popper, 500)] == list(range(1000, 1500))


async def test_consumers_are_listed_and_forgotten(queue: Service, dial: Dial) -> None:
    """Durable consumers can be looked at; one that is not used can be removed, and then starts again."""
    pusher, popper, admin = [await dial(queue, path) for path in ("/pushmsg", "/popmsg", "/popmsg")]
    await push(pusher, *words("t", 1, 2, 3))
    await pop(popper, consumer="billing")
    await receive(popper, 3)
    await popper.send('{"done":2}')
    await (await popper.ping())
    await admin.send('{"consumers":true}')
    expected = {"name": "billing", "position": 2, "behind": 1, "connections": 1}
    expected |= {"failing": 0, "dead_letters": 0}
    assert await receive(admin, 1) == [{"consumers": [expected]}]
    await admin.send('{"forget":"billing"}')
    assert "1 connections share" in (await receive(admin, 1))[0]["reason"]
    await popper.close()
    await until(lambda: len(queue.connections) == 2)
    await admin.send('{"forget":"billing"}')
    assert await receive(admin, 1) == [{"forgotten": "billing"}]
    await admin.send('{"forget":"billing"}')
    assert "no durable consumer" in (await receive(admin, 1))[0]["reason"]
    again = await dial(queue, "/popmsg")
    assert (await pop(again, consumer="billing"))["seq"] == 0
