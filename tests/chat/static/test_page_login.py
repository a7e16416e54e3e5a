"""Logging in and out on the page, and rooms that come and go."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.chat.static.browser import Installation, is_connected, log_in, say
from tests.chat.static.conftest import OpenWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def log_in_somewhere(page: Page, url: str, room: str) -> None:
    await page.goto(f"{url}/#{room}")
    await page.get_by_role("button", name="Enter as a guest").click()


async def test_rooms_are_made_and_deleted(installation: Installation, open_window: OpenWindow) -> None:
    """All users see a new room; when it is deleted, its members are told and are in the lobby (line 28)."""
    ada, ben = await (await open_window()).new_page(), await (await open_window()).new_page()
    await log_in(ada, installation.url, "Ada")
    await log_in(ben, installation.url, "Ben")
    await expect(ada.get_by_role("button", name="Delete room")).to_be_hidden()
    await ada.get_by_role("button", name="New room").click()
    await ada.get_by_role("textbox", name="Name", exact=True).fill("Garden")
    await ada.get_by_role("button", name="Make room").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Garden")
    await ben.get_by_role("link", name="Garden").click()
    await is_connected(ben)
    await expect(ada.locator("#members .name")).to_have_text(["Ada", "Ben"])
    await ada.get_by_role("button", name="Delete room").click()
    await expect(ada.get_by_role("alertdialog")).to_contain_text("Delete “Garden”?")
    await ada.get_by_role("button", name="Cancel").click()
    await expect(ben.get_by_role("link", name="Garden")).to_be_visible()
    await ada.get_by_role("button", name="Delete room").click()
    await ada.get_by_role("alertdialog").get_by_role("button", name="Delete room").click()
    for page in (ada, ben):
        await expect(page.locator("#notes")).to_contain_text("“Garden”")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
        await expect(page.get_by_role("link", name="Garden")).to_have_count(0)
        await is_connected(page)


async def test_a_room_that_is_not_there(installation: Installation, open_window: OpenWindow) -> None:
    """An address of no room says so, and leads to the lobby (line 24)."""
    page = await (await open_window(is_rough=True)).new_page()
    await log_in_somewhere(page, installation.url, "nowhere")
    await expect(page.locator("#notes")).to_contain_text("There is no such room")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
    await is_connected(page)


async def test_logout_in_one_tab(installation: Installation, open_window: OpenWindow) -> None:
    """Logging out in one tab ends it in all of them, and what was open is closed (line 15)."""
    window = await open_window(is_rough=True)
    one, other = await window.new_page(), await window.new_page()
    await log_in(one, installation.url, "Ada")
    await other.goto(installation.url)
    await is_connected(other)
    await one.bring_to_front()
    await one.get_by_role("button", name="Log out").click()
    for page in (one, other):
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()
        await expect(page.locator("#chat")).to_be_hidden()
    await expect(one.locator("#login-note")).to_have_text("You are logged out.")
    await log_in(one, installation.url, "Ada")
    await is_connected(other)


async def test_logout_elsewhere(installation: Installation, open_window: OpenWindow) -> None:
    """A token that is revoked from anywhere ends the page, too (line 15)."""
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, installation.url, "Ada")
    token = await page.evaluate("JSON.parse(localStorage.getItem('fanline.session')).token")
    async with installation.http() as http:
        (await http.post("/logout", params={"token": token})).raise_for_status()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(page.locator("#login-note")).to_have_text("You are logged out.")
    assert await page.evaluate("localStorage.getItem('fanline.session')") is None


async def test_wrong_password(installation: Installation, open_window: OpenWindow) -> None:
    """It is said so, and one can try again (line 13)."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.goto(installation.url)
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("wrong")
    await page.get_by_label("Password of this server").press("Enter")
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await page.get_by_label("Password of this server").fill("test")
    await page.get_by_role("button", name="Log in").click()
    await is_connected(page)


async def test_a_guest(installation: Installation, open_window: OpenWindow) -> None:
    """A guest gets a name of two words, and takes part like any user (line 23)."""
    page = await (await open_window()).new_page()
    room = await installation.make_room("Guests")
    await log_in_somewhere(page, installation.url, room)
    await is_connected(page)
    name = await page.locator("#own-name .name").inner_text()
    assert re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", name)
    await say(page, "Hello from outside")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["Hello from outside"])
