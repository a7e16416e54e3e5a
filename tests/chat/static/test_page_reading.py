"""Reading on the page: the place is kept, new messages are found, and every message has a time and a day."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say, until
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 780}

FIRST_VISIBLE = """() => {
  const { top } = document.getElementById("scroller").getBoundingClientRect();
  const rows = [...document.querySelectorAll("#messages > li")];
  const row = rows.find((each) => each.getBoundingClientRect().bottom > top + 1);
  return row?.querySelector(".bubble")?.innerText;
}"""


async def walk_to_top(page: Page) -> None:
    """Scroll up until the room begins."""
    beginning = page.locator("#beginning", has_text="beginning of the room")
    while not await page.evaluate("document.querySelector('.bubble')?.innerText === '0 said'"):
        await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
    await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
    await beginning.wait_for()


async def go(page: Page, room: str, name: str) -> None:
    """Go to a room by its link."""
    await page.get_by_role("link", name=re.compile(f"^{name}")).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    await is_connected(page)


async def test_a_room_opens_at_the_first_unread(installation: Installation, page: Page) -> None:
    """A line tells where new messages begin, and a message counts as read once it has been visible."""
    room = await installation.make_room("Engineering")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} old" for number in range(150)))
    await log_in(page, installation.url, "Ada", room)
    await go(page, "lobby", "Lobby")
    await ben.say(room, *(f"{number} new" for number in range(161)))
    await expect(page.get_by_role("link", name="Engineering, 161 unread messages")).to_be_visible()
    await go(page, room, "Engineering")
    await expect(page.locator(".new")).to_have_text("161 new messages")
    await expect(page.locator(".new")).to_be_in_viewport()
    await expect(page.locator(".bubble", has_text=re.compile("^0 new"))).to_be_in_viewport()
    await expect(page.locator(".bubble", has_text=re.compile("^149 old"))).to_be_in_viewport()
    link = page.get_by_role("link", name="Engineering")
    await expect(link).to_have_accessible_name(re.compile(r"Engineering, 1[45]\d unread messages"))
    await page.get_by_role("button", name=re.compile(r"1[45]\d new messages")).click()
    await expect(page.locator(".bubble", has_text=re.compile("^160 new"))).to_be_in_viewport()
    await expect(link).to_have_accessible_name("Engineering")
    await go(page, "lobby", "Lobby")
    await go(page, room, "Engineering")
    await expect(page.locator(".bubble", has_text="160 new")).to_be_in_viewport()
    await expect(page.locator(".new")).to_have_count(0)


async def test_the_place_is_kept(installation: Installation, page: Page) -> None:
    """Going to another room and back, and loading the page again, lead to the same messages.

    What has come in between is under a line all the same.
    """
    room = await installation.make_room("Place")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(300)))
    await log_in(page, installation.url, "Ada", room)
    for _ in range(3):
        before = await page.locator(".bubble").first.inner_text()
        await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
        await until(page, "before => document.querySelector('.bubble').innerText !== before", before)
    place = await page.evaluate(FIRST_VISIBLE)
    assert int(place.split()[0]) < 200
    await go(page, "lobby", "Lobby")
    await ben.say(room, "300 said", "301 said")
    await expect(page.get_by_role("link", name="Place, 2 unread messages")).to_be_visible()
    await page.go_back()
    await is_connected(page)
    await until(page, f"place => ({FIRST_VISIBLE})() === place", place)
    await expect(page.locator(".new")).to_have_text("2 new messages")
    await page.reload()
    await is_connected(page)
    await until(page, f"place => ({FIRST_VISIBLE})() === place", place)


async def test_unread_rooms_show_on_a_phone(installation: Installation, open_window: OpenWindow) -> None:
    """The button of the drawer has the number of unread messages, for the eye and for the ear."""
    room = await installation.make_room("Elsewhere")
    page = await (await open_window(viewport=PHONE, has_touch=True, is_mobile=True)).new_page()
    await log_in(page, installation.url, "Ada")
    await expect(page.locator("#unread")).to_be_hidden()
    await (await installation.log_in("Ben")).say(room, "one", "two")
    await expect(page.get_by_role("button", name="Rooms, 2 unread messages")).to_be_visible()
    await expect(page.locator("#unread")).to_have_text("2")


async def test_every_message_has_a_day_and_a_time(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Day and sender of the topmost message are on the page, and the time of each message in its margin."""
    room = await installation.make_room("Times")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(200)))
    page = await (await open_window()).new_page()
    await page.clock.install()
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator("#day")).to_be_visible()
    await expect(page.locator("#day")).to_have_text("Today · Ben")
    await page.locator("#scroller").evaluate("scroller => scroller.scrollBy(0, -300)")
    await expect(page.locator("#day")).to_be_visible()
    row = page.locator(".continued").last
    await expect(row.locator(".head")).to_have_css("opacity", "0")
    await row.hover()
    await expect(row.locator(".head")).to_have_css("opacity", "1")
    await expect(row.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d$"))
    await page.mouse.move(0, 0)
    await row.focus()
    await expect(row.locator(".head")).to_have_css("opacity", "1")
    await page.clock.fast_forward("24:00:00")
    await expect(page.locator("#day")).to_have_text("Yesterday · Ben")
    await walk_to_top(page)
    await expect(page.locator(".day")).to_have_text(["Yesterday"])
    await expect(page.locator("#day")).to_be_hidden()


async def test_rooms_are_known_during_an_outage(installation: Installation, open_window: OpenWindow) -> None:
    """A room that was open before shows its newest messages during an outage; the place in them stays."""
    room, other = await installation.make_room("Known"), await installation.make_room("Other")
    await (await installation.log_in("Ben")).say(room, *(f"{number} said" for number in range(80)))
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await say(page, "hello")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["hello"])
    await go(page, other, "Other")
    await window.set_offline(True)
    await page.get_by_role("link", name="Known").click()
    await expect(page.locator("#messages .bubble").last).to_have_text("hello")
    await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 400)")
    await expect(page.locator("#newest")).to_be_visible()
    place = await page.evaluate(FIRST_VISIBLE)
    await window.set_offline(False)
    await expect(page.locator("#messages > li")).to_have_count(81)
    await until(page, f"(place) => ({FIRST_VISIBLE})() === place", place)
    await expect(page.locator("#messages .bubble").last).to_have_text("hello")


JOINS = """async () => {
  const module = (name) => new URL(name, document.querySelector("script[type=module]").src);
  const { MemberList } = await import(module("page/members.js"));
  const list = document.getElementById("members");
  let [draws, added] = [0, 0];
  const observer = new MutationObserver((records) => {
    draws++;
    added += records.reduce((sum, { addedNodes }) => sum + addedNodes.length, 0);
  });
  observer.observe(list, { childList: true });
  const { signal } = new AbortController();
  const members = new MemberList("lobby", null, "u0", signal);
  await new Promise(requestAnimationFrame);
  draws = added = 0;
  for (let number = 0; number < 1000; number++) {
    const name = `Member ${number}`;
    const user = { memberId: `${number}`, memberName: name, userId: `u${number}` };
    members.apply({ type: "joined", seq: number, ...user });
    await null;
  }
  const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await frames();
  const others = document.getElementById("more-members").innerText;
  const before = [draws, added, others, list.firstElementChild.innerText];
  members.apply({ type: "joined", seq: 1000, memberId: "x", memberName: "A", userId: "x" });
  await frames();
  return [...before, added];
}"""


async def test_a_thousand_joins_are_drawn_once(installation: Installation, page: Page) -> None:
    """Comings in one frame are drawn together, and of a thousand members the first hundred are listed.

    One more touches no row that stays: putting a hundred in again takes long.
    """
    await page.goto(installation.url)
    await page.evaluate("document.getElementById('chat').hidden = false")
    draws, drawn, others, first, then = await page.evaluate(JOINS)
    assert (draws, drawn, others, then) == (1, 100, "and 900 others", 101)
    assert "you" in first
