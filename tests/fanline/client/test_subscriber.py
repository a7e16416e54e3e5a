"""Tests of the subscribing client against a stub service, over real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from fanline import Closed, Disconnected, Gap, LoginRefused, Message, Rejected, Subscriber
from fanline.client import subscriber as subscriber_module
from tests.conftest import until
from tests.stubs import DEADLINE, PASSWORD, USER, StubSubscriber

MakeSubscriber = Callable[..., Subscriber]


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[StubSubscriber]:
    async with StubSubscriber(cert_dir) as running:
        yield running


@pytest.fixture
def make_subscriber(stub: StubSubscriber, tls: ssl.SSLContext) -> MakeSubscriber:
    """Make subscribers for the stub; the test enters them."""

    def make(*topics: str, **options: Any) -> Subscriber:
        return Subscriber(*topics, url=stub.url, user=USER, password=PASSWORD, tls=tls, **options)

    return make


@pytest.fixture
async def subscriber(make_subscriber: MakeSubscriber) -> AsyncIterator[Subscriber]:
    """A subscriber without subscriptions."""
    async with asyncio.timeout(DEADLINE), make_subscriber() as open_subscriber:
        yield open_subscriber


async def take(subscriber: Subscriber, count: int) -> list[Message]:
    async with asyncio.timeout(DEADLINE):
        return [await anext(subscriber) for _ in range(count)]


def values(messages: list[Message]) -> list[Any]:
    return [message.value() for message in messages]


# What is delivered.


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


async def test_reads_ahead_within_bounds(
    stub: StubSubscriber, make_subscriber: MakeSubscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without iteration the server waits; nothing is lost (promise 5)."""
    monkeypatch.setattr(subscriber_module, "HIGH_WATER", 4)
    monkeypatch.setattr(subscriber_module, "LOW_WATER", 2)
    for n in range(1_000):
        stub.store("t", f"{n}".rjust(20_000))
    async with make_subscriber("t", after=0) as subscriber:
        await until(lambda: stub.is_held_up)
        assert stub.sent.total() < 1_000
        received = await take(subscriber, 1_000)
    assert [message.seq for message in received] == list(range(1, 1_001))


async def test_a_command_is_answered_without_iteration(
    stub: StubSubscriber, make_subscriber: MakeSubscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task can subscribe between two messages, however many stand before the answer."""
    monkeypatch.setattr(subscriber_module, "HIGH_WATER", 4)
    monkeypatch.setattr(subscriber_module, "LOW_WATER", 2)
    for n in range(100):
        stub.store("t", n)
    async with asyncio.timeout(DEADLINE), make_subscriber("t", after=0) as subscriber:
        await take(subscriber, 1)
        await subscriber.subscribe("u")
        await subscriber.unsubscribe("u")
        assert values(await take(subscriber, 99)) == list(range(1, 100))


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
