"""A running service: its app behind a listener, until a bounded stop.

The service adds login, health and metrics. One request goes through

    TLS → path → origin → login → rights → the page, or the handler of a WebSocket

and is answered with 404, 403, 401, 403 or 429, 426 or 405 where it fails.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from fanline.security.exposure import check_exposure, warn_of_open_files
from fanline.security.logins import LoginVerifier
from fanline.security.tls import ServerCertificate, check_link_certificate
from fanline.server import metrics
from fanline.server.accepting.cuts import Cuts
from fanline.server.accepting.entrance import Entrance
from fanline.server.access import Access, AccessChanges
from fanline.server.app import App, Endpoint, OpenedApp
from fanline.server.channels.limits import Limits
from fanline.server.front.connections import OpenConnections
from fanline.server.front.front import Front, answer_health
from fanline.server.front.reloader import ReadSettings, Reloader
from fanline.server.http.listener import HttpListener
from fanline.server.http.protocol import OpenWebSocket
from fanline.server.request.origins import OriginPolicy
from fanline.server.status.report import StatusReporter
from fanline.settings import ServiceSettings
from fanline.tasks import cancel_and_wait, running_task, sleep_and_read, start_task

logger = logging.getLogger(__name__)

LIFE_CHECK_SECONDS: Final = 1.0

START_PATIENCE: Final = 1.0

SomeSettings = TypeVar("SomeSettings", bound=ServiceSettings)


class Service:
    """A running service; :meth:`start` makes it.

    Args:
        app: What it does.
        reloader: Its settings, and what changes with them and with files.
        front: What answers its requests.
        listener: Its port.
        metrics_listener: The port of its metrics; None without one.
        retiring: Set once it is about to stop.
        resources: What is released at its end.

    Attributes:
        app: As given.
        connections: Its WebSockets and streams of events.
    """

    def __init__(
        self,
        app: App,
        reloader: Reloader,
        front: Front,
        listener: HttpListener,
        metrics_listener: HttpListener | None,
        retiring: asyncio.Event,
        resources: AsyncExitStack,
    ) -> None:
        self.app = app
        self.connections = reloader.connections
        self._reloader = reloader
        self._front = front
        self._requests: set[asyncio.Task[None]] = set()  # those that it was handed, and has not answered
        self._listener = listener
        self._metrics_listener = metrics_listener
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
        is_apart: bool = True,
        start_patience: float = START_PATIENCE,
    ) -> Self:
        """Start a service; when it returns, connections are accepted.

        Args:
            open_app: Makes the app, and releases it at the end.
            settings: Its settings.
            wall_clock: Returns Unix seconds; logins of open connections and the certificate expire by it.
            descriptors: Files that the process may have open; None for as many as the system permits.
            is_apart: Whether it has a port; without one it answers what it is handed.
            start_patience: Seconds that the app may take before ``/healthz`` is answered without it.

        Raises:
            ConfigurationError: If a setting, certificate, users file or the port is wrong.
        """
        check_exposure(settings)
        warn_of_open_files(settings)
        check_link_certificate(settings)
        async with AsyncExitStack() as stack:
            certificate = ServerCertificate(settings.cert_dir, settings.client_ca_file)
            async with AsyncExitStack() as starting:
                if is_apart:
                    health = answer_health(settings, lambda: certificate.context, patience=start_patience)
                    await starting.enter_async_context(running_task(health))
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
                origins=OriginPolicy(settings.allowed_origins, certificate.names),
                takes_tokens=takes_tokens,
                settings=settings,
                changes=changes,
            )
            reloader = Reloader(app, settings, certificate, logins, access, connections, wall_clock)
            retiring = asyncio.Event()
            reporter = _reporter(app, reloader)
            front = Front(app, reloader, reporter, cuts, retiring, descriptors)
            if (metrics_listener := front.listen_for_metrics()) is not None:
                stack.push_async_callback(metrics_listener.end)
            await stack.enter_async_context(running_task(reporter.run()))
            listener = front.listen(is_apart=is_apart)
            service = cls(app, reloader, front, listener, metrics_listener, retiring, stack.pop_all())
        if is_apart:
            logger.info("listening on %s", ", ".join(service.urls))
        return service

    @property
    def settings(self) -> ServiceSettings:
        """Settings of the service."""
        return self._reloader.settings

    @property
    def port(self) -> int:
        """The port that is really listened on; 0 if none."""
        return self._listener.entrances[0].port if self._listener.entrances else 0

    @property
    def urls(self) -> list[str]:
        """URLs of all listening sockets but that of the metrics.

        The port's comes first.
        """
        return [entrance.url for entrance in self._listener.entrances]

    @property
    def metrics_port(self) -> int | None:
        """The port of its metrics, likewise; None without one."""
        return None if self._metrics_listener is None else self._metrics_listener.entrances[0].port

    @property
    def is_retiring(self) -> bool:
        """Return whether it is about to stop."""
        return self._retiring.is_set()

    def reload(self, read: ReadSettings) -> None:
        """Read the settings and files again, as an operator wants with SIGHUP.

        Args:
            read: Reads the settings of a kind.
        """
        self._reloader.reload(read)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that came to a port of several services."""
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        await self._front.application(scope, receive, send)

    def open_websocket(self, transport: asyncio.Transport, scope: Scope, early: bytes) -> None:
        """Begin the WebSocket handshake on a connection to a shared port."""
        self._front.open_websocket(transport, scope, early)

    def listen_for_others(
        self, application: ASGIApp, entrances: Sequence[Entrance], open_websocket: OpenWebSocket
    ) -> HttpListener:
        """Return a listener that others answer, with this service's limits.

        This service counts it.

        Args:
            application: Answers HTTP requests.
            entrances: The sockets; owned from now on.
            open_websocket: Takes over a request for a WebSocket.
        """
        return self._front.listener(application, entrances, open_websocket)

    @property
    def tls_context(self) -> ssl.SSLContext:
        """Certificate and versions of TLS, for connections that begin now."""
        return self._reloader.certificate.context

    async def retire(self) -> None:
        """Answer ``/readyz`` with 503 for the ``shutdown_delay`` setting.

        All else goes on as before. A load balancer that asks has then sent new clients elsewhere before
        connections are refused.
        """
        self._retiring.set()
        await asyncio.sleep(self.settings.shutdown_delay)

    async def stop(self) -> None:
        """Stop accepting, finish work in progress, close every connection, release everything.

        It takes at most about the ``drain_timeout`` setting, whatever the peers do.
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
        await self._listener.close(timeout, lambda: self.connections.tasks | self._requests)
        self.connections.abort()
        await cancel_and_wait(self._life_checks, *self.connections.tasks, *self._requests)
        await self._resources.aclose()
        logger.info("stopped")

    async def _check_lives(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + LIFE_CHECK_SECONDS
            await sleep_and_read(LIFE_CHECK_SECONDS)
            now = loop.time()
            self._lag.observe(max(0.0, now - wanted))
            self.connections.check_lives(now)
            for listener in filter(None, (self._listener, self._metrics_listener)):
                listener.check_lives(now)
            self._reloader.look()


def _reporter(app: App, reloader: Reloader) -> StatusReporter:
    settings = reloader.settings
    return StatusReporter(
        app,
        settings.service,
        settings.workers if app.is_shared else 1,
        connections=lambda: tuple(reloader.connections),
        problems=lambda: reloader.problems,
        certificate_expires=lambda: reloader.certificate.expires,
    )


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
        max_unread=settings.unread_bytes,
        wall_clock=wall_clock,
    )
