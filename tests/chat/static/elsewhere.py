"""A page of another site with ``fanline.js``, and services that a test plays itself."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, WebSocketRoute

from chat.http.pages import FOLDER
from tests.chat.static.browser import Site, until
from tests.stubs import DEADLINE

EMPTY = """<!doctype html><script type="module">
import * as fanline from "./fanline.js";
Object.assign(window, fanline, { got: [], states: [], gaps: [], errors: [] });
window.onState = (state) => states.push(state);
window.show = (promise) => promise.catch((error) => [error.name, error.code ?? null, error.message]);
window.isLoaded = true;
</script>"""


async def open_elsewhere(site: Site, page: Page) -> Page:
    """Open an empty page of another site, which loads the module."""
    site.files |= {"/": EMPTY, "/fanline.js": (FOLDER / "fanline.js").read_text()}
    await page.goto(site.origin)
    await until(page, "() => window.isLoaded")
    return page


async def ask(page: Page, script: str, given: object) -> Any:
    """Evaluate a script that takes a while, within the deadline."""
    async with asyncio.timeout(DEADLINE):
        return await page.evaluate(script, given)


class Script:
    """A service that a test plays itself, one connection after the other."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.connections: list[WebSocketRoute] = []
        self._news = asyncio.Event()

    def opened(self, connection: WebSocketRoute) -> None:
        """Take a connection, as the handler of a route."""
        self.connections.append(connection)
        connection.on_message(lambda text: self._take(json.loads(text)))
        self._news.set()

    async def connected(self, count: int) -> WebSocketRoute:
        """Wait for a connection, by its number from 1 on."""
        await self.until(lambda: len(self.connections) >= count)
        return self.connections[count - 1]

    async def received(self, *frames: Any) -> None:
        """Wait for so many frames, and compare all that were received since the last time."""
        assert await self.take(len(frames)) == list(frames)

    async def take(self, count: int) -> list[Any]:
        """Wait for so many frames, and return all that were received since the last time."""
        await self.until(lambda: len(self.frames) >= count)
        taken, self.frames = self.frames, []
        return taken

    def _take(self, frame: Any) -> None:
        self.frames += frame if isinstance(frame, list) else [frame]
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; it is looked at whenever something comes."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def play(page: Page, url: str) -> Script:
    """Stand in for the service at an address."""
    script = Script()
    await page.route_web_socket(re.compile(f"^{url}/"), script.opened)
    return script


def send(connection: WebSocketRoute, *frames: Any) -> None:
    for frame in frames:
        connection.send(json.dumps(frame))
