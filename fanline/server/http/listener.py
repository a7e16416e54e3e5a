"""A listener: HTTP and WebSockets on the same sockets, by uvicorn.

uvicorn's signals and log lines are not used.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from fanline.server.accepting.acceptor import AcceptLimits, Acceptor
from fanline.server.accepting.cuts import Cuts
from fanline.server.accepting.entrance import Entrance
from fanline.server.http.protocol import HttpProtocol, OpenWebSocket
from fanline.server.request.problems import HttpProblem, ProblemCode, Refusals
from fanline.settings import Settings

# The head of a request may have so many bytes.
_MAX_HEAD_BYTES: Final = 32_768


# Seconds that the requests in progress have when a listener ends at once.
END_SECONDS: Final = 1.0


class HttpListener:
    """Sockets that listen, and the HTTP connections to them.

    Args:
        application: Answers HTTP requests.
        settings: How long everything may take.
        entrances: The sockets; owned from now on.
        open_websocket: Takes over a request for a WebSocket; None to answer it as any other.
        refusals: Counts malformed requests.
        cuts: Counts the connections that are cut.
        limits: What strangers may cost.

    Attributes:
        entrances: As given.
    """

    def __init__(
        self,
        application: ASGIApp,
        settings: Settings,
        entrances: Sequence[Entrance],
        *,
        open_websocket: OpenWebSocket | None,
        refusals: Refusals,
        cuts: Cuts,
        limits: AcceptLimits,
    ) -> None:
        self.entrances = entrances
        self._state = ServerState()
        self._patience = settings.handshake_timeout
        self._silence_limit = settings.silence_limit
        make = partial(HttpProtocol, open_websocket=open_websocket, refusals=refusals, cuts=cuts)
        config = _configure(application, settings, has_websockets=open_websocket is not None)
        detail = "the service has no file descriptors left; try again later"
        reserve = _configure(HealthOnly(application, detail), settings, has_websockets=False)
        self._acceptor = Acceptor(
            entrances,
            limits,
            make_protocol=partial(make, config, self._state),
            make_reserve_protocol=partial(make, reserve, self._state),
            cuts=cuts,
        )

    def check_lives(self, now: float) -> None:
        """Drop slow HTTP clients, and idle ones if descriptors run out.

        Args:
            now: The event loop's time; about a second after that of the last call.
        """
        is_exhausted = self._acceptor.check(now)
        for connection in tuple(self._state.connections):
            assert isinstance(connection, HttpProtocol)
            connection.check_life(now, patience=self._patience, silence_limit=self._silence_limit)
            if is_exhausted:
                connection.close_if_idle()

    def stop_accepting(self) -> None:
        """Accept no new connections, nor further requests on those that there are."""
        self._acceptor.stop()
        self._end_after_response()

    async def close(self, timeout: float, others: Callable[[], set[asyncio.Task[None]]]) -> None:
        """Wait for requests in progress and for all connections to end.

        Args:
            timeout: Seconds after which what is still open is dropped.
            others: Returns further tasks to wait for.
        """
        self._end_after_response()
        if not await self._wait_for_end(timeout / 2, others):
            for task in tuple(self._state.tasks):
                task.cancel()
            if not await self._wait_for_end(timeout / 2, others):
                await self._acceptor.abort()
                for connection in tuple(self._state.connections):
                    connection.transport.abort()

    async def end(self) -> None:
        """Stop at once, for a listener on which nothing lasts."""
        self.stop_accepting()
        await self.close(END_SECONDS, set)

    def _end_after_response(self) -> None:
        """Close idle connections, and each other one when its request is answered."""
        for connection in tuple(self._state.connections):
            connection.shutdown()

    async def _wait_for_end(self, timeout: float, others: Callable[[], set[asyncio.Task[None]]]) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while tasks := self._state.tasks | others():
                    await asyncio.wait(tasks)
                await self._acceptor.wait_closed()
        except TimeoutError:
            return False
        return True


class HealthOnly:
    """Answers ``/healthz`` by an application, and all else with 503.

    Args:
        application: The application.
        detail: Why all else is refused.
    """

    def __init__(self, application: ASGIApp, detail: str) -> None:
        self._application = application
        self._detail = detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: what an ASGI server calls."""
        if scope["path"] == "/healthz":
            await self._application(scope, receive, send)
            return
        closing = (("Connection", "close"),)
        problem = HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, self._detail, closing)
        await problem.response()(scope, receive, send)


def _configure(application: ASGIApp, settings: Settings, *, has_websockets: bool) -> uvicorn.Config:
    config = uvicorn.Config(
        application,
        ws=asyncio.Protocol if has_websockets else "none",
        timeout_keep_alive=math.ceil(settings.handshake_timeout),
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
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
