"""The listener: one TLS port for HTTP and WebSockets, by uvicorn without its signals and log lines."""

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from fanline.addresses import bind
from fanline.security.tls import server_context
from fanline.server.http.problems import Refusals
from fanline.server.http.protocol import HttpProtocol, OpenWebSocket
from fanline.server.websocket.cuts import Cuts
from fanline.settings import Settings

# The head of a request may have so many bytes.
MAX_HEAD_BYTES = 32_768


class Listener:
    """The open port, and the HTTP connections to it.

    Args:
        servers: The open port, on each address.
        state: Its HTTP connections, and the requests in progress.
        settings: How long everything may take.
    """

    def __init__(self, servers: Sequence[asyncio.Server], state: ServerState, settings: Settings) -> None:
        self._servers = servers
        self._state = state
        self._patience = settings.handshake_timeout
        self._silence_limit = settings.silence_limit

    @classmethod
    async def open(
        cls,
        application: ASGIApp,
        settings: Settings,
        port: int,
        *,
        open_websocket: OpenWebSocket,
        refusals: Refusals,
        cuts: Cuts,
        is_shared: bool,
    ) -> "Listener":
        """Listen.

        Args:
            application: Answers HTTP requests.
            settings: The address, the certificate, and how long everything may take.
            port: 0 for any free one.
            open_websocket: Takes over a request for a WebSocket.
            refusals: Counts malformed requests.
            cuts: Counts the connections that are cut.
            is_shared: Whether other processes listen on the port as well.

        Raises:
            ConfigurationError: If the certificate or its key cannot be used.
            OSError: If the port cannot be listened on.
        """
        config, state = _configure(application, settings), ServerState()
        make = partial(
            HttpProtocol, config, state, open_websocket=open_websocket, refusals=refusals, cuts=cuts
        )
        loop = asyncio.get_running_loop()
        servers = [
            await loop.create_server(
                make,
                sock=bound,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=settings.handshake_timeout,
                ssl_shutdown_timeout=settings.handshake_timeout,
            )
            for bound in bind(settings.host, port, is_shared=is_shared)
        ]
        return cls(servers, state, settings)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    def check_lives(self, now: float) -> None:
        """Drop HTTP clients that are too slow; called about once a second."""
        for connection in tuple(self._state.connections):
            assert isinstance(connection, HttpProtocol)
            connection.check_life(now, patience=self._patience, silence_limit=self._silence_limit)

    def stop_accepting(self) -> None:
        """Accept no new connections, nor further requests on those that there are."""
        for server in self._servers:
            server.close()
        self._end_after_response()

    async def close(self, timeout: float, others: Callable[[], set[asyncio.Task[None]]]) -> None:
        """Wait for the requests in progress and for the end of all connections.

        Args:
            timeout: Seconds after which what is still open is dropped.
            others: Returns further tasks to wait for.
        """
        self._end_after_response()
        if not await self._wait_for_end(timeout / 2, others):
            for task in tuple(self._state.tasks):
                task.cancel()
            if not await self._wait_for_end(timeout / 2, others):
                for connection in tuple(self._state.connections):
                    connection.transport.abort()

    def _end_after_response(self) -> None:
        """Close idle connections, and each other one when its request is answered."""
        for connection in tuple(self._state.connections):
            connection.shutdown()

    async def _wait_for_end(self, timeout: float, others: Callable[[], set[asyncio.Task[None]]]) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while tasks := self._state.tasks | others():
                    await asyncio.wait(tasks)
                for server in self._servers:
                    await server.wait_closed()
        except TimeoutError:
            return False
        return True


def _configure(application: ASGIApp, settings: Settings) -> uvicorn.Config:
    context = server_context(settings.cert_dir)
    config = uvicorn.Config(
        application,
        ssl_context_factory=lambda *_: context,
        ws=asyncio.Protocol,
        timeout_keep_alive=math.ceil(settings.handshake_timeout),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        interface="asgi3",
        lifespan="off",
        # uvicorn would log the query of each request, with its token, and the mistakes of clients as errors.
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config
