"""Fixtures for all tests: certificates, services on free ports, and connections to them."""

import asyncio
import base64
import gc
import inspect
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

import certs
from fanline.protocol import SUBPROTOCOL
from fanline.security.client_tls import client_context
from fanline.server import Service, raise_file_limit
from fanline.server.app import OpenedApp
from fanline.settings import ServiceSettings, Settings
from tests.stubs import DEADLINE, PASSWORD, USER


class WallClock:
    """The time of day, which a test can move forward.

    Attributes:
        offset: Seconds by which it is ahead.
    """

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


StartService = Callable[..., Awaitable[Service]]
Dial = Callable[..., Awaitable[ClientConnection]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the event loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to leave out what needs programs that pip does not bring, and to run what takes long."""
    usual = hypothesis.settings.get_profile("ci")
    hypothesis.settings.register_profile("random", usual, derandomize=False)
    parser.addoption("--no-browser", action="store_true", help="leave out what needs Chromium or a proxy")
    parser.addoption("--long", action="store_true", help="run the tests that take seconds, too")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while the tests are collected nor, later, in what was made then."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not asked for; pytest tells how many tests that are."""
    left_out = [item for item in items if is_left_out(item, config)]
    if left_out:
        items[:] = [item for item in items if not is_left_out(item, config)]
        config.hook.pytest_deselected(items=left_out)


def is_left_out(item: pytest.Item, config: pytest.Config) -> bool:
    """Return whether a test needs programs, or time, that there shall not be."""
    if config.getoption("--no-browser") and needs_programs(item):
        return True
    return item.get_closest_marker("long") is not None and not config.getoption("--long")


def needs_programs(item: pytest.Item) -> bool:
    return "browser" in getattr(item, "fixturenames", ()) or item.nodeid.startswith("tests/deploy/")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not tested."""
    if config.getoption("--no-browser"):
        terminalreporter.section("left out: the web page, fanline.js in a browser, and proxies in front")
    if not config.getoption("--long"):
        terminalreporter.section("left out: what is marked as long; `make test LONG=yes` runs it")


# Where files need no disk; used if there is room for those of a run, and programs in it may be run.
MEMORY = Path("/dev/shm")
ROOM = 4 << 30


def pytest_configure() -> None:
    """Allow this process the thousands of connections that some tests open; keep files in memory."""
    raise_file_limit()
    if MEMORY.is_dir():
        about = os.statvfs(MEMORY)
        if about.f_bavail * about.f_frsize >= ROOM and not about.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(scope="session")
def cert_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and a server certificate."""
    folder = tmp_path_factory.mktemp("certs")
    certs.ensure(folder)
    return folder


@pytest.fixture(scope="session")
def tls(cert_dir: Path) -> ssl.SSLContext:
    """The TLS context with which clients verify the services."""
    return client_context(cert_dir)


@pytest.fixture
def make_settings(cert_dir: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a service on a free port, with a data folder of its own."""

    def make(section: type[Settings] = Settings, **changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "host": "127.0.0.1",
            "msgqueue_port": 0,
            "publisher_port": 0,
            "subscriber_port": 0,
            "chat_port": 0,
            "cert_dir": cert_dir,
            "data_dir": tmp_path / "data",
            "token_key_file": tmp_path / "token.key",
            "chat_token_key_file": tmp_path / "chat-token.key",
            "drain_timeout": 4,
            "return_spread": 0.2,
        }
        fields = section.fields()
        return section(**{name: value for name, value in usual.items() if name in fields} | changes)

    return make


def section_of(open_app: Callable[[Any], OpenedApp]) -> type[Settings]:
    """Return the settings that the first parameter of a function is annotated with."""
    first = next(iter(inspect.signature(open_app).parameters.values()))
    assert isinstance(first.annotation, type)
    return first.annotation


@pytest.fixture
async def start_service(make_settings: Callable[..., Settings]) -> AsyncIterator[StartService]:
    """Start services in this process; those that still run at the end are stopped."""
    running: list[Service] = []

    async def start(
        open_app: Callable[[Any], OpenedApp],
        *,
        wall_clock: Callable[[], float] = time.time,
        descriptors: int | None = None,
        **changes: Any,
    ) -> Service:
        settings = make_settings(section_of(open_app), **changes)
        assert isinstance(settings, ServiceSettings)
        service = await Service.start(open_app, settings, wall_clock=wall_clock, descriptors=descriptors)
        running.append(service)
        return service

    yield start
    for service in reversed(running):
        await service.stop()


@pytest.fixture
async def dial(tls: ssl.SSLContext) -> AsyncIterator[Dial]:
    """Open WebSockets to a service; those still open at the end are closed."""
    async with AsyncExitStack() as opened:

        async def open_one(
            service: Service,
            path: str,
            *,
            v1: bool = True,
            user: str = USER,
            password: str = PASSWORD,
            **how: Any,
        ) -> ClientConnection:
            url = f"wss://localhost:{service.port}{path}"
            opening = open_websocket(url, tls, v1=v1, user=user, password=password, **how)
            return await opened.enter_async_context(opening)

        yield open_one


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` is true, for what cannot be waited for as an event."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


def open_websocket(
    url: str,
    tls: ssl.SSLContext,
    *,
    v1: bool = True,
    user: str = USER,
    password: str = PASSWORD,
    headers: Mapping[str, str] | None = None,
    **how: Any,
) -> connect:
    """Return a connection to be awaited or entered, logged in; ``how`` is for the library."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return connect(
        url,
        ssl=tls,
        additional_headers={"Authorization": f"Basic {token}", **(headers or {})},
        subprotocols=[Subprotocol(SUBPROTOCOL)] if v1 else None,
        proxy=None,
        **({"open_timeout": DEADLINE, "close_timeout": 1, "max_size": None} | how),
    )


async def receive_objects(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Receive that many JSON objects, in however many frames they come; without the epoch of the log."""
    got: list[dict[str, Any]] = []
    while len(got) < count:
        frame = msgspec.json.decode(await client.recv())
        got.extend(frame if isinstance(frame, list) else [frame])
    assert len(got) == count
    for each in got:
        each.pop("epoch", None)
    return got


@pytest.fixture
def folder_of_examples(cert_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with certificates where examples of the documents have them."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/certs").symlink_to(cert_dir)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run_example(document: Path, example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a Python example of a document; check that it prints what its comments say."""
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(exec, compile(example, document, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^# prints: (.*)$", example, re.MULTILINE)
