"""One machine, several people in turn: no words of one show to another, or go out under another's name."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORED = "() => Object.entries({ ...localStorage, ...sessionStorage }).join()"


async def lose_login(page: Page, installation: Installation) -> None:
    """End the login otherwise than by the button, as an expired one ends, and leave."""
    await page.evaluate("localStorage.removeItem('fanline.session')")
    await page.close()
    await installation.until_empty()


async def test_unsent_words_belong_to_their_author(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Words of one person are neither shown to nor sent by the next; their author finds them again."""
    room = await installation.make_room("Shared")
    window = await open_window()
    page = await window.new_page()
    await page.route_web_socket(re.compile("/api/serve/"), lambda socket: None)
    await page.goto(installation.url)
    await page.evaluate("room => { location.hash = room; }", room)
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("test")
    await page.get_by_role("button", name="Log in").click()
    await say(page, "I, Ada, quit.")
    await expect(page.locator("#unsent .bubble")).to_have_text(["I, Ada, quit."])
    await lose_login(page, installation)
    page = await window.new_page()
    await log_in(page, installation.url, "Ben", room)
    await say(page, "Hello")
    await expect(page.locator("#messages .bubble")).to_have_text(["Hello"])
    await expect(page.locator("#unsent .bubble")).to_have_count(0)
    assert await installation.messages(room) == ["Hello"]
    await lose_login(page, installation)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator("#unsent .bubble")).to_have_text(["I, Ada, quit."])
    assert await installation.messages(room) == ["Hello"]
    await page.get_by_role("button", name="Send", exact=True).and_(page.locator(".link")).click()
    await expect(page.locator("#messages .own .bubble")).to_have_text(["I, Ada, quit."])
    assert await installation.messages(room) == ["Hello", "I, Ada, quit."]


async def test_drafts_belong_to_their_author(installation: Installation, open_window: OpenWindow) -> None:
    """A draft waits for its author, in the list of rooms too; after a logout the browser has forgotten it."""
    room = await installation.make_room("Drafts")
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await page.locator("#text").fill("a secret about Ben")
    await page.get_by_role("link", name="Lobby").click()
    await expect(page.locator("#text")).to_have_value("")
    await expect(page.get_by_role("link", name="Drafts, draft")).to_be_visible()
    await lose_login(page, installation)
    page = await window.new_page()
    await log_in(page, installation.url, "Ben", room)
    await expect(page.locator("#text")).to_have_value("")
    await lose_login(page, installation)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator("#text")).to_have_value("a secret about Ben")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(page.locator("#text")).to_have_value("")
    assert "secret" not in await page.evaluate(STORED)
    await installation.until_empty()
    await log_in(page, installation.url, "Ben", room)
    await is_connected(page)
    await expect(page.locator("#text")).to_have_value("")


@pytest.mark.rough
async def test_own_is_who_wrote_it_not_a_name(installation: Installation, page: Page) -> None:
    """A name that is in use is refused with a sentence; messages of its former user are not one's own."""
    room = await installation.make_room("Sams")
    sam = await installation.log_in("Sam")
    async with sam.enter(room) as visit:
        await visit.say("I resign")
        await page.goto(f"{installation.url}/#{room}")
        await page.get_by_label("Your name").fill("Sam")
        await page.get_by_label("Password of this server").fill("test")
        await page.keyboard.press("Enter")
        await expect(page.locator("#login-error")).to_have_text(re.compile(r"^[A-Z].*\.$"))
        await expect(page.get_by_label("Your name")).to_be_focused()
    async with installation.http() as http:
        (await http.post("/logout", params={"token": sam.token})).raise_for_status()
    await installation.until_empty()
    await page.get_by_role("button", name="Log in").click()
    await is_connected(page)
    await say(page, "I do not")
    await expect(page.locator("#messages .head .name")).to_have_text(["Sam", "You"])
    await expect(page.locator("#messages .own .bubble")).to_have_text(["I do not"])


@pytest.mark.rough
async def test_a_name_that_is_in_use_by_now(installation: Installation, page: Page) -> None:
    """A page that comes back to a name in use says so, keeps what is written, and goes on when it is free."""
    room = await installation.make_room("Robs")
    rob = await installation.log_in("Rob")
    await log_in(page, installation.url, "Rob", room)
    await page.goto("about:blank")
    async with rob.enter(room):
        await page.goto(f"{installation.url}/#{room}")
        await expect(page.locator("#problem")).to_have_text(
            "Another person uses the name Rob at present. Choose another one."
        )
        await say(page, "It is me")
        await expect(page.locator("#unsent")).to_contain_text("waiting for the connection")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["It is me"])
    await expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.rough
async def test_many_rooms_by_keyboard(installation: Installation, page: Page) -> None:
    """The list of rooms is one stop of Tab; a room is found and opened, or made, from the field above it."""
    for number in range(12):
        await installation.make_room(f"Room {number}")
    await log_in(page, installation.url, "Ada")
    await expect(page.locator("#rooms a[tabindex='0']")).to_have_count(1)
    await page.locator("#rooms a[tabindex='0']").focus()
    await page.keyboard.press("Tab")
    await expect(page.locator("#log-out")).to_be_focused()
    await page.get_by_label("Find a room").fill("room 11")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("link", name="Room 11")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_label("Find a room")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Room 11")
    await page.get_by_label("Find a room").fill("Attic")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Attic")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Attic")
    await page.get_by_label("Find a room").fill("attic")
    await page.evaluate("() => { location.hash = 'lobby'; }")
    await expect(page.get_by_label("Find a room")).to_have_value("")
    await expect(page.get_by_role("link", name="Lobby")).to_be_visible()
