"""Runs chat: its listener, and its end.

uvicorn speaks HTTP and WebSocket. Everything else is as with the other services: the certificates, the log,
what a wrong setting leads to, and that a stop is clean.
"""

import asyncio
import logging
import math
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import h11
import prometheus_client
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from chat.http.api import Services
from chat.http.app import build
from chat.http.middleware import Edge
from chat.http.sockets import FRAMES, Sockets
from chat.service.chat_service import ChatService
from chat.service.login import Logins
from chat.settings import ChatSettings
from fanline.errors import CannotListen
from fanline.security.authenticator import Authenticator, check_exposure
from fanline.security.tls import server_context
from fanline.server import metrics

# A frame holds a message of the greatest length in whatever way JSON may spell it, within reason.
FRAME_PER_MESSAGE: Final = 4

logger = logging.getLogger(__name__)


class Server:
    """One chat server, from its start to its end.

    Args:
        settings: All of its settings.

    Attributes:
        settings: As given.
        chat: Executes commands.

    Raises:
        ConfigurationError: If a setting, certificate, users file, password or key is wrong.
    """

    def __init__(self, settings: ChatSettings) -> None:
        check_exposure(settings)
        self.settings = settings
        self.chat = ChatService.from_settings(settings)
        self._registry = prometheus_client.CollectorRegistry()
        logins = Logins(settings, self.chat.rooms.is_revoked)
        sockets = Sockets(self.chat, logins)
        services = Services(self.chat, logins, Authenticator(settings.users_file), self._registry)
        self._listener = _Listener(_configure(build(services, sockets, settings), settings), settings)
        self._register_metrics(sockets)
        self._running = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port that is listened on; the real one also when the setting says 0."""
        return self._listener.port

    async def start(self) -> None:
        """Listen; the log is read meanwhile, and until that is done everything is answered with 503.

        Raises:
            ConfigurationError: If the port cannot be listened on.
        """
        await self._running.enter_async_context(self.chat.running())
        try:
            await self._listener.open()
        except OSError as error:
            await self._running.aclose()
            raise CannotListen("chat", self.settings.host, self.settings.port, error) from error
        logger.info("listening on https://%s:%d", self.settings.host, self.port)

    async def stop(self) -> None:
        """Stop accepting, say goodbye for all members, close every connection, and release everything.

        Takes at most about the ``drain_timeout`` setting, whatever the clients do.
        """
        self._listener.stop_accepting()
        await self.chat.lifecycle.drain()
        await self._listener.close()
        await self._running.aclose()
        logger.info("stopped")

    def _register_metrics(self, sockets: Sockets) -> None:
        view, registry = self.chat.state.view, self._registry
        prometheus_client.ProcessCollector(registry=registry)
        metrics.gauge(
            registry, "fanline_connections", "Open WebSocket connections.", lambda: sockets.connections
        )
        metrics.gauge(registry, "fanline_chat_rooms", "Rooms.", lambda: len(view.rooms.by_id))
        metrics.gauge(
            registry,
            "fanline_chat_members",
            "Members who are connected to this server.",
            lambda: view.rooms.population[view.server],
        )


class _Listener:
    """The open port, and the connections to it: uvicorn without its own signals, errors and log lines.

    Args:
        config: How to speak.
        settings: How long everything may take.
    """

    def __init__(self, config: uvicorn.Config, settings: ChatSettings) -> None:
        self._config = config
        self._patience = settings.handshake_timeout
        self._close_timeout = settings.drain_timeout / 2
        self._state = ServerState()
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: If the port cannot be listened on.
        """
        self._config.load()
        self._server = await asyncio.get_running_loop().create_server(
            partial(_Impatient, self._config, self._state, {}),
            self._config.host,
            self._config.port,
            ssl=self._config.ssl,
            backlog=self._config.backlog,
            ssl_handshake_timeout=self._patience,
            ssl_shutdown_timeout=self._patience,
        )

    def stop_accepting(self) -> None:
        self._server.close()

    async def close(self) -> None:
        """Close every connection: in the way that is due to it, or else with force."""
        connections, tasks = self._state.connections, self._state.tasks
        for connection in tuple(connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._server.wait_closed()
                if tasks:
                    await asyncio.wait(tasks)
        except TimeoutError:
            for connection in tuple(connections):
                connection.transport.abort()
            for task in tuple(tasks):
                task.cancel()


class _Impatient(H11Protocol):
    """HTTP for those who come to the point: who takes too long over the head of a request is cut off."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin to look now and then how far it has come."""
        super().connection_made(transport)
        self._look_later()

    def _look_later(self) -> None:
        self.loop.call_later(self.timeout_keep_alive, self._look, self.scope)

    def _look(self, request_before: object) -> None:
        if self not in self.connections:  # it is closed, or a WebSocket by now
            return
        if self.conn.their_state is h11.IDLE and self.scope is request_before:
            self.transport.abort()
        self._look_later()


class _WebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that can also be written to without ASGI."""

    async def run_asgi(self) -> None:
        """Run the application, which finds this in its scope: a :class:`~chat.http.sockets.FrameWriter`."""
        self.scope["extensions"][FRAMES] = self  # type: ignore[assignment]  # of our own
        await super().run_asgi()

    def write(self, frames: bytes) -> None:
        """See :meth:`chat.http.sockets.FrameWriter.write`."""
        if self.handshake_complete and not self.close_sent and not self.disconnected:
            self.transport.write(frames)


def _configure(application: Edge, settings: ChatSettings) -> uvicorn.Config:
    """Return how uvicorn is to run the application.

    Raises:
        ConfigurationError: If the certificate or its key cannot be used.
    """
    context = server_context(settings.cert_dir)
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        ssl_context_factory=lambda *_: context,
        ws=_WebSocket,
        ws_max_size=FRAME_PER_MESSAGE * settings.chat_max_message,
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.silence_limit,
        ws_per_message_deflate=False,
        timeout_keep_alive=math.ceil(settings.handshake_timeout),
        interface="asgi3",
        lifespan="off",
        # uvicorn would log the query of each request, and at debug level every frame, tokens and all; and at
        # error level what is the fault of a client. Our own faults are logged by the application.
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
