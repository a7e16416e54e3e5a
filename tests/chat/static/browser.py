"""A real browser, and chat as a real process, for the tests of the web page."""

import asyncio
import base64
import contextlib
import hashlib
import mimetypes
import os
import shutil
import ssl
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from fanline.security.tls import server_context
from tests.processes import Pipeline, ServiceProcess
from tests.stubs import DEADLINE, PASSWORD

# What the browser does without: first two processes, a third of the CPU of a window, for the list below its
# line for addresses and for a page that may be opened next. The rest is what Playwright turns off: of two
# lists, only the last counts.
UNUSED = (
    "InitialWebUI",
    "PreloadTopChromeWebUI",
    "SpareRendererForSitePerProcess",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "WebUIOmniboxPopup",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)

FLAGS = (
    f"--disable-features={','.join(UNUSED)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PROTOCOL = Subprotocol("fanline.chat.v1")


class NoBrowser(Exception):
    """There is no browser to test the page with."""


def chromium() -> str:
    """Return the path of the browser: of its shell without windows, if there is one, as it takes less CPU."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin"])
    for name in ("chromium-headless-shell", "chromium"):
        if found := shutil.which(name, path=path):
            return found
    raise NoBrowser(
        "the web page is tested in Chromium, and there is none: apt-get install chromium-headless-shell"
    )


def key_pin(cert_dir: Path) -> str:
    """Return the hash of the services' key: the one key that the browser may trust."""
    certificate = x509.load_pem_x509_certificate((cert_dir / "server.crt").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@asynccontextmanager
async def open_browser(cert_dir: Path, *, has_scrollbars: bool = False) -> AsyncIterator[Browser]:
    """Open a browser with an empty profile, and with the scrollbars of a desktop on request."""
    hidden = ["--hide-scrollbars"] if has_scrollbars else None
    pin = f"--ignore-certificate-errors-spki-list={key_pin(cert_dir)}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=[*FLAGS, pin],
            ignore_default_args=hidden,
            timeout=DEADLINE * 1000,
        )
        yield browser
        await browser.close()


class Installation:
    """The pipeline and chat on it, each service a process of its own.

    Args:
        folder: Where their files are.
        cert_dir: The certificates.
        tls: What the services are verified by.

    Attributes:
        pipeline: The three services.
        chat: The fourth.
    """

    def __init__(self, folder: Path, cert_dir: Path, tls: ssl.SSLContext, **settings: object) -> None:
        self._settings = {
            "token_key_file": folder / "token.key",
            "chat_token_key_file": folder / "chat-token.key",
        } | settings
        self._cert_dir = cert_dir
        self.tls = tls
        self.token_key_file = folder / "token.key"
        self.pipeline = Pipeline(folder, cert_dir, **self._settings)
        self.chat: ServiceProcess

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"https://localhost:{self.chat.port}"

    async def __aenter__(self) -> Self:
        await self.pipeline.__aenter__()
        self.chat = ServiceProcess(
            "chat",
            cert_dir=self._cert_dir,
            publisher_url=self.pipeline.publisher.url,
            subscriber_url=self.pipeline.subscriber.url,
            chat_guest_rooms_per_hour=100_000,
            **self._settings,
        )
        await self.start_chat()
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.chat.kill()
        await self.pipeline.__aexit__(*problem)

    async def start_chat(self) -> None:
        """Start chat, and wait until it is ready."""
        await self.chat.start()
        await self.until_ready()

    def http(self) -> httpx.AsyncClient:
        """Return a client of the HTTP side of chat."""
        return httpx.AsyncClient(base_url=self.url, verify=self.tls, trust_env=False, timeout=DEADLINE)

    async def until_ready(self) -> None:
        """Wait until chat lets members in, and the pipeline takes what they say."""
        async with asyncio.timeout(DEADLINE), self.http() as http:
            while (await http.get("/api/healthz")).is_error or (
                await http.get("/api/serve/lobby")
            ).status_code != HTTPStatus.UPGRADE_REQUIRED:
                await asyncio.sleep(0.02)

    async def until_empty(self) -> None:
        """Wait until there are no members in any room: until then their names are in use.

        A page that is closed, or logged out, leaves at once; that it has left is in the log a little later.
        """
        async with asyncio.timeout(DEADLINE), self.http() as http:
            while not (rooms := await http.get("/api/rooms")).is_success or any(
                room["members"] for room in rooms.json()
            ):
                await asyncio.sleep(0.01)

    async def log_in(self, name: str, **more: str) -> "Person":
        """Log in, without a browser."""
        async with self.http() as http:
            answer = await http.post("/login", json={"name": name, "password": PASSWORD, **more})
            return Person(self, name, answer.raise_for_status().json()["token"])

    async def make_room(self, name: str) -> str:
        """Make a room, and return its id."""
        async with self.http() as http:
            answer = await http.post("/api/room", params={"name": name})
            return str(answer.raise_for_status().json()["roomId"])

    async def messages(self, room: str) -> list[str]:
        """Return the messages among the newest 500 events of a room."""
        async with self.http() as http:
            answer = await http.get(f"/api/room/{room}/messages", params={"limit": 500})
            return [each["message"] for each in answer.raise_for_status().json() if each["type"] == "chat"]


class Person:
    """A logged-in user who uses chat without a browser."""

    def __init__(self, installation: Installation, name: str, token: str) -> None:
        self.name = name
        self.token = token
        self._installation = installation

    @asynccontextmanager
    async def enter(self, room: str) -> AsyncIterator["Visit"]:
        """Be a member of a room, once the server lets the person in."""
        async with await self._connect(room) as connection:
            await connection.recv()
            yield Visit(connection)

    async def _connect(self, room: str) -> ClientConnection:
        """Try to join until the name is free, and the server is not waiting for the pipeline."""
        url = f"wss://localhost:{self._installation.chat.port}/api/serve/{room}?token={self.token}"
        how: dict[str, Any] = {"subprotocols": [PROTOCOL], "proxy": None, "max_size": None}
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(InvalidStatus):
                    return await connect(url, ssl=self._installation.tls, open_timeout=DEADLINE, **how)
                await asyncio.sleep(0.02)

    async def say(self, room: str, *texts: str) -> None:
        """Enter a room, say something, and leave."""
        async with self.enter(room) as visit:
            await visit.say(*texts)


class Visit:
    """A member of a room."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def say(self, *texts: str) -> None:
        """Say something, and wait until all of it is stored."""
        async with asyncio.timeout(DEADLINE):
            for start in range(0, len(texts), 100):
                await self._say(texts[start : start + 100])

    async def _say(self, texts: Sequence[str]) -> None:
        said = [{"message": text, "id": uuid.uuid4().hex} for text in texts]
        await self._connection.send(msgspec.json.encode(said), text=True)
        waiting = {each["id"] for each in said}
        while waiting:
            frame: Any = msgspec.json.decode(await self._connection.recv())
            for each in frame if isinstance(frame, list) else [frame]:
                waiting.discard(each.get("ok"))


class Site:
    """Another web site: files on an origin of its own.

    Args:
        cert_dir: The certificates.

    Attributes:
        files: What is served, by path; whatever else is asked for is empty.
        origin: Where it is.
    """

    def __init__(self, cert_dir: Path) -> None:
        self.files: dict[str, str] = {}
        self.origin = ""
        self._tls = server_context(cert_dir)
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._tls)
        self.origin = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            body = self.files.get(path)
            status = "204 No Content" if body is None else "200 OK"
            kind = mimetypes.guess_type(path)[0] or "text/html"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nConnection: close\r\n\r\n"
            writer.write((head + (body or "")).encode())
            await writer.drain()
        writer.close()


async def log_in(page: Page, url: str, name: str, room: str = "lobby") -> None:
    """Log in through the page, and wait until the room is there."""
    await page.goto(f"{url}/#{room}")
    await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Password of this server").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await is_connected(page)


async def is_connected(page: Page) -> None:
    """Wait until the page says that it is connected, and has loaded what was said."""
    await page.locator("#chat[data-phase=open]").wait_for()
    await (
        page.locator("#beginning", has_text="beginning of the room")
        .or_(page.locator("#messages li").first)
        .first.wait_for()
    )


class Evaluates(Protocol):
    """A page of any browser."""

    async def evaluate(self, expression: str, arg: Any = None, /) -> Any:
        """Call a function in the page."""


async def until(page: Page | Evaluates, condition: str, given: object = None) -> None:
    """Wait until a function of JavaScript is true in the page.

    Playwright's own way evaluates a string in the page, which its CSP does not allow.
    """
    async with asyncio.timeout(DEADLINE):
        while not await page.evaluate(condition, given):
            await asyncio.sleep(0.01)


async def say(page: Page, text: str) -> None:
    """Type a message, and send it."""
    await page.locator("#text").fill(text)
    await page.locator("#text").press("Enter")


async def shown(page: Page) -> list[str]:
    """Return the messages on the page, unsent ones included, in order."""
    return await page.locator(".bubble").all_inner_texts()


def problems_of(context: BrowserContext) -> list[str]:
    """Return a list that grows with every error of a context's pages, breaches of the CSP included."""
    found: list[str] = []
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    return found


def is_network(problem: str) -> bool:
    """Test whether an error only says that a server could not be reached, or has refused a request."""
    return problem.startswith(("Failed to load resource", "WebSocket connection to"))
