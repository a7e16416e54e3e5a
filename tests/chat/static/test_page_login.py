"""Logging in and out on the page, and rooms that come and go."""

import asyncio
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
    """All users see a new room; when it is deleted, members are told and are in the lobby (line 28)."""
    ada = await (await open_window(is_rough=True)).new_page()
    ben = await (await open_window(is_rough=True)).new_page()
    await log_in(ada, installation.url, "Ada")
    await log_in(ben, installation.url, "Ben")
    await expect(ada.get_by_role("button", name="More")).to_be_hidden()
    await ada.get_by_role("button", name="New room").click()
    await ada.get_by_role("textbox", name="Name", exact=True).fill("Garden")
    await ada.get_by_role("button", name="Make room").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Garden")
    await ben.get_by_role("link", name="Garden").click()
    await is_connected(ben)
    await expect(ada.locator("#members .name")).to_have_text(["Ada", "Ben"])
    await expect(ben.get_by_role("button", name="More")).to_be_hidden()
    await ada.get_by_role("button", name="More").click()
    await ada.get_by_role("button", name="Delete room").click()
    await expect(ada.get_by_role("alertdialog")).to_contain_text("Delete “Garden”?")
    await ada.get_by_role("button", name="Cancel").click()
    await expect(ben.get_by_role("link", name="Garden")).to_be_visible()
    await ada.get_by_role("button", name="More").click()
    await ada.get_by_role("button", name="Delete room").click()
    await ada.get_by_role("alertdialog").get_by_role("button", name="Delete room").click()
    told = [
        expect(page.locator("#notes .note")).to_have_text([re.compile("“Garden”")]) for page in (ada, ben)
    ]
    await asyncio.gather(*told)  # notes pass
    for page in (ada, ben):
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
        await expect(page.get_by_role("link", name="Garden")).to_have_count(0)
        await is_connected(page)
    await ada.get_by_role("button", name="Undo").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Garden")
    await expect(ben.get_by_role("link", name="Garden")).to_be_visible()
    await restore_from_the_list(ada, ben)


async def restore_from_the_list(ada: Page, ben: Page) -> None:
    """Find a deleted room again among those that its creator, and no other person, can restore."""
    await is_connected(ada)
    await say(ada, "It will be back")
    await expect(ada.locator("#messages .bubble")).to_have_text(["It will be back"])
    await ada.get_by_role("button", name="More").click()
    await ada.get_by_role("button", name="Delete room").click()
    await ada.get_by_role("alertdialog").get_by_role("button", name="Delete room").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Lobby")
    await ada.reload()
    async with ben.expect_response("**/api/rooms/deleted") as answered:
        await ben.get_by_role("button", name="New room").click()
    assert await (await answered.value).json() == []
    await expect(ben.get_by_text("Deleted rooms")).to_be_hidden()
    await ada.get_by_role("button", name="New room").click()
    await expect(ada.locator("#deleted li")).to_have_text([re.compile("Garden")])
    await ada.get_by_role("button", name="Restore").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Garden")
    await expect(ada.locator("#messages .bubble")).to_have_text(["It will be back"])
    await expect(ada.get_by_role("dialog")).to_have_count(0)


@pytest.mark.rough
async def test_a_room_that_is_not_there(installation: Installation, page: Page) -> None:
    """An address of no room says so, and leads to the lobby (line 24)."""
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
    await installation.until_empty()
    await log_in(one, installation.url, "Ada")
    await is_connected(other)


@pytest.mark.rough
async def test_logout_elsewhere(installation: Installation, page: Page) -> None:
    """A token that is revoked from anywhere ends the page, too (line 15); no window of it stays open."""
    await log_in(page, installation.url, "Ada")
    await page.get_by_role("button", name="New room").click()
    token = await page.evaluate("JSON.parse(localStorage.getItem('fanline.session')).token")
    async with installation.http() as http:
        (await http.post("/logout", params={"token": token})).raise_for_status()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(page.locator("#login-note")).to_have_text("You are logged out.")
    await expect(page.locator("#make-room")).to_be_hidden()
    assert await page.evaluate("localStorage.getItem('fanline.session')") is None


async def test_wrong_password(installation: Installation, open_window: OpenWindow) -> None:
    """It is said so, the password is there to be replaced, and one can try again (line 13).

    The page shows the name of the installation, and offers to be a guest only where the server has guests.
    """
    page = await (await open_window(is_rough=True)).new_page()
    about = {"name": "Ops", "guests": False}
    await page.route("**/api/about", lambda route: route.fulfill(json=about))
    await page.goto(installation.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ops")
    await expect(page.locator("#guest")).to_be_hidden()
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("wrong")
    await page.get_by_label("Password of this server").press("Enter")
    await expect(page.locator("#login-error")).to_have_text(re.compile(r"^[A-Z].*[.!]$"))
    await expect(page.get_by_label("Password of this server")).to_be_focused()
    await page.keyboard.type("test")
    await page.keyboard.press("Enter")
    await is_connected(page)


async def test_too_many_logins(installation: Installation, open_window: OpenWindow) -> None:
    """The button counts the seconds down that the server asks to wait for, and works after them."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    await page.goto(installation.url)
    problem = {"detail": "too many logins", "code": "rate-limited"}
    await page.route(
        "**/login", lambda route: route.fulfill(status=429, headers={"Retry-After": "12"}, json=problem)
    )
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("test")
    await page.keyboard.press("Enter")
    button = page.locator("#log-in")
    await expect(button).to_have_text("Log in (in 12 s)")
    await expect(button).to_be_disabled()
    await expect(page.locator("#login-error")).to_have_text("Too many logins.")
    await page.unroute("**/login")
    await page.clock.run_for(12_100)
    await expect(button).to_have_text("Log in")
    await button.click()
    await is_connected(page)


async def test_a_login_that_is_not_accepted_any_more(
    installation: Installation, open_window: OpenWindow
) -> None:
    """It is the server that ends a login, and the page says so; a clock that is wrong ends none."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    await page.clock.set_system_time("2031-01-01")
    await log_in(page, installation.url, "Ada")
    await page.reload()
    await is_connected(page)
    await page.evaluate(
        """() => {
          const session = JSON.parse(localStorage["fanline.session"]);
          localStorage["fanline.session"] = JSON.stringify({ ...session, token: "a.b.c" });
        }"""
    )
    await page.reload()
    await expect(page.locator("#login-note")).to_have_text("Your login has ended. Please log in again.")


async def test_log_out_without_a_server(installation: Installation, open_window: OpenWindow) -> None:
    """The browser forgets the login at once, says that the server does not know yet, and tells it later."""
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await page.clock.install()
    await log_in(page, installation.url, "Ada")
    token = await page.evaluate("JSON.parse(localStorage.getItem('fanline.session')).token")
    await page.route("**/logout", lambda route: route.abort())
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#login-note")).to_contain_text("The server could not be told")
    assert await page.evaluate("localStorage.getItem('fanline.session')") is None
    async with installation.http() as http:
        assert (await http.get("/api/rooms", params={"token": token})).is_success
        await page.unroute("**/logout")
        async with page.expect_response("**/logout"):
            await page.clock.run_for(10_100)
        assert (await http.get("/api/rooms", params={"token": token})).status_code == 401


@pytest.mark.rough
async def test_a_room_name_that_is_refused(installation: Installation, page: Page) -> None:
    """The dialog stays, with the name in it and the reason below; room names can be looked for and made."""
    await log_in(page, installation.url, "Ada")
    await page.get_by_role("button", name="New room").click()
    name = page.get_by_role("textbox", name="Name", exact=True)
    await name.fill("b\u202ed")
    await page.get_by_role("button", name="Make room").click()
    await expect(page.locator("#room-error")).to_have_text(re.compile(r"^[A-Z].*\.$"))
    await expect(name).to_have_value("b\u202ed")
    await expect(name).to_be_focused()
    await name.fill("Good")
    await page.get_by_role("button", name="Make room").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Good")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_what_cannot_be_sent(installation: Installation, page: Page) -> None:
    """Text of which nothing is visible cannot be sent, and of files it is said that they cannot.

    An Enter that only ends the choice of a character sends nothing, as Safari tells it, either.
    """
    await log_in(page, installation.url, "Ada")
    await page.locator("#text").fill("\u200b\u200b")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await page.locator("#text").fill("half")
    for how in ({"keyCode": 229}, {"isComposing": True}):
        await page.dispatch_event("#text", "keydown", {"key": "Enter", **how})
    await expect(page.locator("#text")).to_have_value("half")
    data = await page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["x"], "x.png", { type: "image/png" }));
          return data;
        }"""
    )
    for _ in range(2):
        await page.dispatch_event("#messages", "drop", {"dataTransfer": data})
    await expect(page.locator("#notes .note")).to_have_text([re.compile("^Files cannot be sent here")])
    await page.get_by_role("button", name="Close").and_(page.locator("#notes button")).click()
    await expect(page.locator("#notes .note")).to_have_count(0)


async def test_a_guest(installation: Installation, page: Page) -> None:
    """A guest gets a name of two words, and takes part like any user (line 23)."""
    room = await installation.make_room("Guests")
    await log_in_somewhere(page, installation.url, room)
    await is_connected(page)
    name = await page.locator("#own-name .name").inner_text()
    assert re.fullmatch(r"[A-Z]\w+ [A-Z]\w+", name)
    await say(page, "Hello from outside")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["Hello from outside"])
