"""``fanline.js`` in the page of another site, on real services."""

import asyncio
import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from chat.http.pages import FOLDER
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from tests.chat.static.browser import Installation, Site, until
from tests.chat.static.conftest import OpenWindow
from tests.chat.static.elsewhere import ask, open_elsewhere
from tests.processes import ServiceProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSER_MD = Path(__file__).resolve().parents[3] / "docs/browser.md"
DASHBOARD_MD = BROWSER_MD.with_name("dashboard.md")


def pipeline_token(installation: Installation, lifetime: float = 600, rights: str = "orders.>") -> str:
    """Return a token for publisher and subscriber."""
    claims = Claims.new("page", lifetime=lifetime, publish=[rights], subscribe=[rights])
    key = TokenKey(installation.token_key_file)
    key.create_if_missing()
    return key.issue(claims, PIPELINE)


@pytest_asyncio.fixture(loop_scope="session")
async def real(site: Site, open_window: OpenWindow) -> Page:
    """A page of another site, for real services."""
    return await open_elsewhere(site, await (await open_window(is_rough=True)).new_page())


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


async def test_dashboard_without_a_library(
    installation: Installation, site: Site, open_window: OpenWindow
) -> None:
    """The page of docs/dashboard.md has the newest values, publishes and resumes (lines 42, 43 and 49)."""
    (example,) = re.findall(r"^```html\n(.*?)^```", DASHBOARD_MD.read_text(), re.DOTALL | re.MULTILINE)
    pipeline = installation.pipeline
    for stated, real in {
        "https://localhost:8081": f"https://localhost:{pipeline.publisher.port}",
        "https://localhost:8082": f"https://localhost:{pipeline.subscriber.port}",
        "orders.": "dashboard.",
        "TOKEN": pipeline_token(installation, rights="dashboard.*"),
    }.items():
        assert stated in example
        example = example.replace(stated, real)
    site.files |= {"/dashboard.html": example}
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await page.goto(f"{site.origin}/dashboard.html")
    shown: dict[str, str] = {}
    for total, region in enumerate(("eu", "us", "eu"), 1):
        await expect(page.locator("#state")).to_have_text("Connected")
        await page.get_by_label("Region").select_option(region)
        await page.get_by_label("Total").fill(str(total))
        await page.get_by_role("button", name="Order").click()
        shown[region] = f"dashboard.{region}{total}page"
        await expect(page.locator("tbody tr")).to_have_text(list(shown.values()))
        await restart(pipeline.subscriber if total == 1 else pipeline.publisher, kindly=False)
    late = await window.new_page()
    await late.goto(f"{site.origin}/dashboard.html")
    await expect(late.locator("tbody tr")).to_have_text([shown["us"], shown["eu"]])


async def restart(service: ServiceProcess, *, kindly: bool) -> None:
    await (service.stop() if kindly else service.kill())
    await service.start()


async def test_through_restarts(installation: Installation, real: Page) -> None:
    """While both services are killed, or stopped, everything that is published arrives, once, in order."""
    pipeline = installation.pipeline
    await ask(
        real,
        """([publisher, subscriber, token]) => {
          window.client = connect({ publish: publisher, subscribe: subscriber, token });
          const orders = client.subscribe("orders.restart");
          orders.on("message", (message) => got.push(message.content));
          return orders.ready;
        }""",
        [pipeline.publisher.url, pipeline.subscriber.url, pipeline_token(installation)],
    )
    publish = """async (start) => {
      const all = Array.from({ length: 300 }, (_, n) => client.publish("orders.restart", start + n));
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


async def test_what_is_refused(installation: Installation, site: Site, open_window: OpenWindow) -> None:
    """A refusal has a code and a sentence, that of a login and of a foreign origin too."""
    elsewhere = await (await open_window(is_rough=True)).new_page()
    page = await open_elsewhere(site, elsewhere)
    pipeline = installation.pipeline
    addresses = [pipeline.publisher.url, pipeline.subscriber.url, pipeline_token(installation)]
    answers = await ask(
        page,
        """async ([publish, subscribe, token]) => {
          const client = connect({ publish, subscribe, token });
          const begin = (pattern, start) => client.subscribe(pattern, start).ready;
          return [
            await show(client.publish("stock.eu", 1)),
            await show(begin("stock.>")),
            await show(begin("orders.>", { after: 10 ** 12 })),
            (await client.publish("orders.a", 1, { id: "same" })).duplicate,
            (await client.publish("orders.a", 1, { id: "same" })).duplicate,
            typeof (await begin("orders.>")),
            (await client.history("orders.a", { last: 1 })).messages[0].id,
            await show(client.history("stock.eu")),
            await show(connect({ subscribe, token: "nonsense" }).subscribe("orders.>").ready),
          ];
        }""",
        addresses,
    )
    codes = [answer[:2] if isinstance(answer, list) else answer for answer in answers]
    forbidden = ["Rejected", "forbidden"]
    ended = ["Closed", 4001]
    same = [False, True, "number", "same"]
    assert codes == [forbidden, forbidden, ["Rejected", "bad-position"], *same, forbidden, ended]
    await page.goto(site.origin.replace("localhost", "127.0.0.1"))
    await until(page, "() => window.isLoaded")
    refusal = await ask(page, "([publish]) => show(connect({ publish }).publish('orders.a', 1))", addresses)
    assert refusal[:2] == ["Closed", 1008]
    assert f"'{site.origin.replace('localhost', '127.0.0.1')}' may not use this service" in refusal[2]


TOGETHER = """
export async function together(fanline, { publish, subscribe, token }, more) {
  const client = fanline.connect({ publish, subscribe, token, ...more });
  const orders = client.subscribe("orders.together", { last: 0 });
  await orders.ready;
  for (const n of [1, 2, 3]) await client.publish("orders.together", n);
  const got = [];
  for await (const { content } of orders) if (got.push(content) === 3) break;
  client.close();
  return got;
}
"""


async def test_in_a_worker_and_without_websockets(installation: Installation, site: Site, real: Page) -> None:
    """A worker publishes and receives as a page does, and so does a page whose WebSockets fail (line 50)."""
    pipeline = installation.pipeline
    site.files |= {
        "/together.js": TOGETHER,
        "/worker.js": """
            import * as fanline from "./fanline.js";
            import { together } from "./together.js";
            onmessage = async ({ data }) => postMessage(await together(fanline, data));
        """,
    }
    addresses = {
        "publish": pipeline.publisher.url,
        "subscribe": pipeline.subscriber.url,
        "token": pipeline_token(installation),
    }
    in_worker = """(addresses) => new Promise((resolve, reject) => {
      const worker = new Worker("./worker.js", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = reject;
      worker.postMessage(addresses);
    })"""
    without = """async (addresses) => {
      class Blocked extends WebSocket {
        constructor(url, protocols) { super(url.replace(/[^/]*$/, "blocked"), protocols); }
      }
      const { together } = await import("./together.js");
      return together({ connect }, addresses, { WebSocket: Blocked });
    }"""
    for script in (in_worker, without):
        assert await ask(real, script, addresses) == [1, 2, 3]


async def test_a_token_that_is_renewed(installation: Installation, real: Page) -> None:
    """With a function for tokens, one that is no longer valid only means a reconnect."""
    one, two = [(await installation.log_in(name)).token for name in ("Ada", "Ben")]
    await ask(
        real,
        """([url, token]) => {
          window.token = token;
          window.room = new Room(url, "lobby", { token: () => window.token, onState, onEvents: () => {} });
        }""",
        [installation.chat.url, one],
    )
    await until(real, "() => states.at(-1)?.phase === 'open'")
    await real.evaluate("(token) => { window.token = token; }", two)
    async with installation.http() as http:
        await http.post("/logout", headers={"Authorization": f"Bearer {one}"})
    await until(real, "() => states.some((state) => state.code === 4001)")
    await until(real, "() => states.at(-1).phase === 'open'")


async def test_a_room_from_elsewhere(installation: Installation, real: Page) -> None:
    """A page that the setting allows joins a room of chat, and is told when the room is deleted."""
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
