"""Subscriptions that come and go while the client runs, and refusals."""

import asyncio
from typing import Any

import pytest

from fanline import Rejected, Subscriber
from tests.fanline.client.subscriber.conftest import MakeSubscriber, take, values
from tests.stubs import StubSubscriber

# Subscriptions that come and go.


async def test_subscribes_while_running(stub: StubSubscriber, subscriber: Subscriber) -> None:
    """Each of the spellings of a position is passed on, and the answer comes back."""
    for n in range(5):
        stub.store("t", n)
    assert await subscriber.subscribe("now") == 5
    assert await subscriber.subscribe("t", after=3) == 3
    assert await subscriber.subscribe("*", last=1) == 4
    assert stub.commands == [{"sub": "now"}, {"sub": "t", "after": 3}, {"sub": "*", "last": 1}]


async def test_a_repeated_subscription_does_not_duplicate(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """Whatever the server does about it, each message comes once (line 5)."""
    await subscriber.subscribe("t")
    await subscriber.subscribe("t", after=0)
    await stub.publish("t", 1)
    await subscriber.subscribe("t", after=0)
    await stub.publish("t", 2)
    assert values(await take(subscriber, 2)) == [1, 2]
    assert stub.sent[1] == 2


async def test_overlapping_subscriptions_do_not_duplicate(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """A message that two patterns match comes once, through a reconnect as well."""
    await subscriber.subscribe("a.*")
    await subscriber.subscribe("a.x")
    for n in range(2):
        await stub.publish("a.x", n)
        stub.drop()
        await stub.until(lambda: stub.is_subscribed("a.x"))
    await stub.publish("a.x", 2)
    assert values(await take(subscriber, 3)) == [0, 1, 2]


async def test_unsubscribes(stub: StubSubscriber, subscriber: Subscriber) -> None:
    """After unsubscribing nothing comes any more, not even what had arrived; others go on (line 5)."""
    await subscriber.subscribe("a")
    await subscriber.subscribe("b")
    await stub.publish("a", 1)
    await stub.publish("b", 2)
    await subscriber.subscribe("c")
    await subscriber.unsubscribe("a")
    await stub.publish("a", 3)
    await stub.publish("b", 4)
    assert values(await take(subscriber, 2)) == [2, 4]
    await subscriber.unsubscribe("never-there")
    stub.drop()
    await stub.until(lambda: stub.is_subscribed("c"))
    assert not stub.is_subscribed("a")


async def test_unsubscribing_does_not_wait_for_a_lost_connection(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """A server that is gone, or goes without an answer, has no subscription any more."""
    await subscriber.subscribe("a")
    stub.deafen()
    waiting = asyncio.create_task(subscriber.unsubscribe("a"))
    await asyncio.sleep(0)
    await stub.stop()
    await waiting
    await subscriber.unsubscribe("a")
    await stub.start()


async def test_subscribing_waits_for_a_connection(stub: StubSubscriber, subscriber: Subscriber) -> None:
    """A subscription made while there is no server is there as soon as the server is."""
    await stub.stop()
    waiting = asyncio.create_task(subscriber.subscribe("t", last=7))
    await asyncio.sleep(0)
    assert not waiting.done()
    await stub.start()
    assert await waiting == 0
    assert stub.commands == [{"sub": "t", "last": 7}]


async def test_a_cancelled_subscription_can_be_taken_back(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """Giving up the wait does not disturb the answers that follow."""
    await stub.stop()
    waiting = asyncio.create_task(subscriber.subscribe("t"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await subscriber.unsubscribe("t")
    await stub.start()
    await subscriber.subscribe("u")
    assert stub.commands == [{"sub": "u"}]


# Refusals.


async def test_a_refused_subscription_is_raised(stub: StubSubscriber, subscriber: Subscriber) -> None:
    """A refusal is raised by the call that asked, and by no other."""
    stub.refusals["secret"] = Rejected("forbidden", "hello may not subscribe to secret")
    with pytest.raises(Rejected, match="hello may not subscribe to secret"):
        await subscriber.subscribe("secret")
    await subscriber.subscribe("open")
    await stub.publish("open", 1)
    assert values(await take(subscriber, 1)) == [1]


async def test_a_refused_topic_is_raised_while_iterating(
    stub: StubSubscriber, make_subscriber: MakeSubscriber
) -> None:
    """Without a waiting call the iteration raises the refusal, and can continue."""
    stub.refusals["secret"] = Rejected("forbidden", "no")
    async with make_subscriber("secret", "open") as subscriber:
        await stub.until(lambda: stub.is_subscribed("open"))
        await stub.publish("open", 1)
        with pytest.raises(Rejected, match="no"):
            await anext(subscriber)
        assert values(await take(subscriber, 1)) == [1]


async def test_rights_that_were_lost_are_told_on_the_next_connection(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """A subscription that ends with a reconnect does not end in silence."""
    await subscriber.subscribe("t")
    stub.refusals["t"] = Rejected("forbidden", "not any more")
    stub.drop()
    with pytest.raises(Rejected, match="not any more"):
        await take(subscriber, 1)


async def test_a_refused_unsubscription_is_raised(stub: StubSubscriber, subscriber: Subscriber) -> None:
    """An answer to unsub may be an error as well."""
    await subscriber.subscribe("t")
    stub.deafen()
    waiting = asyncio.create_task(subscriber.unsubscribe("t"))
    await asyncio.sleep(0)
    await stub.send('{"error": "bad-command", "reason": "no such thing", "unsub": "t"}')
    with pytest.raises(Rejected, match="no such thing"):
        await waiting
    stub.drop()


async def test_an_error_about_nothing_is_raised_while_iterating(
    stub: StubSubscriber, subscriber: Subscriber
) -> None:
    """An error that names no subscription is not swallowed."""
    await subscriber.subscribe("t")
    await stub.send('{"error": "odd", "reason": "for no reason"}')
    with pytest.raises(Rejected, match="for no reason"):
        await take(subscriber, 1)


@pytest.mark.parametrize("code", ["queue-unavailable", "rate-limited"])
async def test_a_queue_out_of_reach_is_waited_for(
    stub: StubSubscriber, subscriber: Subscriber, code: str
) -> None:
    """Some refusals are a matter of time: everything is asked for again (line 47)."""
    stub.refusals["t"] = Rejected(code, "not at present")
    waiting = asyncio.create_task(subscriber.subscribe("t"))
    await stub.until(lambda: len(stub.paths) == 2)
    del stub.refusals["t"]
    assert await waiting == 0


@pytest.mark.parametrize(
    ("pattern", "position", "code"),
    [
        ("a..b", {}, "bad-topic"),
        ("", {}, "bad-topic"),
        ("t", {"after": 1, "last": 1}, "bad-command"),
        ("t", {"last": 1, "latest": True}, "bad-command"),
        ("t", {"epoch": "e1"}, "bad-command"),
        ("t", {"after": -1}, "bad-position"),
        ("t", {"last": -1}, "bad-position"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_here(
    make_subscriber: MakeSubscriber,
    subscriber: Subscriber,
    pattern: str,
    position: dict[str, Any],
    code: str,
) -> None:
    """A wrong topic or position needs no server to be found."""
    with pytest.raises(Rejected) as caught:
        await subscriber.subscribe(pattern, **position)
    assert caught.value.code == code
    with pytest.raises(Rejected):
        make_subscriber(pattern, **position)
