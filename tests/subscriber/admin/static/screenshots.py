"""Takes the pictures of the status page: ``python -m tests.subscriber.admin.static.screenshots``.

The services and what they measure are real; some load is made for it, for a minute and a half.
"""

import asyncio
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from playwright.async_api import Browser, Page

from fanline import FanlineError, Publisher, Subscriber
from fanline.client import check_ready
from fanline.protocol import PopCommand, encode
from fanline.protocol.queue import Pop
from fanline.security.client_tls import client_context
from fanline.tasks import running_task
from tests.chat.static.browser import open_browser
from tests.conftest import open_websocket
from tests.stubs import PASSWORD, USER

FOLDER = Path(__file__).resolve().parents[4] / "docs/images"

SECONDS = 90
PORTS = {"publisher": 18081, "msgqueue": 18080, "subscriber": 18082, "chat": 18083}
TOPICS = ("orders.eu", "orders.us", "stock.eu", "sensors.7.temperature")


async def publish(publisher: Publisher) -> None:
    """Publish more and less, in waves."""
    for number in range(SECONDS * 10):
        for _ in range(3 + number // 20 % 12):
            await publisher.send(TOPICS[number % len(TOPICS)], {"n": number, "price": 12.5})
        await asyncio.sleep(0.1)


async def read(subscriber: Subscriber) -> None:
    async for _ in subscriber:
        pass


async def open_page(browser: Browser, url: str, **how: Any) -> Page:
    page = await (await browser.new_context(locale="en-GB", timezone_id="UTC", **how)).new_page()
    await page.goto(f"{url}/admin")
    await page.get_by_label("User with the role admin").fill(USER)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.locator("figure").first.wait_for()
    return page


async def take(page: Page, name: str) -> None:
    await page.screenshot(path=FOLDER / f"status-{name}.png")
    print(f"{FOLDER / f'status-{name}.png'}")  # noqa: T201 - a program's output


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[ssl.SSLContext]:
    """Run an installation in a folder; what clients verify it by."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FANLINE_")}
    flags = [word for name, port in PORTS.items() for word in (f"--{name}-port", str(port))]
    command = [sys.executable, "-c", "from fanline.cli import main; main()", "up", *flags]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment)
    try:
        while True:
            try:
                tls = client_context(folder / "var/certs")
                for port in PORTS.values():
                    await check_ready(f"wss://localhost:{port}", tls=tls)
            except FanlineError:
                await asyncio.sleep(0.5)
            else:
                yield tls
                break
    finally:
        process.terminate()
        await process.wait()


async def load(stack: AsyncExitStack, tls: ssl.SSLContext) -> None:
    """Publish, subscribe, and leave a durable consumer behind."""
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    queue = f"wss://localhost:{PORTS['msgqueue']}/popmsg"
    consumer = await stack.enter_async_context(open_websocket(queue, tls))
    await consumer.send(encode(PopCommand(pop=Pop(consumer="billing"))), text=True)
    for pattern in ("orders.>", "orders.eu", "stock.*", ">") * 5:
        url = f"wss://localhost:{PORTS['subscriber']}"
        subscriber = await stack.enter_async_context(Subscriber(pattern, url=url, **login))
        await stack.enter_async_context(running_task(read(subscriber)))
    async with Publisher(f"wss://localhost:{PORTS['publisher']}", **login) as publisher:
        await publish(publisher)


async def main() -> None:
    """Take all pictures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tls = await stack.enter_async_context(running(folder))
        await load(stack, tls)
        url = f"https://localhost:{PORTS['subscriber']}"
        browser = await stack.enter_async_context(open_browser(folder / "var/certs", has_scrollbars=True))
        wide = await open_page(browser, url, viewport={"width": 1240, "height": 1180})
        await take(wide, "light")
        await wide.emulate_media(color_scheme="dark")
        await take(wide, "dark")
        phone = await open_page(browser, url, viewport={"width": 390, "height": 780}, is_mobile=True)
        await take(phone, "phone")


if __name__ == "__main__":
    uvloop.run(main())
