"""Subscribers while msgqueue is away, cut off, or replaced."""

import pytest
from websockets.exceptions import ConnectionClosed

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.stub_queue import StubQueue
from tests.subscriber.service.conftest import ask, ask_until_subscribed, contents, receive


async def test_queue_is_away_at_first(queue: StubQueue, start_service: StartService, dial: Dial) -> None:
    """A subscription waits for msgqueue, and is refused when that takes too long."""
    await queue.stop()
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    client = await dial(subscriber, "/subscribe")
    answer = await ask(client, "sub t")
    assert (answer["error"], answer["sub"]) == ("queue-unavailable", "t")
    assert subscriber.app.readiness_problem()
    await queue.start()
    await until(lambda: subscriber.app.readiness_problem() is None)
    assert await ask_until_subscribed(client, "sub t") == {"subscribed": "t", "seq": 0}


async def test_queue_does_not_answer_a_resume(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """When the log cannot be read in time the subscription is refused, and ``/readyz`` tells."""
    queue.store("t", 1)
    queue.is_mute = True
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    client = await dial(subscriber, "/subscribe")
    assert (await ask(client, "sub t after=0"))["error"] == "queue-unavailable"
    problem = "msgqueue has not answered a request for more than 0.2 s"
    await until(lambda: subscriber.app.readiness_problem() == problem)
    queue.is_mute = False
    assert (await ask_until_subscribed(client, "sub t after=0"))["subscribed"] == "t"
    await until(lambda: subscriber.app.readiness_problem() is None)
    assert await contents(client, 1) == [1]


async def test_a_page_for_a_subscriber_that_left_is_not_read(
    queue: StubQueue, subscriber: Service, dial: Dial
) -> None:
    """Msgqueue is told that nothing waits for it any more."""
    queue.is_mute = True
    client = await dial(subscriber, "/subscribe")
    await client.send("sub t.* last=1")
    await queue.until(lambda: len(queue.reads) == 1)
    client.transport.abort()
    await queue.until(lambda: queue.cancelled == [queue.reads[0].ref])


async def test_archive_link_drops_in_the_middle(
    queue: StubQueue, start_service: StartService, dial: Dial
) -> None:
    """A page that was asked for when the link dropped is asked for again; nothing is missing."""
    for n in range(1, 1201):
        queue.store("t", n)
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    client = await dial(subscriber, "/subscribe")
    queue.is_mute = True
    await client.send("sub t after=0")
    await queue.until(lambda: bool(queue.reads))
    queue.is_mute = False
    queue.drop()
    assert (await receive(client))[0]["subscribed"] == "t"
    assert await contents(client, 1200) == list(range(1, 1201))


async def test_log_replaced(queue: StubQueue, subscriber: Service, dial: Dial) -> None:
    """When msgqueue's log is another one, subscribers are sent away: their positions mean nothing in it."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    await queue.publish(("t", 1), ("t", 2))
    await contents(client, 2)
    await queue.stop()
    queue.log.clear()
    await queue.start()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1013
    again = await dial(subscriber, "/subscribe")
    assert await ask(again, "sub t") == {"subscribed": "t", "seq": 0}


@pytest.mark.parametrize(
    "evasion",
    [{"error": "queue-unavailable", "reason": "the disk is away"}, {"drain": {"retry_ms": 1}}],
    ids=["queue-unavailable", "drain"],
)
async def test_subscribers_stay_when_the_queue_evades(
    queue: StubQueue, subscriber: Service, dial: Dial, evasion: object
) -> None:
    """Only an unknown position means another log; after any other answer the log is followed again."""
    client = await dial(subscriber, "/subscribe")
    await ask(client, "sub t")
    queue.evasions.append(evasion)
    queue.store("t", 1)
    queue.drop()
    assert await contents(client, 1) == [1]
    assert not queue.evasions
