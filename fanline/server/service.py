"""A running service: its app behind a listener, with login, health, metrics and a bounded stop.

One request goes through

    TLS → path → origin → login → rights → the page, or the handler of a WebSocket

and is answered with 404, 403, 401, 403 or 429, 426 or 405 where it fails.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final, Self, TypeVar

from prometheus_client import CollectorRegistry
from starlette.routing import compile_path
from starlette.types import Scope

from fanline.addresses import join_host_port, split_hosts
from fanline.errors import CannotListen
from fanline.protocol import SUBPROTOCOL
from fanline.security.exposure import check_exposure, warn_of_open_files
from fanline.security.logins import LoginVerifier
from fanline.security.origins import OriginPolicy
from fanline.security.tls import server_expiry, server_names
from fanline.server import metrics
from fanline.server.accepting.acceptor import AcceptLimits
from fanline.server.accepting.cuts import Cuts
from fanline.server.access import Access, AccessChanges
from fanline.server.app import App, Endpoint, OpenedApp, OpenEndpoint
from fanline.server.http.application import Application
from fanline.server.http.middleware import Middleware, common_headers
from fanline.server.http.problems import HttpProblem, ProblemCode, Refusals
from fanline.server.http.proxies import TrustedProxies
from fanline.server.listener import Listener
from fanline.server.websocket.connection import Opening
from fanline.server.websocket.connections import OpenConnections
from fanline.server.websocket.handshake import Handshake, HandshakeProtocol
from fanline.server.websocket.limits import Limits
from fanline.settings import ServiceSettings
from fanline.tasks import cancel_and_wait, running_task, start_task

logger = logging.getLogger(__name__)

LIFE_CHECK_SECONDS: Final = 1.0

SomeSettings = TypeVar("SomeSettings", bound=ServiceSettings)


class Service:
    """A running service; :meth:`start` makes it.

    Args:
        app: What it does.
        settings: Its settings.
        logins: Who may log in.
        connections: Its WebSockets.
        listener: Its port.
        retiring: Set once it is about to stop.
        resources: What is released at its end.

    Attributes:
        app: As given.
        settings: As given.
        connections: As given.
    """

    def __init__(
        self,
        app: App,
        settings: ServiceSettings,
        logins: LoginVerifier,
        connections: OpenConnections,
        listener: Listener,
        retiring: asyncio.Event,
        resources: AsyncExitStack,
    ) -> None:
        self.app = app
        self.settings = settings
        self.connections = connections
        self._logins = logins
        self._listener = listener
        self._retiring = retiring
        self._resources = resources
        self._lag = metrics.histogram(
            "fanline_event_loop_lag_seconds", "How much later than it should the event loop does its work."
        )
        app.metrics.register(self._lag)
        self._life_checks = start_task(self._check_lives())

    @classmethod
    async def start(
        cls,
        open_app: Callable[[SomeSettings], OpenedApp],
        settings: SomeSettings,
        *,
        wall_clock: Callable[[], float] = time.time,
        descriptors: int | None = None,
    ) -> Self:
        """Start a service; when it returns, connections are accepted.

        Args:
            open_app: Makes the app, and releases it at the end.
            settings: Its settings.
            wall_clock: Returns Unix seconds; the logins of open connections expire by it.
            descriptors: Files that the process may have open; None for as many as the system permits.

        Raises:
            ConfigurationError: If a setting, certificate, users file or the port is wrong.
        """
        check_exposure(settings)
        warn_of_open_files(settings)
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(open_app(settings))
            takes_tokens = _takes_tokens(app)
            logins = LoginVerifier(settings, takes_tokens=takes_tokens)
            limits, cuts = _limits(app, settings, wall_clock), Cuts(app.metrics)
            connections = OpenConnections(limits, settings.return_spread, cuts, logins.renew)
            changes = AccessChanges(
                logins, connections.check_logins, is_followed=app.follow_access is not None
            )
            if app.follow_access is not None:
                following = app.follow_access(changes.take, changes.caught_up)
                await stack.enter_async_context(running_task(following))
            access = Access(
                logins,
                origins=OriginPolicy(settings.allowed_origins, server_names(settings.cert_dir)),
                takes_tokens=takes_tokens,
                settings=settings,
                changes=changes,
            )
            retiring = asyncio.Event()
            listener = _listen(app, access, connections, settings, cuts, retiring, descriptors)
            service = cls(app, settings, logins, connections, listener, retiring, stack.pop_all())
        urls = (f"https://{join_host_port(each, service.port)}" for each in split_hosts(settings.host))
        logger.info("listening on %s", ", ".join(urls))
        return service

    @property
    def port(self) -> int:
        """The port that is listened on; the real one also when the setting says 0."""
        return self._listener.port

    @property
    def is_retiring(self) -> bool:
        """Return whether it is about to stop."""
        return self._retiring.is_set()

    async def retire(self) -> None:
        """Answer /readyz with 503, and go on as before for the ``shutdown_delay`` setting.

        A load balancer that asks has then sent new clients elsewhere before connections are refused.
        """
        self._retiring.set()
        await asyncio.sleep(self.settings.shutdown_delay)

    async def stop(self) -> None:
        """Stop accepting, finish what is in progress, close every connection, and release everything.

        Takes at most about the ``drain_timeout`` setting, whatever the peers do.
        """
        timeout = self.settings.drain_timeout / 2
        self._retiring.set()
        self._listener.stop_accepting()
        self._life_checks.cancel()
        self.connections.stop_listening()
        try:
            async with asyncio.timeout(timeout):
                await self.app.drain()
        except TimeoutError:
            logger.warning("not everything in progress could be finished in time")
        self.connections.dismiss()
        await self._listener.close(timeout, lambda: self.connections.tasks)
        self.connections.abort()
        await cancel_and_wait(self._life_checks, *self.connections.tasks)
        await self._resources.aclose()
        logger.info("stopped")

    async def _check_lives(self) -> None:
        loop = asyncio.get_running_loop()
        generation = self._logins.generation
        while True:
            wanted = loop.time() + LIFE_CHECK_SECONDS
            await asyncio.sleep(LIFE_CHECK_SECONDS)
            now = loop.time()
            self._lag.observe(max(0.0, now - wanted))
            self.connections.check_lives(now)
            self._listener.check_lives(now)
            if generation != self._logins.generation:
                generation = self._logins.generation
                self.connections.check_logins(self._logins.end_of)


def _listen(
    app: App,
    access: Access,
    connections: OpenConnections,
    settings: ServiceSettings,
    cuts: Cuts,
    retiring: asyncio.Event,
    descriptors: int | None,
) -> Listener:
    refusals = Refusals(app.metrics)
    expiry = server_expiry(settings.cert_dir)
    proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_header)
    _show_connections(app.metrics, connections)
    metrics.gauge(
        app.metrics,
        "fanline_certificate_expiry_timestamp_seconds",
        "When the server certificate expires, in Unix seconds.",
        lambda: expiry,
    )
    application = Middleware(
        Application(app, access, connections, retiring),
        access,
        refusals,
        proxies=proxies,
        body_timeout=settings.handshake_timeout,
        max_body=app.max_body,
    )
    gate = _Gate(app.endpoints, access, connections, refusals, proxies)
    try:
        return Listener(
            application,
            settings,
            open_websocket=gate.open,
            refusals=refusals,
            cuts=cuts,
            limits=AcceptLimits.from_settings(settings, descriptors, proxies.trusts),
            is_shared=app.is_shared,
        )
    except OSError as error:
        raise CannotListen(settings.service, settings.host, settings.port, error) from error


def _show_connections(registry: CollectorRegistry, connections: OpenConnections) -> None:
    metrics.gauge(registry, "fanline_connections", "Open connections.", lambda: len(connections))
    metrics.gauge(
        registry,
        "fanline_slow_consumers",
        "Connections whose write buffer is full.",
        lambda: sum(each.paused for each in connections),
    )
    metrics.gauge(
        registry,
        "fanline_write_buffer_bytes",
        "Bytes that wait for all connections together.",
        lambda: sum(each.write_buffer_size for each in connections),
    )


class _Gate:
    """The way from a request for a WebSocket to its endpoint."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint | OpenEndpoint],
        access: Access,
        connections: OpenConnections,
        refusals: Refusals,
        proxies: TrustedProxies,
    ) -> None:
        self._endpoints = [(*compile_path(path), endpoint) for path, endpoint in endpoints.items()]
        self._access = access
        self._connections = connections
        self._refusals = refusals
        self._proxies = proxies

    def open(self, transport: asyncio.Transport, scope: Scope, early: bytes) -> None:
        """Begin a handshake."""
        self._proxies.resolve(scope)
        handshake = HandshakeProtocol(
            transport,
            scope,
            decide=self._decide,
            accept=self._connections.accept,
            early=early,
            common_headers=lambda handshake: common_headers(handshake.headers, self._access),
            refusals=self._refusals,
        )
        self._connections.track(handshake.task)

    async def _decide(self, handshake: Handshake) -> Opening:
        endpoint = self._find(handshake)
        self._access.check_origin(handshake)
        if isinstance(endpoint, OpenEndpoint):
            self._access.check_connections(handshake, None, self._connections)
            return await endpoint.open(handshake)
        login = await self._access.identify(handshake, services_only=endpoint.services_only)
        self._access.check_connections(handshake, login, self._connections)
        is_v1 = SUBPROTOCOL in handshake.offered
        return Opening(
            make_handler=endpoint.make_handler,
            login=login,
            expires=login.expires,
            subprotocol=SUBPROTOCOL if is_v1 else None,
            is_one_way=endpoint.is_one_way and not is_v1,
        )

    def _find(self, handshake: Handshake) -> Endpoint | OpenEndpoint:
        path = handshake.scope["path"]
        for regex, _, convertors, endpoint in self._endpoints:
            if match := regex.match(path):
                handshake.scope["path_params"] = {
                    name: convertors[name].convert(value) for name, value in match.groupdict().items()
                }
                return endpoint
        raise HttpProblem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, f"there is nothing at {path}")


def _takes_tokens(app: App) -> bool:
    endpoints = app.endpoints.values()
    return any(isinstance(each, Endpoint) and not each.services_only for each in endpoints)


def _limits(app: App, settings: ServiceSettings, wall_clock: Callable[[], float]) -> Limits:
    return Limits(
        max_frame=app.max_frame,
        write_buffer=settings.write_buffer,
        close_timeout=settings.drain_timeout / 2,
        ping_interval=settings.ping_interval,
        silence_limit=settings.silence_limit,
        max_unfinished=settings.unfinished_bytes,
        wall_clock=wall_clock,
    )
