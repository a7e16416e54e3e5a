"""The messages on the page, in a real browser, on real services."""

import asyncio
import re
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from tests.chat.browsers import layout
from tests.chat.browsers.firefox import open_firefox
from tests.chat.static.browser import Installation, is_connected, log_in, until
from tests.chat.static.conftest import OpenWindow
from tests.stubs import DEADLINE

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The most rows that may be on the page, however long the room is.
MOST_ROWS = 300
MORE_ROWS = "(count) => document.querySelectorAll('#messages > li').length > count"
EARLIER = "(number) => parseInt(document.querySelector('#messages .bubble').innerText) < number"


async def rows(page: Page) -> int:
    return await page.locator("#messages > li").count()


async def numbers(page: Page) -> list[int]:
    """Return the numbers that the messages on the page begin with, in order."""
    return [int(text.split()[0]) for text in await page.locator("#messages .bubble").all_inner_texts()]


async def walk_up(page: Page, number: int) -> list[int]:
    """Scroll up to a message of a room of numbered ones; return the numbers as they are met, from the end."""
    met = list(reversed(await numbers(page)))
    async with asyncio.timeout(DEADLINE):
        while met[-1] > number:
            await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
            await until(page, EARLIER, met[-1])
            met += [each for each in reversed(await numbers(page)) if each < met[-1]]
            assert await rows(page) <= MOST_ROWS
    return met


async def test_history_is_loaded_by_scrolling(installation: Installation, page: Page) -> None:
    """Scrolling up brings everything, in order, once, and what is looked at stays there (lines 22, 31)."""
    room = await installation.make_room("History")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(350)))
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    await expect(page.locator(".bubble").last).to_have_text("349 said")
    count = await rows(page)
    mark = page.locator(".bubble", has_text="300 said")
    before = await mark.evaluate("row => { row.scrollIntoView(); return row.getBoundingClientRect().top; }")
    await until(page, MORE_ROWS, count)
    after = await mark.evaluate("row => row.getBoundingClientRect().top")
    assert after == pytest.approx(before, abs=1)
    assert await walk_up(page, 0) == list(reversed(range(350)))
    await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
    await expect(page.locator("#beginning")).to_have_text("This is the beginning of the room.")
    await page.get_by_role("button", name="Newest messages").click()
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    await expect(page.locator(".bubble").last).to_have_text("349 said")


@pytest.mark.parametrize("count", [3_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_a_room_of_many_messages(installation: Installation, page: Page, count: int) -> None:
    """Thousands of messages come to an open page, all of them, and the page stays small (line 31)."""
    room = await installation.make_room("Long")
    ben = await installation.log_in("Ben")
    await log_in(page, installation.url, "Ada", room)
    await ben.say(room, *(f"{number} said" for number in range(count)))
    await expect(page.locator(".bubble").last).to_have_text(f"{count - 1} said")
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    assert await rows(page) <= MOST_ROWS
    assert await page.locator("#chat *").count() < 3_000
    await page.reload()
    await is_connected(page)
    assert await rows(page) <= 120
    met = await walk_up(page, count - 1_500)
    assert met == list(reversed(range(met[-1], count)))


SCROLLING = """async () => {
  const module = (name) => new URL(name, document.querySelector("script[type=module]").src);
  const { Timeline } = await import(module("page/timeline.js"));
  const list = document.createElement("ol");
  const column = document.createElement("div");
  const scroller = document.createElement("div");
  column.append(list);
  scroller.append(column);
  document.body.append(scroller);
  scroller.style = "height: 300px; overflow: auto";
  const { signal } = new AbortController();
  const options = { userId: "Ada", onNeedOlder: () => {}, onScroll: () => {}, signal };
  const timeline = new Timeline(scroller, list, options);
  const sent = new Date().toISOString();
  const event = (seq) => ({ seq, type: "chat", memberName: "Ben", userId: "Ben", message: "x", sent });
  timeline.append(Array.from({ length: 50 }, (_, seq) => event(seq)));
  const isAtBottom = scroller.scrollTop === scroller.scrollHeight - scroller.clientHeight;
  scroller.scrollTop = 100;
  timeline.append([event(50)]);
  return [isAtBottom, scroller.scrollTop, timeline.isAtBottom];
}"""


async def test_a_message_at_the_moment_of_scrolling(installation: Installation, page: Page) -> None:
    """A reader who begins to scroll up is not pulled down by a message before the scroll event."""
    await page.goto(installation.url)
    assert await page.evaluate(SCROLLING) == [True, 100, False]


async def test_new_messages_while_scrolled_up(installation: Installation, page: Page) -> None:
    """A reader of old messages is told of new ones, and is not moved."""
    room = await installation.make_room("Old")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(60)))
    await log_in(page, installation.url, "Ada", room)
    mark = page.locator(".bubble", has_text="20 said")
    before = await mark.evaluate("row => { row.scrollIntoView(); return row.getBoundingClientRect().top; }")
    pill = page.locator("#newest")
    await expect(pill).to_be_visible()
    await ben.say(room, "60 said", "61 said")
    await expect(pill).to_have_text("2 new messages")
    await expect(page.locator("#announcer")).to_contain_text("Ben: 61 said")
    after = await mark.evaluate("row => row.getBoundingClientRect().top")
    assert after == pytest.approx(before, abs=1)
    await pill.click()
    await expect(page.locator(".bubble", has_text="61 said")).to_be_in_viewport()
    await expect(pill).to_be_hidden()


DISTANCE = """async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const { scrollHeight, scrollTop, clientHeight } = document.getElementById("scroller");
  return Math.round(scrollHeight - scrollTop - clientHeight);
}"""


async def test_writing_does_not_move_the_room(installation: Installation, page: Page) -> None:
    """While a message of many lines is written, the newest one stays in view, and a new one is followed."""
    room = await installation.make_room("Lines")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(40)))
    await log_in(page, installation.url, "Ada", room)
    height = await page.locator("#text").evaluate("field => field.offsetHeight")
    for _ in range(6):
        await page.keyboard.type("a")
        assert await page.evaluate(DISTANCE) == 0
        await page.keyboard.press("Shift+Enter")
        assert await page.evaluate(DISTANCE) == 0
    assert await page.locator("#text").evaluate("field => field.offsetHeight") > 5 * height / 2
    await ben.say(room, "40 said")
    await expect(page.locator(".bubble").last).to_have_text("40 said")
    assert await page.evaluate(DISTANCE) == 0
    await expect(page.locator("#newest")).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["a\n" * 6])
    assert await page.evaluate(DISTANCE) == 0
    assert await page.locator("#text").evaluate("field => field.offsetHeight") == height
    await page.locator("#text").fill("line\n" * 200)
    assert await page.evaluate(DISTANCE) == 0
    field = await page.locator("#text").bounding_box()
    assert field is not None
    assert field["height"] <= 0.4 * 800 + 1


async def test_older_messages_after_a_reconnect(installation: Installation, open_window: OpenWindow) -> None:
    """Scrolling up after a reconnect brings each older message once."""
    room = await installation.make_room("Again")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(250)))
    page = await (await open_window(is_rough=True)).new_page()
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await page.route_web_socket(re.compile("/api/serve/"), relay)
    await log_in(page, installation.url, "Ada", room)
    await sockets[0].close(code=1012)
    await ben.say(room, "250 said")
    await expect(page.locator(".bubble").last).to_have_text("250 said")
    assert len(sockets) == 2
    assert await walk_up(page, 0) == list(reversed(range(251)))


async def test_the_layout(installation: Installation, open_window: OpenWindow) -> None:
    """Edges, names, times, mixed directions, notes and the composer are where they belong."""
    room = await installation.make_room(layout.ROOM_NAME)
    page = await (await open_window()).new_page()
    async with AsyncExitStack() as stack:
        await furnish(installation, room, stack)
        await log_in(page, installation.url, layout.OWN_NAME, room)
        await expect(page.locator("#members li")).to_have_count(3)
        await page.evaluate(layout.DROP_A_FILE)
        await expect(page.locator("#notes .note")).to_have_count(1)
        assert await page.evaluate(layout.PROBLEMS) == []
        await page.set_viewport_size({"width": 2_400, "height": 800})
        assert await page.evaluate(layout.PROBLEMS) == []
    await page.emulate_media(forced_colors="active")
    for element in (".bubble", ".avatar", "#notes .note"):
        await expect(page.locator(element).first).to_have_css("border-top-style", "solid")


async def furnish(installation: Installation, room: str, stack: AsyncExitStack) -> None:
    """Fill a room with difficult names and texts."""
    for name in layout.NAMES:
        visit = await stack.enter_async_context((await installation.log_in(name)).enter(room))
        await visit.say(layout.MIXED, layout.ZALGO)
    await visit.say(*(f"{number} said" for number in range(40)))


LOG_IN = """(name) => {
  document.getElementById("login-name").value = name;
  document.getElementById("login-password").value = "test";
  document.getElementById("login-form").requestSubmit();
}"""
IS_OPEN = """(last) => document.querySelector("#chat[data-phase=open]") !== null &&
  [...document.querySelectorAll("#messages .bubble")].at(-1)?.innerText === last"""
GO = "(room) => { location.hash = room; }"
HEIGHT = "() => document.getElementById('text').offsetHeight"
HAS_MEMBERS = "(count) => document.querySelectorAll('#members li').length === count"
FIRST_VISIBLE = """() => {
  const { top } = document.getElementById("scroller").getBoundingClientRect();
  const bubbles = [...document.querySelectorAll("#messages .bubble")];
  return bubbles.find((each) => each.getBoundingClientRect().bottom > top)?.innerText;
}"""


@pytest.mark.usefixtures("browser")
async def test_in_firefox(installation: Installation) -> None:
    """In Firefox, too, writing moves nothing, new messages have a line, and the place is kept."""
    room, other = (
        await installation.make_room(f"{layout.ROOM_NAME} 2"),
        await installation.make_room("Elsewhere"),
    )
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(open_firefox())
        await furnish(installation, room, stack)
        ben = await stack.enter_async_context((await installation.log_in("Ben")).enter(room))
        await page.goto(f"{installation.url}/#{room}")
        await page.evaluate(LOG_IN, layout.OWN_NAME)
        await until(page, IS_OPEN, "39 said")
        await until(page, HAS_MEMBERS, 4)
        await page.evaluate(layout.DROP_A_FILE)
        assert await page.evaluate(layout.PROBLEMS) == []
        # Writing six lines moves nothing, and a new message is followed.
        height = await page.evaluate(HEIGHT)
        for _ in range(6):
            await page.press("a", "Shift+Enter")
            assert await page.evaluate(DISTANCE) == 0
        assert await page.evaluate(HEIGHT) > 3 * height
        await ben.say("40 said")
        await until(page, IS_OPEN, "40 said")
        assert await page.evaluate(DISTANCE) == 0
        await page.press("b", "Enter")
        await until(page, IS_OPEN, "a\n" * 6 + "b")
        assert await page.evaluate(DISTANCE) == 0
        assert await page.evaluate(HEIGHT) == height
        # Another visit begins at the first unread message, under a line; one after that where the reader was.
        await page.evaluate(GO, other)
        await until(page, "() => document.getElementById('room-title').innerText === 'Elsewhere'")
        await ben.say(*(f"{number} new" for number in range(60)))
        await page.evaluate(GO, room)
        await until(page, "() => document.querySelector('.new')?.innerText === '60 new messages'")
        await page.evaluate("() => document.getElementById('scroller').scrollBy(0, 300)")
        place = await page.evaluate(FIRST_VISIBLE)
        assert place.endswith("new")
        await page.evaluate(GO, other)
        await until(page, "() => document.getElementById('room-title').innerText === 'Elsewhere'")
        await page.evaluate(GO, room)
        await until(page, f"(place) => ({FIRST_VISIBLE})() === place", place)
