"""The status page in a real browser, at services that are real processes."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from fanline.security.tokens import TokenKey
from fanline.security.users import User, UsersFile
from fanline.server.workers import reserve_port
from tests.conftest import open_websocket, receive_objects
from tests.processes import ServiceProcess
from tests.stubs import DEADLINE
from tests.subscriber.admin.static.conftest import OpenWindow, faults_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def subscriber(
    cert_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServiceProcess]:
    """The subscriber service of a pipeline with an admin, and without chat."""
    folder = tmp_path_factory.mktemp("status")
    users = UsersFile(folder / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    users.put(User("root", is_admin=True), "secret", cost=4)
    users.put(User("alice"), "secret", cost=4)
    TokenKey(folder / "token.key").create_if_missing()
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o600)
    settings = {
        "cert_dir": cert_dir,
        "data_dir": folder / "data",
        "users_file": users.path,
        "link_user": "pipeline",
        "link_password_file": password,
        "token_key_file": folder / "token.key",
        "chat_url": "wss://localhost:1",
    }
    async with AsyncExitStack() as stack:

        async def start(name: str, urls: dict[str, str], port: int = 0) -> ServiceProcess:
            service = ServiceProcess(name, **settings, **urls)
            service.port = port
            await service.start()
            stack.push_async_callback(service.kill)
            return service

        urls = {"queue_url": (await start("msgqueue", {})).url}
        urls["publisher_url"] = (await start("publisher", urls)).url
        port = stack.enter_context(reserve_port("127.0.0.1"))[0].getsockname()[1]
        urls["subscriber_url"] = f"wss://localhost:{port}"
        yield await start("subscriber", urls, port)


async def log_in(page: Page, subscriber: ServiceProcess, password: str = "secret") -> None:
    await page.goto(f"https://localhost:{subscriber.port}/admin")
    await page.get_by_label("User with the role admin").fill("root")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def test_an_operator_sees_finds_and_acts(
    subscriber: ServiceProcess, tls: ssl.SSLContext, open_window: OpenWindow
) -> None:
    """An operator sees services and plots, publishes, finds the message, and disconnects a user (line 57)."""
    page = await (await open_window()).new_page()
    await log_in(page, subscriber, "wrong")
    await expect(page.get_by_role("alert")).to_contain_text("password")
    await log_in(page, subscriber)
    services = page.get_by_role("region", name="Services")
    await expect(services.get_by_role("row", name="publisher ready")).to_be_visible()
    await expect(services.get_by_role("row", name="chat no answer")).to_be_visible()
    await expect(page.get_by_text("chat: ")).to_contain_text("localhost:1")
    await expect(page.get_by_role("img", name="Connections in the last 3 minutes")).to_be_visible()
    await expect(page.get_by_text("everything is kept")).to_be_visible()

    await page.get_by_role("link", name="Log").click()
    await page.locator("#publish-topic").fill("orders.eu")
    await page.get_by_label("Content, in JSON").first.fill('{"n": ')
    await page.locator("#publish").get_by_role("button").click()
    await expect(page.get_by_text("This is not JSON")).to_be_visible()
    await page.get_by_label("Content, in JSON").first.fill('{"n": "<b>7</b>"}')
    await page.locator("#publish").get_by_role("button").click()
    await expect(page.get_by_text("Stored at position")).to_be_visible()
    await page.get_by_label("Topic or pattern").first.fill("orders.*")
    await page.get_by_role("button", name="Search").click()
    row = page.get_by_role("region", name="Messages").get_by_role("row", name="orders.eu")
    await expect(row).to_contain_text('{"n":"<b>7</b>"}')
    await expect(row).to_contain_text("root")

    url = f"wss://localhost:{subscriber.port}/subscribe"
    async with open_websocket(url, tls, user="alice", password="secret") as client:
        await client.send('{"sub": "orders.>"}')
        await receive_objects(client, 1)
        await page.get_by_role("link", name="Connections").click()
        row = page.get_by_role("region", name="Connections").get_by_role("row", name="alice")
        await expect(row).to_contain_text("orders.>")
        await row.get_by_role("button", name="Disconnect alice").click()
        await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        await page.get_by_role("button", name="Disconnect", exact=True).click()
        await expect(page.get_by_text("alice is disconnected.")).to_be_visible()
        await client.wait_closed()
    await expect(row).to_have_count(0)


async def test_a_developer_sees_every_frame(subscriber: ServiceProcess, open_window: OpenWindow) -> None:
    """The playground subscribes, publishes, shows each frame, and the same as programs (line 57)."""
    page = await (await open_window(viewport={"width": 390, "height": 780})).new_page()
    await log_in(page, subscriber)
    await page.get_by_role("link", name="Playground").click()
    await page.get_by_role("button", name="Get one for an hour").click()
    await expect(page.get_by_label("Token")).not_to_have_value("")
    await page.get_by_role("button", name="Connect", exact=True).press("Enter")
    frames = page.get_by_role("list", name="Frames")
    await expect(frames.get_by_text("open", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Subscribe", exact=True).click()
    await expect(frames).to_contain_text('{"sub":"play.>"}')
    await expect(frames).to_contain_text('"subscribed":"play.>"')
    await page.locator("#post").get_by_role("button", name="Publish").click()
    await expect(frames).to_contain_text('"topic":"play.first","content":{"n": 1}')
    for name, words in {"curl": "--cacert", "Python": "async with", "JavaScript": "connect({"}.items():
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_label("Code")).to_contain_text(words)
    for view in ("Playground", "Overview", "Connections", "Log"):
        await page.get_by_role("link", name=view, exact=True).click()
        assert await page.evaluate(FITS), view


@pytest.mark.long
@pytest.mark.parametrize(
    "how",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 780}}],
    ids=["light", "dark", "phone"],
)
async def test_axe_finds_no_faults(
    subscriber: ServiceProcess, open_window: OpenWindow, how: dict[str, Any]
) -> None:
    """All views are accessible, by the rules of axe: contrast, names, roles, order (line 57)."""
    page = await (await open_window(**how)).new_page()
    await page.goto(f"https://localhost:{subscriber.port}/admin")
    assert await faults_of(page) == []
    await log_in(page, subscriber)
    for view, shown in {
        "Overview": "publisher",
        "Connections": "There are none.",
        "Log": "Search",
        "Playground": "Connect",
    }.items():
        await page.get_by_role("link", name=view, exact=True).click()
        await page.get_by_text(shown).locator("visible=true").first.wait_for()
        assert await faults_of(page) == [], view


async def test_the_page_is_served_with_a_policy(subscriber: ServiceProcess, tls: ssl.SSLContext) -> None:
    """The page comes without a login, shows nothing without one, and loads nothing but its own files."""
    url = f"https://localhost:{subscriber.port}"
    async with httpx.AsyncClient(base_url=url, verify=tls, trust_env=False, timeout=DEADLINE) as http:
        page = await http.get("/admin")
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await http.get("/admin/services")).status_code == 401
