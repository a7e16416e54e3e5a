"""The front of a service: listeners, logins, routes and connections together."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from fanline.errors import ConfigurationError
from fanline.server import metrics
from fanline.server.accepting.acceptor import AcceptLimits
from fanline.server.accepting.cuts import Cuts
from fanline.server.accepting.entrance import Entrance, open_entrances, open_metrics_entrances
from fanline.server.app import App
from fanline.server.front.application import Application
from fanline.server.front.connections import OpenConnections
from fanline.server.front.gate import WebSocketGate
from fanline.server.front.landing import landing_page
from fanline.server.front.reloader import Reloader
from fanline.server.http.listener import HealthOnly, HttpListener
from fanline.server.http.middleware import Middleware
from fanline.server.http.protocol import OpenWebSocket
from fanline.server.request.problems import Refusals
from fanline.server.request.proxies import TrustedProxies
from fanline.server.status.report import StatusReporter
from fanline.settings import ServiceSettings

logger = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0


class Front:
    """The way from the sockets of a service to its app.

    Args:
        app: The service.
        reloader: Its settings, and what changes with them and with files.
        reporter: Tells admins how the service does.
        cuts: Counts the connections that are cut.
        retiring: Set once the service is about to stop.
        descriptors: Files that the process may have open; None for as many as the system permits.

    Attributes:
        application: Answers HTTP requests.
        open_websocket: Takes over a request for a WebSocket.
    """

    def __init__(
        self,
        app: App,
        reloader: Reloader,
        reporter: StatusReporter,
        cuts: Cuts,
        retiring: asyncio.Event,
        descriptors: int | None,
    ) -> None:
        settings = reloader.settings
        _show_connections(app.metrics, reloader.connections)
        _show_reloads(app.metrics, reloader)
        self._app = app
        self._reloader = reloader
        self._cuts = cuts
        self._retiring = retiring
        self._proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_header, settings.path_prefix)
        self._refusals = Refusals(app.metrics)
        self._limits = AcceptLimits.from_settings(settings, descriptors, self._proxies.trusts)
        # Last: a page that the service itself has there comes before it.
        landing = Route("/", landing_page(settings.service, app))
        self.application = self._application(replace(app, routes=[*app.routes, landing]), reporter)
        self.open_websocket = WebSocketGate(
            app.endpoints, reloader.access, reloader.connections, self._refusals, self._proxies
        ).open

    def listen(self, *, is_apart: bool) -> HttpListener:
        """Listen on the port of the service.

        Args:
            is_apart: Whether it has a port.

        Raises:
            CannotListen: If that is not possible.
        """
        entrances: Sequence[Entrance] = ()
        settings, certificate = self._reloader.settings, self._reloader.certificate
        if is_apart:
            entrances = open_entrances(
                settings,
                lambda: certificate.context,
                port_setting=settings.name_of("port"),
                port=settings.port,
                listen_setting=settings.name_of("listen"),
                listen=settings.listen,
                is_shared=self._app.is_shared,
            )
        return self.listener(self.application, entrances, self.open_websocket)

    def listen_for_metrics(self) -> HttpListener | None:
        """Listen on the port of the metrics, if there is one.

        Otherwise it is like :meth:`listen`.
        """
        entrances = open_metrics_entrances(self._reloader.settings)
        if not entrances:
            return None
        logger.info("metrics are at %s", ", ".join(f"{each.url}/metrics" for each in entrances))
        bare = App(
            max_frame=0,
            metrics=self._app.metrics,
            readiness_problem=self._app.readiness_problem,
            drain=self._app.drain,
        )
        return self.listener(self._application(bare, None, has_open_metrics=True), entrances, None)

    def _application(
        self, app: App, reporter: StatusReporter | None, *, has_open_metrics: bool = False
    ) -> Middleware:
        access = self._reloader.access
        application = Application(
            app,
            access=access,
            connections=self._reloader.connections,
            retiring=self._retiring,
            problems=lambda: self._reloader.problems,
            reporter=reporter,
            has_open_metrics=has_open_metrics,
        )
        return Middleware(
            application,
            access,
            self._refusals,
            proxies=self._proxies,
            body_timeout=self._reloader.settings.handshake_timeout,
            max_body=app.max_body,
        )

    def listener(
        self, application: ASGIApp, entrances: Sequence[Entrance], open_websocket: OpenWebSocket | None
    ) -> HttpListener:
        """Return a listener with this service's limits, counted by it.

        Args:
            application: Answers HTTP requests.
            entrances: The sockets; owned from now on.
            open_websocket: Takes over a request for a WebSocket; None to answer it as any other.
        """
        return HttpListener(
            application,
            self._reloader.settings,
            entrances,
            open_websocket=open_websocket,
            refusals=self._refusals,
            cuts=self._cuts,
            limits=self._limits,
        )


async def answer_health(
    settings: ServiceSettings, context: Callable[[], ssl.SSLContext], *, patience: float
) -> None:
    """Answer ``/healthz`` during a long start, until cancelled.

    All other requests get 503. If the port cannot be listened on, nothing is answered: the service may have
    to wait until another process lets go of it.

    Args:
        settings: Of the service.
        context: Returns certificate and versions of TLS.
        patience: Seconds that a start may take before this begins.
    """
    await asyncio.sleep(patience)
    name = settings.service
    try:
        entrances = open_entrances(
            settings,
            context,
            port_setting=settings.name_of("port"),
            port=settings.port,
            listen_setting=settings.name_of("listen"),
            listen=settings.listen,
        )
    except ConfigurationError as error:
        logger.info("%s does not answer until it has started: %s", name, error)
        return
    detail = f"{name} is starting; its log says what it does"
    proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_header, settings.path_prefix)
    registry = metrics.new_registry()
    listener = HttpListener(
        HealthOnly(PlainTextResponse("ok\n"), detail),
        settings,
        entrances,
        open_websocket=None,
        refusals=Refusals(registry),
        cuts=Cuts(registry),
        limits=AcceptLimits.from_settings(settings, None, proxies.trusts),
    )
    logger.info("%s is starting; until then it answers /healthz alone", name)
    try:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            listener.check_lives(asyncio.get_running_loop().time())
    finally:
        await listener.end()


def _show_reloads(registry: CollectorRegistry, reloader: Reloader) -> None:
    metrics.gauge(
        registry,
        "fanline_certificate_expiry_timestamp_seconds",
        "When the server certificate expires, in Unix seconds.",
        lambda: reloader.certificate.expires,
    )
    metrics.gauge(
        registry,
        "fanline_reload_problems",
        "Changed files that cannot be used, so that those from before remain in use.",
        lambda: len(reloader.problems),
    )


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
