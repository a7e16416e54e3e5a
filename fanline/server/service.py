"""The kernel that runs a service: listener, login, routing, health, metrics, drain.

A service is an :class:`App`: its name, the WebSocket paths it answers, and what to do when it starts, drains
and stops. :class:`Service` does everything else, the same for all of them. One request goes through

    TLS → path → origin → login → rights → WebSocket handshake → the app's handler

and is answered with 404, 403, 401, 403, 429, 426 or 405 where it falls out.
"""

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Final
from urllib.parse import parse_qsl

import prometheus_client
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fanline.errors import CannotListen, CloseCode
from fanline.protocol import SUBPROTOCOL, Dialect
from fanline.security.authenticator import Unauthorized, check_exposure, is_allowed_origin
from fanline.security.logins import Logins
from fanline.security.tls import server_context
from fanline.security.tokens import find_token
from fanline.security.users import User
from fanline.server import metrics
from fanline.server.connection import Connection
from fanline.settings import ServiceSettings

logger = logging.getLogger(__name__)

LIFE_CHECK_SECONDS: Final = 1.0

Handler = Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True)
class PageRequest:
    """A GET request of a logged-in user, for what is not a WebSocket.

    Attributes:
        path: The whole path, percent-encoded as it came, without the query.
        query: The parameters, without the token; of one given twice the last counts.
        user: Who asks.
    """

    path: str
    query: Mapping[str, str]
    user: User


@dataclass(frozen=True)
class PageResponse:
    """What a page answers."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Page = Callable[[PageRequest], Awaitable[PageResponse]]


@dataclass(frozen=True)
class Route:
    """One WebSocket path: who handles its connections, and who may open them.

    Attributes:
        handler: Called with each open connection.
        services_only: Whether users need the role ``service``; then no token opens it.
        is_one_way: Whether a plain client has nothing to read here, and so may not answer pings either.
    """

    handler: Handler
    services_only: bool = False
    is_one_way: bool = False


class App(ABC):
    """What is particular to one service.

    ``metrics`` is the registry that ``/metrics`` shows; an app adds its own to it.

    Attributes:
        settings_class: Its settings, which name it.
        is_scalable: Whether several processes of it can serve one port.
    """

    settings_class: ClassVar[type[ServiceSettings]]
    is_scalable: ClassVar[bool] = False

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.metrics = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.metrics)

    @abstractmethod
    def routes(self) -> Mapping[str, Route]:
        """Return the WebSocket paths that this service answers."""

    def pages(self) -> Mapping[str, Page]:
        """Return what answers plain GET requests, by path; with a slash at its end, for all below it."""
        return {}

    @abstractmethod
    async def start(self) -> None:
        """Acquire what the handlers need; called before the first connection is accepted.

        Raises:
            ConfigurationError: If the service cannot work like this; it then does not start.
        """

    @abstractmethod
    def unready(self) -> str | None:
        """Return why this service cannot do its work at present, or None if it can."""

    @abstractmethod
    async def drain(self) -> None:
        """Finish what is in flight; called when no new connection is accepted any more."""

    @abstractmethod
    async def stop(self) -> None:
        """Release what :meth:`start` acquired; called when every connection is closed."""


class Service:
    """Runs an :class:`App` behind a TLS listener.

    Args:
        app: What to run.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.settings = app.settings
        self.connections: set[Connection] = set()
        self._making: set[asyncio.Future[PageResponse]] = set()
        self._routes = app.routes()
        self._pages: Mapping[str, Page] = {"/metrics": self._show_metrics, **app.pages()}
        self._per_user: Counter[str] = Counter()
        self._takes_tokens = not all(route.services_only for route in self._routes.values())
        self._logins: Logins
        self._server: Server
        self._life_checks: asyncio.Task[None]
        self._refused = prometheus_client.Counter(
            "fanline_requests_refused", "Requests refused, by HTTP status.", ["status"], registry=app.metrics
        )
        metrics.gauge(
            app.metrics, "fanline_connections", "Open WebSocket connections.", lambda: len(self.connections)
        )

    @property
    def port(self) -> int:
        """The port that is listened on; the real one also when the setting says 0."""
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Start the app and listen; when it returns, connections are accepted.

        Raises:
            ConfigurationError: If a setting, certificate, users file or the port is wrong.
        """
        check_exposure(self.settings)
        self._logins = Logins(self.settings, takes_tokens=self._takes_tokens)
        context = server_context(self.settings.cert_dir)
        await self.app.start()
        try:
            self._server = await serve(
                self._handle,
                self.settings.host,
                self.settings.port,
                ssl=context,
                process_request=self._admit,
                select_subprotocol=_select_subprotocol,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                create_connection=Connection,
                compression=None,
                server_header=None,
                open_timeout=self.settings.handshake_timeout,
                ping_interval=None,
                close_timeout=self.settings.drain_timeout / 2,
                max_size=self.settings.max_frame,
                write_limit=self.settings.write_buffer,
                reuse_port=self.app.is_scalable and self.settings.workers > 1,
            )
        except OSError as error:
            await self.app.stop()
            raise CannotListen(
                self.settings.service, self.settings.host, self.settings.port, error
            ) from error
        self._life_checks = asyncio.create_task(self._check_lives())
        logger.info("listening on https://%s:%d", self.settings.host, self.port)

    async def stop(self) -> None:
        """Stop accepting, finish what is in flight, send everybody away, and release everything.

        Takes at most about the ``drain_timeout`` setting, whatever the peers do.
        """
        self._server.close(close_connections=False)
        self._life_checks.cancel()
        for connection in self.connections:
            connection.stop_listening()
        try:
            async with asyncio.timeout(self.settings.drain_timeout / 2):
                await self.app.drain()
        except TimeoutError:
            logger.warning("not everything in flight could be finished in time")
        await self._dismiss_all()
        await self.app.stop()
        logger.info("stopped")

    # One request, step by step.

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide on a request: None lets the WebSocket handshake go on, a response ends it."""
        assert isinstance(connection, Connection)
        path = request.path.partition("?")[0]
        answer = self._health(connection, path)
        if answer is not None:
            return answer
        route, page = self._routes.get(path), self._find_page(path)
        if route is None and page is None:
            return self._refuse(connection, HTTPStatus.NOT_FOUND, f"There is nothing at {path}.")
        origins = request.headers.get_all("Origin")
        origin = ", ".join(origins) if origins else None
        if is_allowed_origin(origin, _only(request, "Host"), self.settings.allowed_origins):
            response = await self._answer(connection, request, route, page)
            return None if response is None else _shared(response, origin)
        logger.info("refused a web page of %a from %s at %s", origin, connection.address, path)
        reason = "Pages of this origin may not use this service; the setting allowed_origins says which may."
        return _shared(self._refuse(connection, HTTPStatus.FORBIDDEN, reason), None)

    async def _answer(
        self, connection: Connection, request: Request, route: Route | None, page: Page | None
    ) -> Response | None:
        """Answer a request that leads somewhere, after its login; None opens a WebSocket."""
        path, _, parameters = request.path.partition("?")
        query = dict(parse_qsl(parameters))
        authorization = _only(request, "Authorization")
        takes_tokens = self._takes_tokens and (route is None or not route.services_only)
        token = find_token(authorization, query.pop("token", None)) if takes_tokens else None
        try:
            login = await self._logins.identify(authorization, token, connection.address)
        except Unauthorized as error:
            logger.info("refused a login from %s at %s: %s", connection.address, path, error)
            response = self._refuse(connection, HTTPStatus.UNAUTHORIZED, str(error))
            for challenge in _challenges(token, takes_tokens=takes_tokens):
                response.headers["WWW-Authenticate"] = challenge  # adds one
            return response
        if route is not None:
            connection.user, connection.expires = login.user, login.expires
            return self._check_rights(connection, route, login.user)
        assert page is not None
        return await self._make(connection, page(PageRequest(path, query, login.user)))

    async def _make(self, connection: Connection, page: Awaitable[PageResponse]) -> Response:
        """Return the response that is being made, or a refusal if the service stops before it is."""
        making = asyncio.ensure_future(page)
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        try:
            await asyncio.wait([making])
        finally:
            making.cancel()
        if making.cancelled():
            return self._refuse(connection, HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping.")
        return _response(connection, making.result())

    def _find_page(self, path: str) -> Page | None:
        for place, page in self._pages.items():
            if path == place or (place.endswith("/") and path.startswith(place)):
                return page
        return None

    def _health(self, connection: ServerConnection, path: str) -> Response | None:
        if path == "/healthz":
            return connection.respond(HTTPStatus.OK, "ok\n")
        if path == "/readyz":
            reason = self.app.unready()
            if reason is None:
                return connection.respond(HTTPStatus.OK, "ok\n")
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
        return None

    async def _show_metrics(self, _: PageRequest) -> PageResponse:
        text = prometheus_client.generate_latest(self.app.metrics)
        return PageResponse(HTTPStatus.OK, text, prometheus_client.CONTENT_TYPE_LATEST)

    def _check_rights(self, connection: Connection, route: Route, user: User) -> Response | None:
        if route.services_only and not user.is_service:
            reason = "This endpoint is for services: the user needs the role service."
            return self._refuse(connection, HTTPStatus.FORBIDDEN, reason)
        if self._per_user[user.name] >= self.settings.max_connections_per_user:
            return self._refuse(
                connection, HTTPStatus.TOO_MANY_REQUESTS, "This user has too many connections."
            )
        return None

    def _refuse(self, connection: ServerConnection, status: HTTPStatus, reason: str) -> Response:
        self._refused.labels(status.value).inc()
        return connection.respond(status, f"{reason}\n")

    async def _handle(self, connection: ServerConnection) -> None:
        """Run the app's handler for one open connection, from first frame to last."""
        assert isinstance(connection, Connection)
        assert connection.request is not None
        connection.dialect = Dialect.V1 if connection.subprotocol else Dialect.PLAIN
        route = self._routes[connection.request.path.partition("?")[0]]
        if route.is_one_way and connection.dialect is Dialect.PLAIN:
            connection.leave_to_tcp(
                ping_interval=self.settings.ping_interval, silence_limit=self.settings.silence_limit
            )
        connection.forget_handshake()
        self.connections.add(connection)
        self._per_user[connection.user.name] += 1
        try:
            await route.handler(connection)
        except ConnectionClosed:
            pass
        finally:
            self.connections.discard(connection)
            self._forget_user(connection.user.name)

    def _forget_user(self, name: str) -> None:
        self._per_user[name] -= 1
        if not self._per_user[name]:
            del self._per_user[name]

    # Everything that concerns all connections.

    async def _check_lives(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LIFE_CHECK_SECONDS)
            self._check_every_life(loop.time())

    def _check_every_life(self, now: float) -> None:
        today = time.time()
        for connection in tuple(self.connections):
            if today >= connection.expires:
                connection.cut(CloseCode.LOGGED_OUT, "the token has expired; log in again")
            connection.check_life(
                now, ping_interval=self.settings.ping_interval, silence_limit=self.settings.silence_limit
            )

    async def _dismiss_all(self) -> None:
        """Tell each v1 client when to come back, each another time, and close every connection with 1001."""
        going = tuple(self.connections)
        for connection in going:
            if connection.dialect is Dialect.V1:
                # Not for secrecy: it keeps them from returning all at once.
                retry_after = random.uniform(0, self.settings.return_spread)  # noqa: S311
                connection.send_json({"drain": {"retry_ms": round(retry_after * 1000)}})
            connection.cut(CloseCode.GOING_AWAY, "the service is stopping; reconnect")
        try:
            async with asyncio.timeout(self.settings.drain_timeout / 2):
                await self._server.wait_closed()
        except TimeoutError:
            for connection in going:
                connection.transport.abort()
            for making in tuple(self._making):
                making.cancel()
            await self._server.wait_closed()


def _response(connection: Connection, page: PageResponse) -> Response:
    response = connection.respond(page.status, "")
    response.body = page.body
    for name, value in {
        "Content-Type": page.content_type,
        "Content-Length": str(len(page.body)),
        **page.headers,
    }.items():
        response.headers.pop(name, None)  # setting would add to it
        response.headers[name] = value
    return response


def _only(request: Request, name: str) -> str | None:
    """Return a header of a request; of several, none counts."""
    values = request.headers.get_all(name)
    return values[0] if len(values) == 1 else None


def _challenges(token: str | None, *, takes_tokens: bool) -> Sequence[str]:
    """Return how to log in; after a token only with another one, lest a browser ask for a password."""
    if token is not None:
        return ('Bearer realm="fanline", error="invalid_token"',)
    basic, bearer = 'Basic realm="fanline", charset="UTF-8"', 'Bearer realm="fanline"'
    return (basic, bearer) if takes_tokens else (basic,)


def _shared(response: Response, origin: str | None) -> Response:
    """Let the page that has made a request read the answer to it, if there is one and it may."""
    response.headers["Vary"] = "Origin"
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "*"
    return response


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
