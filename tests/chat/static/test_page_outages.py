"""The page while servers and networks fail: nothing is lost, nothing is doubled."""

import asyncio
import random
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import WebSocket, WebSocketRoute, expect

from fanline.verify.system.proxy import Proxy
from tests.chat.static.browser import Installation, is_connected, log_in, say, shown, until
from tests.chat.static.conftest import OpenWindow
from tests.stubs import DEADLINE

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def installation(services: Installation) -> Installation:
    """The four services; each test has names of its own, as those who were cut off leave after seconds."""
    await services.until_ready()
    return services


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(installation: Installation) -> AsyncIterator[Proxy]:
    """A network between browser and chat, which can be cut."""
    proxy = Proxy(random.Random(7))
    proxy.target = installation.chat.port
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(cert_dir: Path, tls: ssl.SSLContext, tmp_path: Path) -> AsyncIterator[Installation]:
    """Services that soon refuse what cannot be stored."""
    async with Installation(tmp_path, cert_dir, tls, queue_wait=1.5) as installation:
        yield installation


def restore(proxy: Proxy, installation: Installation) -> None:
    proxy.target = installation.chat.port


def cut(proxy: Proxy) -> None:
    """Cut the network, until it is restored."""
    proxy.target = None
    proxy.cut()


async def test_server_killed_and_restarted(installation: Installation, open_window: OpenWindow) -> None:
    """An open page outlives the server: nothing is missing, nothing is there twice (lines 25, 31)."""
    room = await installation.make_room("Crash")
    ben = await installation.log_in("Ben")
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, installation.url, "Ada", room)
    await ben.say(room, "one")
    await say(page, "two")
    await expect(page.locator("#messages .bubble")).to_have_text(["one", "two"])
    await installation.chat.kill()
    await expect(page.locator("#chat[data-phase=open]")).to_have_count(0)
    await say(page, "three")
    await expect(page.locator("#unsent")).to_contain_text("waiting for the connection")
    await expect(page.locator("#trouble")).to_be_visible()
    await installation.start_chat()
    await ben.say(room, "four")
    await is_connected(page)
    await expect(page.locator("#messages .bubble")).to_have_count(4)
    await expect(page.locator("#unsent > li")).to_have_count(0)
    stored = await installation.messages(room)
    assert sorted(stored) == ["four", "one", "three", "two"]
    assert await shown(page) == stored
    await expect(page.locator("#trouble")).to_be_hidden()


async def test_network_cut_and_restored(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """Messages of both sides during a cut arrive, in order and once (line 31)."""
    room = await installation.make_room("Cut")
    bob = await installation.log_in("Bob")
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, f"https://localhost:{proxy.port}", "Bea", room)
    await say(page, "1")
    await expect(page.locator("#messages .bubble")).to_have_text(["1"])
    for turn in range(3):
        cut(proxy)
        await expect(page.locator("#chat[data-phase=open]")).to_have_count(0)
        await say(page, f"Bea {turn}")
        await bob.say(room, f"Bob {turn}a", f"Bob {turn}b")
        restore(proxy, installation)
        await page.evaluate("document.getElementById('retry').click()")
        await expect(page.locator("#messages .bubble")).to_have_count(1 + 3 * (turn + 1))
        await expect(page.locator("#unsent > li")).to_have_count(0)
    stored = await installation.messages(room)
    assert len(stored) == len(set(stored)) == 10
    assert await shown(page) == stored


async def test_a_dead_network_is_noticed(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """A network that swallows everything is taken for lost, after a question without an answer."""
    page = await (await open_window(is_rough=True)).new_page()
    feeds: list[WebSocket] = []
    page.on("websocket", lambda socket: feeds.append(socket) if "/api/feed" in socket.url else None)
    await page.clock.install()
    await log_in(page, f"https://localhost:{proxy.port}", "Cleo")
    await page.clock.fast_forward("00:21")
    await page.clock.fast_forward("00:09")
    await asyncio.sleep(0)
    await expect(page.locator("#chat[data-phase=open]")).to_have_count(1)
    stall = asyncio.create_task(proxy.stall(60))
    await asyncio.sleep(0)
    await page.clock.fast_forward("00:21")
    await page.clock.fast_forward("00:11")
    await expect(page.locator("#chat[data-phase=open]")).to_have_count(0)
    stall.cancel()
    await page.clock.fast_forward("00:11")
    await is_connected(page)
    async with asyncio.timeout(DEADLINE):
        while len(feeds) < 2:
            await page.clock.run_for(100)


async def test_an_unsent_message_survives_the_page(
    installation: Installation, open_window: OpenWindow
) -> None:
    """A message written while there is no server is sent when the page is opened again, once."""
    room = await installation.make_room("Later")
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Dana", room)
    await installation.chat.kill()
    await expect(page.locator("#chat[data-phase=open]")).to_have_count(0)
    await say(page, "kept")
    await say(page, "kept too")
    await page.close()
    await installation.start_chat()
    again = await window.new_page()
    await again.goto(f"{installation.url}/#{room}")
    await expect(again.locator("#messages .bubble")).to_have_text(["kept", "kept too"])
    await expect(again.locator("#unsent > li")).to_have_count(0)
    await again.reload()
    await is_connected(again)
    await expect(again.locator(".bubble")).to_have_text(["kept", "kept too"])
    assert await installation.messages(room) == ["kept", "kept too"]


async def test_a_message_without_an_ack_is_sent_again_once(
    installation: Installation, open_window: OpenWindow
) -> None:
    """A message that was stored, but whose ack was lost with the page, is sent again and not doubled."""
    room = await installation.make_room("Ack")
    window = await open_window()
    page = await window.new_page()
    is_deaf = asyncio.Event()

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: None if is_deaf.is_set() else socket.send(frame))

    await page.route_web_socket(re.compile("/api/serve/"), relay)
    await log_in(page, installation.url, "Edda", room)
    is_deaf.set()
    await say(page, "once")
    await until_said(installation, room, "once")
    await expect(page.locator("#unsent .bubble")).to_have_text(["once"])
    await page.close()
    again = await window.new_page()
    await again.goto(f"{installation.url}/#{room}")
    await is_connected(again)
    await expect(again.locator("#messages .bubble")).to_have_text(["once"])
    await expect(again.locator("#unsent > li")).to_have_count(0)
    await until(again, "() => !Object.keys(localStorage).some((key) => key.startsWith('fanline.outbox'))")
    assert await installation.messages(room) == ["once"]


async def until_said(installation: Installation, room: str, text: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while text not in await installation.messages(room):
            await asyncio.sleep(0.01)


async def test_two_tabs_with_one_unsent_message(installation: Installation, open_window: OpenWindow) -> None:
    """Both find it, both send it, it is stored once, and both show it as sent (line 19)."""
    room = await installation.make_room("Tabs")
    window = await open_window()
    one, other = await window.new_page(), await window.new_page()
    await log_in(one, installation.url, "Fay", room)
    await other.goto(f"{installation.url}/#{room}")
    await is_connected(other)
    await one.evaluate(
        """(room) => {
          const { token } = JSON.parse(localStorage.getItem("fanline.session"));
          const login = JSON.parse(atob(token.split(".")[1])).jti;
          const entry = { id: "both", author: "Fay", login, room, text: "shared", written: Date.now() };
          localStorage.setItem("fanline.outbox.both", JSON.stringify(entry));
        }""",
        room,
    )
    await asyncio.gather(one.reload(), other.reload())
    for page in (one, other):
        await expect(page.locator("#messages .bubble")).to_have_text(["shared"])
        await expect(page.locator("#unsent > li")).to_have_count(0)
    assert await installation.messages(room) == ["shared"]


async def test_what_may_be_stored_already_is_not_sent_again_unasked(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Beyond the server's memory of ids, a person is asked whether a message is to be sent again."""
    room = await installation.make_room("Unsure")
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Gina", room)
    await page.evaluate(
        """(room) => {
          const kept = { id: "a", author: "Gina", room, text: "maybe", written: 1 };
          const entry = { ...kept, tried: 1, login: "x", members: ["y"] };
          localStorage.setItem("fanline.outbox.a", JSON.stringify(entry));
        }""",
        room,
    )
    await page.reload()
    await is_connected(page)
    await expect(page.locator("#unsent")).to_contain_text("Unknown whether this was sent.")
    assert await installation.messages(room) == []
    await page.get_by_role("button", name="Send again").click()
    await expect(page.locator("#messages .bubble")).to_have_text(["maybe"])
    await expect(page.locator("#unsent > li")).to_have_count(0)


async def test_a_message_from_before_a_long_sleep(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """A page that wakes up hours later does not send again what the server may have forgotten the id of."""
    room = await installation.make_room("Sleep")
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    await log_in(page, f"https://localhost:{proxy.port}", "Hana", room)
    stall = asyncio.create_task(proxy.stall(60))
    await asyncio.sleep(0)
    await say(page, "good night")
    cut(proxy)
    stall.cancel()
    await expect(page.locator("#chat[data-phase=open]")).to_have_count(0)
    await page.clock.fast_forward("02:00:00")
    restore(proxy, installation)
    await page.clock.fast_forward("00:10")
    await is_connected(page)
    await expect(page.locator("#unsent")).to_contain_text("Unknown whether this was sent.")
    assert await installation.messages(room) == []
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator("#unsent > li")).to_have_count(0)


async def test_a_message_that_cannot_be_stored(impatient: Installation, open_window: OpenWindow) -> None:
    """All pages say that the pipeline is away, and what is not sent goes out by itself (line 25)."""
    room = await impatient.make_room("Failed")
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, impatient.url, "Ida", room)
    await say(page, "before")
    await expect(page.locator("#messages .bubble")).to_have_text(["before"])
    await impatient.pipeline.msgqueue.kill()
    await say(page, "lost?")
    await expect(page.locator("#unsent .failed")).to_contain_text("Not sent yet.")
    await expect(page.locator("#problem")).to_have_text("The message queue is out of reach.")
    later = await window.new_page()
    await later.goto(f"{impatient.url}/#{room}")
    await expect(later.locator("#problem")).to_have_text("The message queue is out of reach.")
    await impatient.pipeline.msgqueue.start()
    await is_connected(later)
    await expect(page.locator("#trouble")).to_be_hidden()
    await expect(page.locator("#messages .bubble")).to_have_text(["before", "lost?"])
    await expect(page.locator("#unsent > li")).to_have_count(0)
    assert await impatient.messages(room) == ["before", "lost?"]


async def test_offline_is_said_at_once(installation: Installation, open_window: OpenWindow) -> None:
    """A device that goes offline says so, although its server may still be reached."""
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Jona")
    await window.set_offline(True)
    await expect(page.locator("#trouble")).to_contain_text("This device is offline.")
    await window.set_offline(False)
    await is_connected(page)
    await expect(page.locator("#trouble")).to_be_hidden()


async def test_a_late_ack_is_doubted(installation: Installation, open_window: OpenWindow) -> None:
    """A message without an answer for four seconds is said to have none; an answer ends the doubt."""
    page = await (await open_window()).new_page()
    held: list[str | bytes] = []
    is_deaf = asyncio.Event()
    sockets: list[WebSocketRoute] = []

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: held.append(frame) if is_deaf.is_set() else socket.send(frame))
        sockets.append(socket)

    await page.clock.install()
    await page.route_web_socket(re.compile("/api/serve/"), relay)
    await log_in(page, installation.url, "Kira")
    is_deaf.set()
    await say(page, "anyone?")
    await page.clock.run_for(4_100)
    await expect(page.locator("#trouble")).to_contain_text("The server does not answer so far.")
    is_deaf.clear()
    for frame in held:
        sockets[-1].send(frame)
    await expect(page.locator("#trouble")).to_be_hidden()
    await expect(page.locator("#unsent > li")).to_have_count(0)
