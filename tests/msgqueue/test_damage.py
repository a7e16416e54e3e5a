"""A damaged message in the log, and those who read what is around it."""

from functools import partial
from pathlib import Path

import pytest

from fanline.server import Service
from msgqueue.app import open_msgqueue
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.conftest import receive_objects as receive
from tests.msgqueue.store.sqlite.conftest import damage, make_log


@pytest.fixture
async def queue(start_service: StartService, tmp_path: Path) -> Service:
    """A msgqueue with 300 messages, of which 100 and 101 are damaged."""
    await make_log(tmp_path / "data")
    damage(tmp_path / "data", 100, 101)
    return await start_service(partial(open_msgqueue))


async def test_a_subscriber_gets_what_follows(
    queue: Service, start_service: StartService, dial: Dial
) -> None:
    """It is told of a gap, in its place among the messages, and damage is counted."""
    subscriber = await start_service(open_subscriber, queue_url=f"wss://localhost:{queue.port}")
    client = await dial(subscriber, "/subscribe")
    await client.send("sub > after=98")
    answer, before, gap, *after = await receive(client, 202)
    assert answer == {"subscribed": ">", "seq": 98}
    assert before["seq"] == 99
    assert gap == {"gap": {"from": 100, "to": 101}}
    assert [message["seq"] for message in after] == list(range(102, 301))
    assert queue.app.metrics.get_sample_value("fanline_messages_damaged_total") == 2


async def test_a_follower_gets_what_follows(queue: Service, dial: Dial) -> None:
    """On /popmsg likewise."""
    client = await dial(queue, "/popmsg")
    await client.send('{"pop": {"after": 99}}')
    answer, gap, *after = await receive(client, 201)
    assert answer == {"popping": None, "seq": 99}
    assert gap == {"gap": {"from": 100, "to": 101}}
    assert [message["seq"] for message in after] == list(range(102, 301))


async def test_a_durable_consumer_gets_what_follows(queue: Service, dial: Dial) -> None:
    """It passes over the damaged message, also if nothing new is stored."""
    client = await dial(queue, "/popmsg")
    await client.send('{"pop": {"consumer": "new", "after": 99}}')
    _, *after = await receive(client, 200)
    assert [message["seq"] for message in after] == list(range(102, 301))
