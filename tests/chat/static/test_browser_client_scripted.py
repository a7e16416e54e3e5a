"""``fanline.js`` in the page of another site, on services that the test plays."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.chat.static.browser import Site, until
from tests.chat.static.conftest import OpenWindow
from tests.chat.static.elsewhere import open_elsewhere, play, send

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Addresses of services that are not there: the tests below stand in for them.
PUBLISHER, SUBSCRIBER, CHAT = "wss://publisher.test", "wss://subscriber.test", "wss://chat.test"


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: Site, open_window: OpenWindow) -> Page:
    """A page of another site, for services that a test plays, with a clock that it can put forward."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    return await open_elsewhere(site, page)


def message(seq: int, topic: str = "orders.eu") -> dict[str, Any]:
    return {"topic": topic, "content": seq, "seq": seq, "time": 1}


async def test_resume(page: Page) -> None:
    """After a lost connection each subscription resumes after its position, whatever comes again."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate(
        """(url) => {
          const subscriber = new Subscriber(url, { token: "t", onGap: (gap) => gaps.push(gap) });
          subscriber.subscribe("orders.*", (message) => got.push(["*", message.seq]), { after: 3 });
          subscriber.subscribe("orders.eu", (message) => got.push(["eu", message.seq]), { last: 1 });
        }""",
        SUBSCRIBER,
    )
    first = await script.connected(1)
    assert first.url == f"{SUBSCRIBER}/subscribe"
    await script.received({"sub": "orders.*", "after": 3}, {"sub": "orders.eu", "last": 1})
    send(first, {"subscribed": "orders.*", "seq": 3}, message(4), message(5, "orders.us"))
    send(first, {"subscribed": "orders.eu", "seq": 3}, message(4), [message(6), message(6)], message(2))
    await until(page, "() => got.length >= 5")
    await first.close(code=1011)
    await page.clock.run_for(200)
    second = await script.connected(2)
    await script.received({"sub": "orders.*", "after": 6}, {"sub": "orders.eu", "after": 6})
    send(second, {"subscribed": "orders.*", "seq": 6, "gap": {"from": 7, "to": 8}}, message(6), message(9))
    send(
        second,
        {"subscribed": "orders.eu", "seq": 8, "gap": {"from": 7, "to": 8}},
        {"gap": {"from": 9, "to": 9}},
    )
    send(second, message(10))
    await until(page, "() => got.length >= 8")
    pairs = [("*", 4), ("*", 5), ("eu", 4), ("*", 6), ("eu", 6), ("*", 9), ("*", 10), ("eu", 10)]
    assert [tuple(pair) for pair in await page.evaluate("got")] == pairs
    assert await page.evaluate("gaps") == [
        {"pattern": "orders.*", "from": 7, "to": 8},
        {"pattern": "orders.eu", "from": 7, "to": 8},
        {"pattern": None, "from": 9, "to": 9},
    ]


async def test_a_subscription_that_is_refused_later(page: Page) -> None:
    """A refusal after a reconnect is reported, and the subscription is not asked for again."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate(
        """(url) => {
          const options = { token: "t", onError: (error) => errors.push(error.code) };
          new Subscriber(url, options).subscribe("orders.*", () => {});
        }""",
        SUBSCRIBER,
    )
    for number, answer in enumerate(
        [{"subscribed": "orders.*", "seq": 3}, {"error": "forbidden", "reason": "no", "sub": "orders.*"}], 1
    ):
        connection = await script.connected(number)
        await script.take(1)
        send(connection, answer)
        await connection.close(code=1001)
        await page.clock.run_for(500)
    assert await page.evaluate("errors") == ["forbidden"]
    await script.connected(3)
    assert script.frames == []


async def test_what_has_no_ack_is_sent_again(page: Page) -> None:
    """Unanswered messages are resent in order, with the same ids, without one that was too big."""
    script = await play(page, PUBLISHER)
    await page.evaluate(
        """(url) => {
          window.publisher = new Publisher(url, { token: "t" });
          for (const id of ["a", "b", "c", "d"]) {
            const content = id === "d" ? "x".repeat(50) : id;
            show(publisher.publish("orders", content, { id })).then((answer) => got.push(answer));
          }
        }""",
        PUBLISHER,
    )

    def pending(name: str) -> dict[str, str]:
        return {"topic": "orders", "content": "x" * 50 if name == "d" else name, "id": name}

    first = await script.connected(1)
    await script.received(*map(pending, "abcd"))
    send(first, {"ok": "a", "seq": 1}, {"error": "queue-unavailable", "reason": "away", "id": "b"})
    await page.clock.run_for(200)
    second = await script.connected(2)
    await script.received(*map(pending, "bcd"))
    await second.close(code=1009)
    await page.clock.run_for(500)
    third = await script.connected(3)
    await script.received(*map(pending, "bc"))
    send(third, [{"ok": "b", "seq": 2, "duplicate": True}, {"ok": "c", "seq": 3}])
    await until(page, "() => got.length === 4")
    answers = await page.evaluate("got")
    assert [answer[:2] if isinstance(answer, list) else answer for answer in answers] == [
        {"id": "a", "seq": 1, "duplicate": False},
        ["Rejected", "too-big"],
        {"id": "b", "seq": 2, "duplicate": True},
        {"id": "c", "seq": 3, "duplicate": False},
    ]


def happened(seq: int, **more: Any) -> dict[str, Any]:
    """Return an event of a room."""
    return {"seq": seq, "type": "chat", "memberId": "m", "memberName": "Ada", "message": f"{seq}", **more}


async def test_a_room(page: Page) -> None:
    """Events come once and in order across connections; messages wait for the page's own ``joined``."""
    script = await play(page, CHAT)
    await page.evaluate(
        """(url) => {
          window.room = new Room(url, "lobby", { token: "t", onEvents: (events) => got.push(events) });
          show(room.say("one", { id: "a" })).then((answer) => errors.push(answer));
          show(room.say("two", { id: "b" })).then((answer) => errors.push(answer));
        }""",
        CHAT,
    )
    first = await script.connected(1)
    assert first.url == f"{CHAT}/api/serve/lobby"
    me = {"type": "joined", "self": True}
    await asyncio.sleep(0)
    assert script.frames == []
    send(first, happened(5, **me))
    await script.received({"message": "one", "id": "a"}, {"message": "two", "id": "b"})
    send(first, [happened(6), happened(6), {"ok": "a", "seq": 6}, happened(7)])
    await until(page, "() => errors.length === 1")
    await first.close(code=1011)
    await page.clock.run_for(200)
    second = await script.connected(2)
    assert second.url == f"{CHAT}/api/serve/lobby?after=7"
    send(second, happened(10, **me), [happened(7), happened(8)], happened(9), happened(11))
    await script.received({"message": "two", "id": "b"})
    send(second, {"type": "failed", "id": "b", "message": "two", "roomId": "lobby", "reason": "no disk"})
    await until(page, "() => errors.length === 2")
    assert await page.evaluate("errors") == [{"id": "a", "seq": 6}, ["Rejected", "failed", "no disk"]]
    seqs = await page.evaluate("got.map((events) => events.map((event) => event.seq))")
    assert seqs == [[5], [6, 7], [10], [8], [9], [11]]


async def test_back_online(page: Page) -> None:
    """A device that is back online does not wait for the next attempt."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate("(url) => { new Subscriber(url, { token: 't', onState }); }", SUBSCRIBER)
    connection = await script.connected(1)
    send(connection, {"drain": {"retry_ms": 60_000}})
    await connection.close(code=1001)
    await until(page, "() => states.at(-1).phase === 'waiting'")
    await page.evaluate("() => { dispatchEvent(new Event('online')); }")
    await script.connected(2)


async def test_withdrawn(page: Page) -> None:
    """A message that is withdrawn while there is no connection is never sent."""
    script = await play(page, PUBLISHER)
    await page.evaluate(
        """(url) => {
          const publisher = new Publisher(url, { token: "t" });
          show(publisher.publish("orders", 1, { id: "a" })).then((answer) => got.push(answer));
          publisher.publish("orders", 2, { id: "b" });
          publisher.withdraw("a");
        }""",
        PUBLISHER,
    )
    await script.received({"topic": "orders", "content": 2, "id": "b"})
    assert (await page.evaluate("got"))[0][0] == "Closed"


async def test_a_server_says_when_to_come_back(page: Page) -> None:
    """A drain notice is obeyed, instead of the usual delay."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate("(url) => { new Subscriber(url, { token: 't', onState }); }", SUBSCRIBER)
    connection = await script.connected(1)
    send(connection, {"drain": {"retry_ms": 4_000}})
    await connection.close(code=1001)
    await until(page, "() => states.at(-1).phase === 'waiting'")
    await page.clock.run_for(3_500)
    assert len(script.connections) == 1
    await page.clock.run_for(1_000)
    await script.connected(2)


@pytest.mark.parametrize("code", [1008, 4001])
async def test_closed_for_good(page: Page, code: int) -> None:
    """After these codes nothing is tried again, and what is pending is rejected."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate(
        """(url) => {
          const subscriber = new Subscriber(url, { token: "t", onState });
          show(subscriber.subscribe("orders", () => {})).then((answer) => got.push(answer));
        }""",
        SUBSCRIBER,
    )
    await (await script.connected(1)).close(code=code, reason="enough")
    await until(page, "() => got.length === 1")
    assert await page.evaluate("got") == [["Closed", code, "enough"]]
    await page.clock.run_for(60_000)
    assert len(script.connections) == 1
    assert await page.evaluate("states.map((state) => state.phase)") == ["connecting", "open", "closed"]


async def test_silence(page: Page) -> None:
    """After 20 seconds of silence a sign of life is asked for; without one, it connects again."""
    script = await play(page, SUBSCRIBER)
    await page.evaluate(
        "(url) => { new Subscriber(url, { token: 't' }).subscribe('orders', () => {}, { after: 0 }); }",
        SUBSCRIBER,
    )
    connection = await script.connected(1)
    await script.received({"sub": "orders", "after": 0})
    send(connection, {"subscribed": "orders", "seq": 0}, message(7, "orders"))
    await page.clock.run_for(20_500)
    await script.received({"sub": "orders"})
    send(connection, {"subscribed": "orders", "seq": 7})
    await page.clock.run_for(19_000)
    assert len(script.connections) == 1
    await page.clock.run_for(12_000)
    await script.connected(2)
    await script.received({"sub": "orders"}, {"sub": "orders", "after": 7})
