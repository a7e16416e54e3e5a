"""Fixtures for the server kit: a service that echoes, requests, and tokens."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.server import App, Connection, Endpoint, Handler, Service, metrics, query_of, task_handler
from subscriber.settings import SubscriberSettings
from tests.conftest import StartService
from tests.stubs import DEADLINE

Get = Callable[..., Awaitable[httpx.Response]]
MakeToken = Callable[..., str]

ELSEWHERE = "https://pages.example.org"


class EchoHandler:
    """Sends back every frame, with what the kit knows of the connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def on_frame(self, payload: bytes) -> None:
        connection = self.connection
        said = payload.decode(errors="replace")
        connection.send_json({"user": connection.user.name, "said": said, "in": connection.dialect})

    def on_close(self) -> None:
        pass


class Echo:
    """A service whose work a test controls.

    Attributes:
        calls: What the kit has called, in order.
        problem: Why it is not ready.
        drained: While it is clear, draining does not end.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.problem: str | None = None
        self.drained = asyncio.Event()
        self.drained.set()

    @asynccontextmanager
    async def open(self, settings: SubscriberSettings, services_only: bool = False) -> AsyncIterator[App]:
        """Run it; with ``services_only`` it has no other endpoints."""
        self.calls.append("open")
        endpoints = {"/inside": Endpoint(make_handler=EchoHandler, services_only=True)}
        if not services_only:
            endpoints |= {
                "/echo": Endpoint(make_handler=EchoHandler),
                "/task": Endpoint(make_handler=task_handler(self._serve)),
                "/broken": Endpoint(make_handler=_fail),
            }
        yield App(
            max_frame=settings.max_frame,
            metrics=metrics.new_registry(),
            endpoints=endpoints,
            pages={"/page": _show, "/never": self._show_never},
            routes=[Route("/body", _count, methods=["POST"]), Route("/defect", _break)],
            readiness_problem=lambda: self.problem,
            drain=self._drain,
        )
        self.calls.append("close")

    async def _drain(self) -> None:
        self.calls.append("drain")
        await self.drained.wait()

    async def _serve(self, connection: Connection, frames: AsyncIterator[bytes]) -> None:
        async for frame in frames:
            connection.send_json({"said": frame.decode()})
            if frame == b"break":
                raise ZeroDivisionError
            if frame == b"end":
                break

    async def _show_never(self, _: Request) -> Response:
        self.calls.append("never")
        await asyncio.Event().wait()
        raise AssertionError


def _fail(_: Connection) -> Handler:
    raise ZeroDivisionError


async def _show(request: Request) -> Response:
    query = query_of(request)
    query.pop("token", None)
    return JSONResponse({"user": request.user.name, "query": query})


async def _count(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body())})


async def _break(_: Request) -> Response:
    raise ZeroDivisionError


@pytest.fixture
def own_log() -> Iterator[None]:
    """Put the log back as it was after a test that configures it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def echo() -> Echo:
    """The parts of the service under test."""
    return Echo()


@pytest.fixture
async def service(start_service: StartService, echo: Echo) -> Service:
    """A running echo service."""
    return await start_service(echo.open)


@pytest.fixture
def get(tls: ssl.SSLContext) -> Get:
    """Make one HTTP request of a service."""

    async def request(
        service: Service,
        path: str,
        *,
        method: str = "GET",
        login: tuple[str, str] | None = ("hello", "test"),
        **how: Any,
    ) -> httpx.Response:
        async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as client:
            return await client.request(method, f"https://localhost:{service.port}{path}", **how)

    return request


@pytest.fixture
def key(tmp_path: Path) -> TokenKey:
    """The key of the installation, where its settings look for it."""
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    return key


@pytest.fixture
def make_token(key: TokenKey) -> MakeToken:
    """Issue a token that is valid for a minute, unless told otherwise."""

    def make(name: str = "page", audience: str = PIPELINE, lifetime: float = 60) -> str:
        return key.issue(Claims.new(name, lifetime=lifetime), audience)

    return make


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


async def handshake_status(service: Service, path: str, tls: ssl.SSLContext, **how: Any) -> int:
    """Return the HTTP status that the handshake of a WebSocket is answered with."""
    url = f"wss://localhost:{service.port}{path}"
    try:
        async with connect(url, ssl=tls, proxy=None, open_timeout=DEADLINE, **how):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
