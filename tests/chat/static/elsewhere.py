"""A page of another site with ``fanline.js``."""

import asyncio
from typing import Any

from playwright.async_api import Page

from chat.http.pages import FOLDER
from tests.chat.static.browser import Site, until
from tests.stubs import DEADLINE

EMPTY = """<!doctype html><script type="module">
import * as fanline from "./fanline.js";
Object.assign(window, fanline, { got: [], states: [] });
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
