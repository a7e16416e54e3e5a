"""One machine, several people in turn: no words of one show to another, or go out under another's name."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORED = "() => Object.entries({ ...localStorage, ...sessionStorage }).join()"


async def lose_login(page: Page) -> None:
    """End the login otherwise than by the button, as an expired one ends."""
    await page.evaluate("localStorage.removeItem('fanline.session')")
    await page.close()


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
    await lose_login(page)
    page = await window.new_page()
    await log_in(page, installation.url, "Ben", room)
    await say(page, "Hello")
    await expect(page.locator("#messages .bubble")).to_have_text(["Hello"])
    await expect(page.locator("#unsent .bubble")).to_have_count(0)
    assert await installation.messages(room) == ["Hello"]
    await lose_login(page)
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
    await lose_login(page)
    page = await window.new_page()
    await log_in(page, installation.url, "Ben", room)
    await expect(page.locator("#text")).to_have_value("")
    await lose_login(page)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator("#text")).to_have_value("a secret about Ben")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(page.locator("#text")).to_have_value("")
    assert "secret" not in await page.evaluate(STORED)
    await log_in(page, installation.url, "Ben", room)
    await is_connected(page)
    await expect(page.locator("#text")).to_have_value("")
