"""The page starts, whatever the browser and the network do."""

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROKEN = """() => {
  const { name } = JSON.parse(localStorage["fanline.session"]);
  localStorage["fanline.outbox.x"] = "{broken";
  localStorage["fanline.outbox.y"] = "[]";
  localStorage[`fanline.read.${name}`] = '{"lobby":"many"}';
  localStorage[`fanline.draft.${name}.lobby`] = "7";
  localStorage["fanline.name"] = "{";
}"""

BLOCKED = """for (const area of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, area, { get() { throw new DOMException("blocked", "SecurityError"); } });
}"""


async def log_in_here(page: Page) -> None:
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("test")
    await page.get_by_role("button", name="Log in").click()
    await is_connected(page)


async def test_starts_with_broken_storage(installation: Installation, page: Page) -> None:
    """Values in the browser's storage that cannot be read count as absent."""
    await log_in(page, installation.url, "Ada")
    await page.evaluate(BROKEN)
    await page.reload()
    await is_connected(page)
    await page.evaluate("localStorage['fanline.session'] = '{broken'")
    await page.reload()
    await log_in_here(page)


async def test_starts_with_blocked_storage(installation: Installation, open_window: OpenWindow) -> None:
    """Where the browser keeps nothing for the page, it works as long as it is open."""
    window = await open_window()
    await window.add_init_script(BLOCKED)
    page = await window.new_page()
    room = await installation.make_room("Blocked")
    await page.goto(f"{installation.url}/#{room}")
    await log_in_here(page)
    await say(page, "without storage")
    await expect(page.locator("#messages .bubble")).to_have_text(["without storage"])


async def test_works_under_a_path(installation: Installation, open_window: OpenWindow) -> None:
    """All that the page asks for is under the path at which a proxy shows it (line 54)."""
    page = await (await open_window()).new_page()
    room = await installation.make_room("Prefix")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("wss", "https")))
    await page.goto(f"{installation.url}/live/rooms/{room}")
    await log_in_here(page)
    await say(page, "under a path")
    await expect(page.locator("#messages .bubble")).to_have_text(["under a path"])
    assert len(asked) > 5
    assert not [url for url in asked if not url.startswith(f"{installation.url}/live/")]
    assert not [url for url in asked if "token" in url]  # a console prints them


async def test_says_that_it_could_not_be_loaded(installation: Installation, open_window: OpenWindow) -> None:
    """A page of which a part does not come says that it loads, and after ten seconds offers to try again."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.route("**/page/chat.js", lambda route: route.abort())
    await page.goto(installation.url)
    await expect(page.get_by_text("Fanline chat is loading…")).to_be_visible()
    late = page.locator(".late")
    assert await late.evaluate("late => getComputedStyle(late).opacity") == "0"
    await late.evaluate("late => late.getAnimations().forEach(each => each.finish())")
    assert await late.evaluate("late => getComputedStyle(late).opacity") == "1"
    await page.unroute("**/page/chat.js")
    await page.get_by_role("link", name="Load it again").click()
    await expect(page.get_by_label("Your name")).to_be_focused()
    await expect(page.get_by_text("is loading")).to_have_count(0)
