"""Takes the pictures of the web page that the documents show: ``python -m tests.chat.static.screenshots``.

The page, the services and the messages in them are real. Only the times of day are made up, so that a
picture does not take a morning.
"""

import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from playwright.async_api import Browser, Page, Route

import certs
from fanline.security.client_tls import client_context
from tests.chat.static.browser import Installation, log_in, open_browser

FOLDER = Path(__file__).resolve().parents[3] / "docs/images"

NOW = datetime.now(UTC).replace(hour=10, minute=24, second=0, microsecond=0)

WHO = "Mei"
KEY = "k" * 32

# How many minutes ago, who, and what.
TALK = [
    (1127, "Jonas", "Calling it a day. The migration ran through on staging, 41 minutes, nothing skipped."),
    (1125, "Noor", "41 minutes! It was two hours in spring."),
    (81, "Noor", "Good morning, all. Shall we do production today, then?"),
    (79, "Tomás", "Fine with me. I would like to restart msgqueue once while it runs, on purpose."),
    (78, "Tomás", "If users notice, we were not ready."),
    (
        74,
        WHO,
        "I am for it. Same plan as on staging:\n1. both edges\n2. msgqueue\n3. count, on both sides",
    ),
    (73, WHO, "Dashboard to watch: https://grafana.example.org/d/fanline"),
    (41, "Jonas", "Steps 1 and 2 are done. Was any user thrown out?"),
    (40, "Noor", "My page said “Reconnecting” for about a second. All messages are there."),
    (
        38,
        "Tomás",
        "2,184,402 published, 2,184,402 received. I counted them, I did not put them in a set.",
    ),
    (2, WHO, "Then I write it up in the release notes. Thank you!"),
]

ROOMS = ["Releases", "Design review", "On call", "Kitchen", "Customers"]
UNREAD = {"On call": 1, "Kitchen": 4}


def restaged(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events at the times of the script above; comings and goings in front of what was said then."""
    times = iter(TALK)
    ago = TALK[0][0]
    for event in events:
        if event["type"] == "chat":
            ago = next(times)[0]
        event["sent"] = (
            (NOW - timedelta(minutes=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    return events


async def furnish(installation: Installation, stack: AsyncExitStack) -> str:
    """Make rooms, and let people talk; return the room that they talk in."""
    rooms = {name: await installation.make_room(name) for name in ROOMS}
    room = rooms["Releases"]
    people = {}
    for name in ("Jonas", "Noor", "Tomás"):
        people[name] = await stack.enter_async_context((await installation.log_in(name)).enter(room))
    async with (await installation.log_in(WHO, key=KEY)).enter(room) as own:
        for _, name, text in TALK:
            await {**people, WHO: own}[name].say(text)
    return room


async def open_page(browser: Browser, installation: Installation, room: str, **how: Any) -> Page:
    """Open the room on a page whose clock says the time of the script."""

    async def restage(route: Route) -> None:
        async with installation.http() as http:
            answer = await http.get(route.request.url, headers=route.request.headers)
            await route.fulfill(json=restaged(answer.json()))

    window = await browser.new_context(locale="en-GB", timezone_id="UTC", **how)
    await window.add_init_script(f"localStorage['fanline.key.{WHO}'] = JSON.stringify('{KEY}')")
    page = await window.new_page()
    await page.clock.install(time=NOW)
    await page.route("**/messages?*", restage)
    await log_in(page, installation.url, WHO, room)
    await page.locator(".bubble").nth(len(TALK) - 1).wait_for()
    await page.locator("#members li").nth(3).wait_for(state="attached")
    return page


async def take(page: Page, name: str) -> None:
    await page.screenshot(path=FOLDER / f"chat-{name}.png")
    print(f"{FOLDER / f'chat-{name}.png'}")  # noqa: T201 - a program's output


async def main() -> None:
    """Take all pictures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certs.ensure(folder)
        tls = client_context(folder)
        installation = await stack.enter_async_context(Installation(folder, folder, tls))
        browser = await stack.enter_async_context(open_browser(folder, has_scrollbars=True))
        room = await furnish(installation, stack)
        size = {"width": 1240, "height": 860}
        wide = await open_page(browser, installation, room, viewport=size)
        await speak_elsewhere(installation)
        await wide.get_by_role("link", name="Kitchen, 4 unread messages").wait_for()
        await take(wide, "light")
        await wide.emulate_media(color_scheme="dark")
        await take(wide, "dark")
        size = {"width": 390, "height": 780}
        phone = await open_page(browser, installation, room, viewport=size, is_mobile=True, has_touch=True)
        await take(phone, "phone")


async def speak_elsewhere(installation: Installation) -> None:
    async with installation.http() as http:
        ids = {room["roomName"]: room["roomId"] for room in (await http.get("/api/rooms")).json()}
    person = await installation.log_in("Sofia")
    for name, count in UNREAD.items():
        await person.say(ids[name], *(f"{number}" for number in range(count)))


if __name__ == "__main__":
    uvloop.run(main())
