"""The web page of chat, in a real browser, on real services (line 31)."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 780}


async def test_two_people_in_one_room(installation: Installation, open_window: OpenWindow) -> None:
    """Both see what both say, once, and who is there; one's own messages are marked (lines 16, 23, 31)."""
    ada, ben = await (await open_window()).new_page(), await (await open_window()).new_page()
    room = await installation.make_room("Two")
    await log_in(ada, installation.url, "Ada", room)
    await log_in(ben, installation.url, "Ben", room)
    await expect(ada.locator("#members .name")).to_have_text(["Ada", "Ben"])
    await expect(ben.locator("#members .name")).to_have_text(["Ben", "Ada"])
    await say(ada, "Hello, Ben")
    await expect(ben.locator(".bubble")).to_have_text(["Hello, Ben"])
    await say(ben, "Hello, Ada")
    for page, own, other in [(ada, "Hello, Ben", "Hello, Ada"), (ben, "Hello, Ada", "Hello, Ben")]:
        await expect(page.locator("#messages .bubble")).to_have_text(["Hello, Ben", "Hello, Ada"])
        await expect(page.locator(".own .bubble")).to_have_text([own])
        await expect(page.locator("#messages > .message:not(.own) .bubble")).to_have_text([other])
        await expect(page.locator("#unsent > li")).to_have_count(0)
        assert await page.locator("#messages time").count() == 2
        assert await page.locator("#messages .continued").count() == 0
        await expect(page.locator(".day")).to_have_text(["Today"])
    await say(ben, "How are you?")
    await expect(ada.locator("#messages .continued .bubble")).to_have_text(["How are you?"])


async def test_comings_and_goings_are_presence(installation: Installation, page: Page) -> None:
    """The list of members follows who comes and goes; the conversation has no line of it."""
    room = await installation.make_room("Comings")
    ben, eve = await installation.log_in("Ben"), await installation.log_in("Eve")
    await log_in(page, installation.url, "Ada", room)
    async with ben.enter(room) as visit, eve.enter(room):
        await expect(page.locator("#members .name")).to_have_text(["Ada", "Ben", "Eve"])
        async with eve.enter(room):
            await expect(page.locator("#members .note")).to_have_text(["you", "\N{MULTIPLICATION SIGN}2"])
        await visit.say("Hello")
    await expect(page.locator("#members .name")).to_have_text(["Ada"])
    await expect(page.locator("#members .note")).to_have_text(["you"])
    await expect(page.locator("#messages > li")).to_have_text([re.compile("Ben.*Hello")])
    await page.reload()
    await is_connected(page)
    await expect(page.locator("#messages > li")).to_have_text([re.compile("Ben.*Hello")])
    await expect(page.locator(".day")).to_have_text(["Today"])


HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


async def test_html_is_text(installation: Installation, page: Page) -> None:
    """Names, rooms and messages with HTML and scripts in them are shown as they were written."""
    name = "<b onclick=x>Eve</b>"
    room_name = "<script>hacked=1</script>"
    room = await installation.make_room(room_name)
    eve = await installation.log_in(name)
    await log_in(page, installation.url, "<i>Ada</i>", room)
    async with eve.enter(room) as visit:
        await visit.say(
            HOSTILE, "javascript:alert(1) data:text/html,x", "see https://example.org/a_(b)?q=<i>."
        )
        await say(page, HOSTILE)
        await expect(page.locator(".bubble")).to_have_text(
            [HOSTILE, "javascript:alert(1) data:text/html,x", "see https://example.org/a_(b)?q=<i>.", HOSTILE]
        )
        await expect(page.locator("#members .name")).to_have_text(["<i>Ada</i>", name])
        await expect(page.locator("#messages .head .name").first).to_have_text(name)
        await expect(page.get_by_role("heading", level=1)).to_have_text(room_name)
        await expect(page.locator("#rooms [aria-current]")).to_have_text(room_name)
    link = page.locator(".bubble a")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://example.org/a_(b)?q=")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("#chat").locator("b, i, script, .bubble img").count() == 0


async def test_unread_counts(installation: Installation, page: Page) -> None:
    """Messages in other rooms are counted until they are seen, in the list and the title, across reloads."""
    quiet, busy = await installation.make_room("Quiet"), await installation.make_room("Busy")
    ben = await installation.log_in("Ben")
    await ben.say(busy, "before Ada came")
    await log_in(page, installation.url, "Ada", quiet)
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()
    await ben.say(busy, "one", "two", "three")
    await expect(page.get_by_role("link", name="Busy, 3 unread messages")).to_be_visible()
    await expect(page).to_have_title("(3) Quiet · Fanline chat")
    await page.reload()
    await page.get_by_role("link", name="Busy, 3 unread messages").click()
    await expect(page.locator(".bubble").last).to_have_text("three")
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()
    await expect(page).to_have_title("Busy · Fanline chat")
    await ben.say(busy, "four")
    await expect(page.locator(".bubble").last).to_have_text("four")
    await page.get_by_role("link", name="Quiet").click()
    await is_connected(page)
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()


async def test_a_long_message(installation: Installation, page: Page) -> None:
    """Of a long message the beginning is shown, and the rest on request; too long a one cannot be sent."""
    room = await installation.make_room("Essay")
    await log_in(page, installation.url, "Ada", room)
    essay = "word " * 3_000
    await say(page, essay)
    bubble = page.locator("#messages .bubble")
    await expect(bubble).to_contain_text("more characters")
    assert len(await bubble.inner_text()) < 2_000
    await page.get_by_role("button", name="more characters").click()
    assert len(await bubble.inner_text()) > 14_000
    await page.locator("#text").fill("x" * 16_385)
    await expect(page.locator("#counter")).to_have_text("16,385 of 16,384 bytes")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()


async def test_on_a_phone(installation: Installation, open_window: OpenWindow) -> None:
    """On a narrow screen rooms and members are drawers, nothing is too wide, and Enter is a new line."""
    room = await installation.make_room("Pocket")
    page = await (await open_window(viewport=PHONE, has_touch=True, is_mobile=True)).new_page()
    await log_in(page, installation.url, "Ada")
    await expect(page.locator("#rooms-panel")).to_be_hidden()
    await page.get_by_role("button", name="Rooms").tap()
    await page.get_by_role("link", name="Pocket").tap()
    await expect(page.locator("#rooms-panel")).to_be_hidden()
    await is_connected(page)
    await page.locator("#text").fill("x" * 500)
    await page.locator("#text").press("Enter")
    await expect(page.locator("#text")).to_have_value("x" * 500 + "\n")
    await page.locator("#text").press("Backspace")
    await page.get_by_role("button", name="Send").tap()
    await expect(page.locator("#messages .bubble")).to_have_count(1)
    await page.get_by_role("button", name="Members: 1").tap()
    await expect(page.get_by_role("complementary", name="Members")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("complementary", name="Members")).to_be_hidden()
    width = await page.evaluate(
        "Math.max(...[...document.querySelectorAll('#chat *')].map(e => e.scrollWidth))"
    )
    assert width <= PHONE["width"]
    assert await installation.messages(room) == ["x" * 500]


async def focus(page: Page) -> str:
    """Return the id of the element that has the focus, or else its text."""
    return str(await page.evaluate("document.activeElement.id || document.activeElement.innerText"))


async def tab_to(page: Page, wanted: str) -> None:
    for _ in range(40):
        if await focus(page) == wanted:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


async def test_a_dialog_is_opened_again_at_once(installation: Installation, page: Page) -> None:
    """A dialog that is opened right after it was closed takes what is typed."""
    await log_in(page, installation.url, "Ada")
    await page.evaluate(
        """() => {
          document.getElementById("new-room").click();
          document.getElementById("make-room").close();
          document.getElementById("new-room").click();
        }"""
    )
    await page.keyboard.type("At once")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("At once")


@pytest.mark.rough
async def test_with_the_keyboard_alone(installation: Installation, page: Page) -> None:
    """Logging in, making a room, writing, going to another room and logging out need no mouse."""
    await page.goto(installation.url)
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("Ada")
    await page.keyboard.press("Tab")
    await page.keyboard.type("test")
    await page.keyboard.press("Enter")
    await is_connected(page)
    await expect(page.locator("#text")).to_be_focused()
    await tab_to(page, "new-room")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator("#new-room")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type("By hand")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("By hand")
    await is_connected(page)
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.type("one line")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("and another")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages .bubble")).to_have_text(["one line\nand another"])
    await tab_to(page, "By hand")
    await page.keyboard.press("Home")
    assert await focus(page) == "Lobby"
    await page.keyboard.press("ArrowDown")
    assert await focus(page) != "Lobby"
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
    await tab_to(page, "log-out")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()


CONTRASTS = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colors) => {
    pixel.clearRect(0, 0, 1, 1);
    for (const color of colors) { pixel.fillStyle = color; pixel.fillRect(0, 0, 1, 1); }
    return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest(":disabled")) continue;
    const grounds = [];
    for (let up = element; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    const ground = light(paint(grounds)), text = light(paint([...grounds, getComputedStyle(element).color]));
    found[element.id || element.className || element.tagName] =
      (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
  }
  return found;
}"""


NAMELESS = """() => [...document.querySelectorAll("button, input, textarea")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !each.ariaLabel && !each.labels.length && !each.innerText.trim())
  .map((each) => each.id)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read(
    installation: Installation, open_window: OpenWindow, scheme: str
) -> None:
    """All text has a contrast of 4.5 to 1, whatever the browser prefers, and every control has a name."""
    page = await (await open_window(color_scheme=scheme)).new_page()
    room, busy = (
        await installation.make_room(f"Seen {scheme}"),
        await installation.make_room(f"Unseen {scheme}"),
    )
    names = [f"{letter}{letter}" for letter in "abcdefgh"]
    await log_in(page, installation.url, "Ada", room)
    for name in names:
        await (await installation.log_in(name)).say(room, "Look: https://example.org")
    await (await installation.log_in("Ben")).say(busy, "unread")
    await say(page, "Own")
    await page.get_by_role("link", name=f"Unseen {scheme}, 1 unread message").wait_for()
    await expect(page.locator("#messages .bubble")).to_have_count(len(names) + 1)
    await page.evaluate("document.getElementById('trouble').hidden = false")
    contrasts = await page.evaluate(CONTRASTS)
    assert contrasts.keys() >= {"room-title", "avatar", "bubble", "badge", "BDI", "retry"}
    assert not {what: ratio for what, ratio in contrasts.items() if ratio < 4.5}
    assert await page.evaluate(NAMELESS) == []
