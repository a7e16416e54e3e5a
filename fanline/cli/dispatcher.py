"""One port for several services, each with its own requests.

::

    /SERVICE/…     that service, whatever it has there: its own /readyz, /metrics, /openapi.json
    /readyz        whether all are ready
    /metrics       where the metrics of each are
    any other      the service that has such a path for the method; else the last one
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope, Send

from fanline.server.app import App

_WEBSOCKET: Final = "websocket"


class Backend(Protocol):
    """Interface of a service behind the port."""

    app: App

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        ...

    def open_websocket(self, transport: asyncio.Transport, scope: Scope, early: bytes) -> None:
        """Begin the handshake of a WebSocket."""
        ...


class _Place(NamedTuple):
    path: re.Pattern[str]
    method: str
    backend: Backend


class Dispatcher:
    """Passes requests on.

    Args:
        backends: The services by name; what none has goes to the last.
        path_prefix: The path under which a proxy shows them.
    """

    def __init__(self, backends: Mapping[str, Backend], path_prefix: str) -> None:
        self._backends = backends
        self._fallback = list(backends.values())[-1]
        self._places = [place for backend in backends.values() for place in _places(backend)]
        self._path_prefix = path_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: what an ASGI server calls."""
        shared = {"/readyz": self._show_readiness, "/metrics": self._show_where_metrics_are}
        if (show := shared.get(self._path(scope))) is not None:
            await show()(scope, receive, send)
            return
        method = scope["method"]
        if method == "OPTIONS":  # a browser asks for another one (Fetch standard, 4.8)
            method = Headers(scope=scope).get("access-control-request-method", method)
        await self._choose(scope, "GET" if method == "HEAD" else method).answer(scope, receive, send)

    def open_websocket(self, transport: asyncio.Transport, scope: Scope, early: bytes) -> None:
        """Begin the handshake of a WebSocket."""
        self._choose(scope, _WEBSOCKET).open_websocket(transport, scope, early)

    def _choose(self, scope: Scope, method: str) -> Backend:
        path = self._path(scope)
        _, name, *rest = path.split("/", 2)
        if rest and name in self._backends:
            scope["path"] = f"/{rest[0]}"
            return self._backends[name]
        found = [place for place in self._places if place.path.match(path)]
        right = [place for place in found if place.method == method]
        return next((place.backend for place in [*right, *found]), self._fallback)

    def _path(self, scope: Scope) -> str:
        path = str(scope["path"])
        if self._path_prefix and path.startswith(f"{self._path_prefix}/"):
            return path[len(self._path_prefix) :]
        return path if path.startswith("/") else f"/{path}"

    def _show_readiness(self) -> PlainTextResponse:
        """Return which services are not ready.

        Each tells users the reason, at its own path.
        """
        not_ready = [name for name, each in self._backends.items() if each.app.readiness_problem()]
        if not not_ready:
            return PlainTextResponse("ok\n")
        text = "".join(f"{name} is not ready; a login at /{name}/readyz shows why\n" for name in not_ready)
        return PlainTextResponse(text, HTTPStatus.SERVICE_UNAVAILABLE)

    def _show_where_metrics_are(self) -> PlainTextResponse:
        paths = ", ".join(f"/{name}/metrics" for name in self._backends)
        return PlainTextResponse(f"each service has metrics of its own: {paths}\n", HTTPStatus.NOT_FOUND)


def _places(backend: Backend) -> Iterator[_Place]:
    app = backend.app
    declared = {_WEBSOCKET: app.endpoints, "POST": app.posts, "GET": {**app.pages, **app.streams}}
    for method, paths in declared.items():
        for path in paths:
            yield _Place(compile_path(path)[0], method, backend)
    for route in app.routes:
        if isinstance(route, Route):
            yield from (_Place(route.path_regex, method, backend) for method in route.methods or ())
