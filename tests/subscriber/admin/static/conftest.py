"""One browser, which the tests of chat's page use as well, and windows in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.chat.static.browser import is_network, problems_of
from tests.chat.static.conftest import PATIENCE, browser

__all__ = ["browser", "open_window"]

AXE = Path(__file__).resolve().parents[4] / "clients/js/node_modules/axe-core/axe.min.js"

OpenWindow = Callable[..., Awaitable[BrowserContext]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_window(browser: Browser) -> AsyncIterator[OpenWindow]:
    """Open separate windows; at the end, none may have had an error but refused requests."""
    problems: list[list[str]] = []
    async with AsyncExitStack() as stack:

        async def open_one(**how: Any) -> BrowserContext:
            window = await browser.new_context(**{"locale": "en-GB", **how})
            stack.push_async_callback(window.close)
            window.set_default_timeout(PATIENCE)
            problems.append(problems_of(window))
            return window

        yield open_one
    assert not [each for found in problems for each in found if not is_network(each)]


async def faults_of(page: Page) -> list[str]:
    """Return what axe finds that keeps people from using a page, with the elements."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run()")
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found["violations"]]
