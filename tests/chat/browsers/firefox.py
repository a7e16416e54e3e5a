"""Debian's Firefox, for what differs between browsers: input, scrolling and layout.

It is driven by WebDriver BiDi, the protocol that it speaks itself over a WebSocket; Playwright drives only a
Firefox of its own.
"""

import asyncio
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from tests.chat.static.browser import NoBrowser
from tests.stubs import DEADLINE

PREFERENCES = {
    "widget.gtk.overlay-scrollbars.enabled": False,  # as on a desktop with a mouse
    "app.normandy.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}

KEYS = {"Enter": "\ue007", "Shift": "\ue008", "Tab": "\ue004"}

ADDRESS = re.compile(rb"WebDriver BiDi listening on (\S+)")


def firefox() -> str:
    """Return the path of the browser."""
    found = shutil.which("firefox-esr") or shutil.which("firefox-esr", path="/usr/bin")
    if found is None:
        raise NoBrowser("the web page is tested in Firefox, and there is none: apt-get install firefox-esr")
    return found


class FirefoxPage:
    """One page. Its methods are those of Playwright's pages, as far as tests need them here."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._context = ""

    async def open(self, width: int, height: int) -> None:
        """Begin a session with a page of this size; its certificates are not checked."""
        await self._command("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        tree = await self._command("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]
        viewport = {"width": width, "height": height}
        await self._command("browsingContext.setViewport", context=self._context, viewport=viewport)

    async def goto(self, url: str) -> None:
        """Load a page."""
        await self._command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, function: str, given: object = None) -> Any:
        """Call a function in the page, and return its result, as JSON has it."""
        call = f"(async () => JSON.stringify(await ({function})({json.dumps(given)})))()"
        answer = await self._command(
            "script.evaluate", expression=call, target={"context": self._context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    async def press(self, *chords: str) -> None:
        """Press keys one after the other, as ``a`` or ``Shift+Enter``."""
        actions = []
        for chord in chords:
            keys = [KEYS.get(key, key) for key in chord.split("+")]
            actions += [{"type": "keyDown", "value": key} for key in keys]
            actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        await self._command("input.performActions", context=self._context, actions=[source])

    async def _command(self, method: str, **params: object) -> Any:
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(DEADLINE):
            while True:
                answer: Any = msgspec.json.decode(await self._connection.recv())
                if answer.get("id") == number:
                    assert answer["type"] == "success", answer
                    return answer["result"]


@asynccontextmanager
async def open_firefox(width: int = 1200, height: int = 800) -> AsyncIterator[FirefoxPage]:
    """Open a window with an empty profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = (f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in PREFERENCES.items())
        (Path(profile) / "user.js").write_text("\n".join(lines))
        process = await asyncio.create_subprocess_exec(
            firefox(), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, env={"HOME": profile, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        try:
            address = await _address(process)
            async with connect(f"{address}/session", proxy=None, max_size=None) as connection:
                page = FirefoxPage(connection)
                await page.open(width, height)
                yield page
        finally:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    told = b""
    async with asyncio.timeout(DEADLINE):
        while line := await process.stderr.readline():
            told += line
            if found := ADDRESS.search(line):
                return found[1].decode()
    raise NoBrowser(f"Firefox does not start: {told.decode(errors='replace')}")
