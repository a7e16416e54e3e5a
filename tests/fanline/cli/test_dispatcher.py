"""One port for several services: where each request goes."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from fanline.cli.dispatcher import Dispatcher
from fanline.server.app import App, Endpoint, Page, StreamEndpoint
from tests.fanline.server.conftest import EchoHandler


async def nothing(*_: object) -> Any:
    raise AssertionError


class Service:
    """Notes what it is asked for, as a service would see it."""

    def __init__(self, **paths: Any) -> None:
        self.problem: str | None = None
        self.asked: list[tuple[str, str]] = []
        self.app = App(
            max_frame=1,
            metrics=CollectorRegistry(),
            readiness_problem=lambda: self.problem,
            drain=nothing,
            **paths,
        )

    async def answer(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        self.asked.append((scope["method"], scope["path"]))

    def open_websocket(self, _transport: asyncio.Transport, scope: Scope, _early: bytes) -> None:
        self.asked.append(("websocket", scope["path"]))


def services() -> dict[str, Service]:
    page: Page = nothing
    topic = "/topics/{topic:path}/messages"
    events = StreamEndpoint(open=nothing, heartbeat=1)
    return {
        "publisher": Service(endpoints={"/publish": Endpoint(make_handler=EchoHandler)}, posts={topic: page}),
        "subscriber": Service(
            pages={topic: page}, streams={"/events": events}, routes=[Route("/admin", nothing)]
        ),
        "chat": Service(),
    }


@pytest.mark.parametrize("prefix", ["", "/live"])
@pytest.mark.parametrize(
    ("method", "path", "service", "seen"),
    [
        ("POST", "/topics/a/b/messages", "publisher", None),
        ("GET", "/topics/a/b/messages", "subscriber", None),
        ("HEAD", "/topics/a/b/messages", "subscriber", None),
        ("DELETE", "/topics/a/b/messages", "publisher", None),
        ("GET", "/events", "subscriber", None),
        ("GET", "/admin", "subscriber", None),
        ("websocket", "/publish", "publisher", None),
        ("GET", "/publish", "publisher", None),
        ("GET", "/", "chat", None),
        ("GET", "/rooms/publish", "chat", None),
        ("websocket", "/api/serve/1", "chat", None),
        ("GET", "/publisher", "chat", None),
        ("GET", "/publisher/", "publisher", "/"),
        ("GET", "/subscriber/metrics", "subscriber", "/metrics"),
        ("websocket", "/publisher/publish", "publisher", "/publish"),
        ("GET", "/chat/rooms/1", "chat", "/rooms/1"),
    ],
)
async def test_each_request_goes_to_its_service(
    prefix: str, method: str, path: str, service: str, seen: str | None
) -> None:
    """By path and method; by the name of the service to whatever it has (line 52)."""
    backends = services()
    dispatcher = Dispatcher(backends, prefix)
    scope: Scope = {"type": "http", "method": method, "path": prefix + path, "headers": []}
    if method == "websocket":
        dispatcher.open_websocket(asyncio.Transport(), scope, b"")
    else:
        await dispatcher(scope, nothing, nothing)
    assert {name: each.asked for name, each in backends.items() if each.asked} == {
        service: [(method, seen or prefix + path)]
    }


async def test_a_preflight_goes_where_the_request_will() -> None:
    """A browser asks with OPTIONS for the method that a page wants (line 52)."""
    for method, service in {"POST": "publisher", "GET": "subscriber"}.items():
        backends = services()
        headers = [(b"access-control-request-method", method.encode())]
        path = "/topics/a/messages"
        await Dispatcher(backends, "")(
            {"type": "http", "method": "OPTIONS", "path": path, "headers": headers}, nothing, nothing
        )
        assert backends[service].asked == [("OPTIONS", path)]


async def test_the_whole_is_ready_when_all_are() -> None:
    """The port tells which are not; metrics are those of each service (line 52)."""
    backends = services()
    dispatcher = Dispatcher(backends, "")
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask(path: str) -> tuple[int, str]:
        sent.clear()
        await dispatcher({"type": "http", "method": "GET", "path": path, "headers": []}, nothing, send)
        return sent[0]["status"], sent[1]["body"].decode()

    assert await ask("/readyz") == (200, "ok\n")
    backends["subscriber"].problem = "no log at 10.1.2.3"
    not_ready = "subscriber is not ready; a login at /subscriber/readyz shows why\n"
    assert await ask("/readyz") == (503, not_ready)
    status, text = await ask("/metrics")
    assert (status, "/publisher/metrics, /subscriber/metrics, /chat/metrics" in text) == (404, True)
