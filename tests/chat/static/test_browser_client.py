"""``fanline.js`` in the page of somebody else: publisher, subscriber and room, without chat's own page."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, WebSocketRoute, expect

from chat.http.pages import FOLDER
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from tests.chat.static.browser import Installation, Site, until
from tests.chat.static.conftest import OpenWindow
from tests.processes import ServiceProcess
from tests.stubs import DEADLINE

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSER_MD = Path(__file__).resolve().parents[3] / "docs/browser.md"

EMPTY = """<!doctype html><script type="module">
import * as fanline from "./fanline.js";
Object.assign(window, fanline, { got: [], states: [], gaps: [], errors: [] });
window.onState = (state) => states.push(state);
window.show = (promise) => promise.catch((error) => [error.name, error.code ?? null, error.message]);
window.isLoaded = true;
</script>"""

# Addresses of services that are not there: the tests below stand in for them.
PUBLISHER, SUBSCRIBER, CHAT = "wss://publisher.test", "wss://subscriber.test", "wss://chat.test"


def pipeline_token(installation: Installation, lifetime: float = 600, rights: str = "orders.>") -> str:
    """A token for publisher and subscriber."""
    claims = Claims.new("page", lifetime=lifetime, publish=[rights], subscribe=[rights])
    return TokenKey(installation.token_key_file).issue(claims, PIPELINE)


async def open_elsewhere(site: Site, page: Page) -> Page:
    """Open an empty page of another site, which loads the module."""
    site.files |= {"/": EMPTY, "/fanline.js": (FOLDER / "fanline.js").read_text()}
    await page.goto(site.origin)
    await until(page, "() => window.isLoaded")
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def real(site: Site, open_window: OpenWindow) -> Page:
    """A page of another site, for real services."""
    return await open_elsewhere(site, await (await open_window(is_rough=True)).new_page())


@pytest_asyncio.fixture(loop_scope="session")
async def page(site: Site, open_window: OpenWindow) -> Page:
    """A page of another site, for services that a test plays, with a clock that it can put forward."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    return await open_elsewhere(site, page)


async def ask(page: Page, script: str, given: object) -> Any:
    """Evaluate what may take a while, but not for ever."""
    async with asyncio.timeout(DEADLINE):
        return await page.evaluate(script, given)


class Script:
    """A service that a test plays itself, one connection after the other."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.connections: list[WebSocketRoute] = []
        self._news = asyncio.Event()

    def opened(self, connection: WebSocketRoute) -> None:
        """Take a connection: what a route is given as its handler."""
        self.connections.append(connection)
        connection.on_message(lambda text: self._take(json.loads(text)))
        self._news.set()

    async def connected(self, count: int) -> WebSocketRoute:
        """Wait for a connection, by its number from 1 on."""
        await self.until(lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    async def received(self, *frames: Any) -> None:
        """Wait for so many frames, and compare all that were received since the last time."""
        assert await self.take(len(frames)) == list(frames)

    async def take(self, count: int) -> list[Any]:
        """Wait for so many frames, and return all that were received since the last time."""
        await self.until(lambda: len(self.frames) >= count)
        taken, self.frames = self.frames, []
        return taken

    def _take(self, frame: Any) -> None:
        self.frames += frame if isinstance(frame, list) else [frame]
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; it is looked at whenever something comes."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def play(page: Page, url: str) -> Script:
    """Stand in for the service at an address."""
    script = Script()
    await page.route_web_socket(re.compile(f"^{url}/"), script.opened)
    return script


def send(connection: WebSocketRoute, *frames: Any) -> None:
    for frame in frames:
        connection.send(json.dumps(frame))


def message(seq: int, topic: str = "orders.eu") -> dict[str, Any]:
    return {"topic": topic, "content": seq, "seq": seq, "time": 1}


# Against the real services.


async def test_the_example_of_the_documentation(
    installation: Installation, site: Site, open_window: OpenWindow
) -> None:
    """The page that docs/browser.md shows, served from elsewhere, publishes and receives."""
    (example,) = re.findall(r"^```html\n(.*?)^```", BROWSER_MD.read_text(), re.DOTALL | re.MULTILINE)
    for stated, real in {
        "wss://localhost:8081": installation.pipeline.publisher.url,
        "wss://localhost:8082": installation.pipeline.subscriber.url,
        "TOKEN": pipeline_token(installation),
    }.items():
        assert stated in example
        example = example.replace(stated, real)
    site.files |= {"/orders.html": example, "/fanline.js": (FOLDER / "fanline.js").read_text()}
    one, other = await (await open_window()).new_page(), await (await open_window()).new_page()
    for page in (one, other):
        await page.goto(f"{site.origin}/orders.html")
        await expect(page.locator("#state")).to_have_text("Connected")
    await one.get_by_label("Total").fill("12.5")
    await one.get_by_role("button", name="Order").click()
    await expect(one.locator("#state")).to_contain_text("Your order is on disk")
    for page in (one, other):
        await expect(page.locator("li")).to_have_count(1)
        await expect(page.locator("li")).to_contain_text("12.5 by page,")


async def restart(service: ServiceProcess, *, kindly: bool) -> None:
    await (service.stop() if kindly else service.kill())
    await service.start()


async def test_through_restarts(installation: Installation, real: Page) -> None:
    """While both services are killed, or stopped, everything that is published arrives, once, in order."""
    pipeline = installation.pipeline
    await ask(
        real,
        """([publisher, subscriber, token]) => {
          window.publisher = new Publisher(publisher, { token });
          window.subscriber = new Subscriber(subscriber, { token });
          return window.subscriber.subscribe("orders.restart", (message) => got.push(message.content));
        }""",
        [pipeline.publisher.url, pipeline.subscriber.url, pipeline_token(installation)],
    )
    publish = """async (start) => {
      const all = Array.from({ length: 300 }, (_, n) => publisher.publish("orders.restart", start + n));
      return (await Promise.all(all)).map((ack) => ack.seq);
    }"""
    seqs: list[int] = []
    for turn, kindly in enumerate([False, True]):
        publishing = asyncio.create_task(ask(real, publish, turn * 300))
        await asyncio.gather(
            *(restart(each, kindly=kindly) for each in (pipeline.publisher, pipeline.subscriber))
        )
        seqs += await publishing
    await until(real, "() => got.length >= 600")
    assert await real.evaluate("got") == list(range(600))
    assert seqs == sorted(set(seqs))


async def test_what_is_refused(installation: Installation, real: Page) -> None:
    """A refusal has a code and a sentence, and the connection goes on."""
    answers = await ask(
        real,
        """async ([publisher, subscriber, token]) => {
          const out = new Publisher(publisher, { token });
          const into = new Subscriber(subscriber, { token });
          return [
            await show(out.publish("or ders", 1)),
            await show(out.publish("stock.eu", 1)),
            await show(into.subscribe("stock.>", () => {})),
            await show(into.subscribe("orders.>", () => {}, { after: 10 ** 12 })),
            (await out.publish("orders.a", 1, { id: "same" })).duplicate,
            (await out.publish("orders.a", 1, { id: "same" })).duplicate,
            typeof (await into.subscribe("orders.>", () => {})),
            await show(into.subscribe("orders.>", () => {})),
          ];
        }""",
        [
            installation.pipeline.publisher.url,
            installation.pipeline.subscriber.url,
            pipeline_token(installation),
        ],
    )
    codes = [answer[:2] if isinstance(answer, list) else answer for answer in answers]
    assert codes == [
        ["Rejected", "bad-topic"],
        ["Rejected", "forbidden"],
        ["Rejected", "forbidden"],
        ["Rejected", "bad-position"],
        False,
        True,
        "number",
        ["Rejected", "bad-command"],
    ]


async def test_a_token_that_is_no_good(installation: Installation, real: Page) -> None:
    """A token that was never good, or has expired, ends the client for good, and says so."""
    for token in ("nonsense", pipeline_token(installation, lifetime=-10)):
        refusal = await ask(
            real,
            "([url, token]) => show(new Subscriber(url, { token }).subscribe('orders.>', () => {}))",
            [installation.pipeline.subscriber.url, token],
        )
        assert refusal[:2] == ["Closed", 4001]


async def test_a_token_that_is_renewed(installation: Installation, real: Page) -> None:
    """Where a function gives the tokens, the end of one is no more than a reconnect."""
    tokens = [pipeline_token(installation, lifetime=1), pipeline_token(installation)]
    await ask(
        real,
        """async ([url, tokens]) => {
          const subscriber = new Subscriber(url, { token: () => tokens.shift(), onState });
          await subscriber.subscribe("orders.>", () => {});
        }""",
        [installation.pipeline.subscriber.url, tokens],
    )
    await until(real, "() => states.some((state) => state.code === 4001)")
    await until(real, "() => states.at(-1).phase === 'open'")


async def test_a_room_from_elsewhere(installation: Installation, real: Page) -> None:
    """A page that the setting allows joins a room of chat with the module, and hears when it is deleted."""
    room = await installation.make_room("Elsewhere")
    person = await installation.log_in("Ada")
    url = installation.chat.url
    ack = await ask(
        real,
        """([url, room, token]) => {
          window.room = new Room(url, room, { token, onState, onEvents: (events) => got.push(...events) });
          return window.room.say("from elsewhere");
        }""",
        [url, room, person.token],
    )
    await until(real, "() => got.length >= 2")
    me, said = await real.evaluate("got")
    assert (me["type"], me["memberName"], me["self"]) == ("joined", "Ada", True)
    assert (said["message"], said["memberId"], said["seq"]) == ("from elsewhere", me["memberId"], ack["seq"])
    async with installation.http() as http:
        await http.delete(f"/api/room/{room}")
    await until(real, "() => states.at(-1).phase === 'closed'")
    assert (await real.evaluate("states.at(-1)"))["code"] == 4004


# Against services that the test plays.


async def test_resume(page: Page) -> None:
    """After a lost connection each subscription goes on behind what it had, whatever comes again."""
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
    assert first.url == f"{SUBSCRIBER}/subscribe?token=t"
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
    """A refusal after a reconnect is told, and the subscription is not asked for again."""
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
    """In order, with the same ids; also when the queue was away, and without what was too big."""
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

    def parcel(name: str) -> dict[str, str]:
        return {"topic": "orders", "content": "x" * 50 if name == "d" else name, "id": name}

    first = await script.connected(1)
    await script.received(*map(parcel, "abcd"))
    send(first, {"ok": "a", "seq": 1}, {"error": "queue-unavailable", "reason": "away", "id": "b"})
    await page.clock.run_for(200)
    second = await script.connected(2)
    await script.received(*map(parcel, "bcd"))
    await second.close(code=1009)
    await page.clock.run_for(500)
    third = await script.connected(3)
    await script.received(*map(parcel, "bc"))
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
    """Something that happens in a room."""
    return {"seq": seq, "type": "chat", "memberId": "m", "memberName": "Ada", "message": f"{seq}", **more}


async def test_a_room(page: Page) -> None:
    """Events come once and in order across connections; what is said waits for one's own ``joined``."""
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
    assert first.url == f"{CHAT}/api/serve/lobby?token=t"
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
    assert second.url == f"{CHAT}/api/serve/lobby?after=7&token=t"
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


async def test_a_window_of_messages(page: Page) -> None:
    """Of very many messages a thousand are on their way at a time, and answers make room for more."""
    script = await play(page, PUBLISHER)
    await page.evaluate(
        """(url) => {
          window.publisher = new Publisher(url, { token: "t" });
          for (let n = 0; n < 2500; n++) {
            publisher.publish("orders", n, { id: `${n}` }).then(() => got.push(n));
          }
        }""",
        PUBLISHER,
    )
    connection = await script.connected(1)
    for start, count in ((0, 1000), (1000, 1000), (2000, 500)):
        taken = await script.take(count)
        assert [frame["content"] for frame in taken] == list(range(start, start + count))
        send(connection, [{"ok": str(number), "seq": number + 1} for number in range(start, start + count)])
    await until(page, "() => got.length === 2500")


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
    """After these codes nothing is tried again, and everybody who waits is told."""
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
    """After 20 seconds without a word a sign of life is asked for; without one, it connects again."""
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
