"""One browser for all tests, one installation for each module, one window for each user."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.chat.static.browser import Installation, Site, is_network, open_browser, problems_of
from tests.stubs import DEADLINE

OpenWindow = Callable[..., Awaitable[BrowserContext]]

# The page counts as broken if it does not do within this what a test waits for, in milliseconds.
PATIENCE = DEADLINE * 1000

DESKTOP: ViewportSize = {"width": 1200, "height": 800}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(cert_dir: Path) -> AsyncIterator[Browser]:
    """A browser that trusts the key of the services, and no other."""
    expect.set_options(timeout=PATIENCE)
    async with open_browser(cert_dir) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(cert_dir: Path) -> AsyncIterator[Site]:
    """Another web site, which the services allow."""
    async with Site(cert_dir) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(
    cert_dir: Path, tls: ssl.SSLContext, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """The four services, of all tests of a file, with the limits that they have anywhere."""
    settings = {
        "allowed_origins": site.origin,
        "return_spread": 0.2,
        "path_prefix": "/live",
        "chat_messages_per_second": 10_000,
    }
    async with Installation(tmp_path_factory.mktemp("page"), cert_dir, tls, **settings) as services:
        yield services


@pytest_asyncio.fixture(loop_scope="session")
async def installation(services: Installation) -> AsyncIterator[Installation]:
    """The four services, in working order; at the end of a test all people have left them again."""
    await services.until_ready()
    yield services
    await services.until_empty()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kept_page(browser: Browser) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page for one test of a file after the other, and its errors; see :func:`page`."""
    window = await browser.new_context(viewport=DESKTOP, locale="en-GB")
    window.set_default_timeout(PATIENCE)
    yield await window.new_page(), problems_of(window)
    await window.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(
    request: pytest.FixtureRequest, installation: Installation, kept_page: tuple[Page, list[str]]
) -> AsyncIterator[Page]:
    """A page of which the browser keeps nothing but its files; at the end, it may have had no error.

    A new window costs two seconds of CPU, this one a fifth of that. Tests that change its clock, routes or
    looks need a window of their own. The mark ``rough`` is for tests in which requests are refused.
    """
    page, problems = kept_page
    yield page
    await page.goto(f"{installation.url}/healthz")
    await page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    await page.goto("about:blank")
    found, problems[:] = problems[:], []
    is_rough = request.node.get_closest_marker("rough") is not None
    assert not [each for each in found if not (is_rough and is_network(each))]


@pytest_asyncio.fixture(loop_scope="session")
async def open_window(browser: Browser, installation: Installation) -> AsyncIterator[OpenWindow]:
    """Open separate browser windows; at the end, none may have had an error.

    Where connections are cut or requests refused, ``is_rough`` allows for what the browser itself says of it.
    """
    opened: list[tuple[BrowserContext, list[str], bool]] = []
    async with AsyncExitStack() as stack:

        async def open_one(*, is_rough: bool = False, **how: object) -> BrowserContext:
            usual: dict[str, object] = {"viewport": DESKTOP, "locale": "en-GB"}
            window = await browser.new_context(**{**usual, **how})  # type: ignore[arg-type]
            stack.push_async_callback(window.close)
            window.set_default_timeout(PATIENCE)
            opened.append((window, problems_of(window), is_rough))
            return window

        yield open_one
    for _, problems, is_rough in opened:
        assert not [each for each in problems if not (is_rough and is_network(each))]
