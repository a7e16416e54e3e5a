"""The handshake: a WebSocket request becomes a connection, or is refused.

The checks, in their order: validity → path → origin → login → rights → connection
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from http import HTTPStatus
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from fanline.server.accepting.peer import Peer
from fanline.server.access import offered_subprotocols
from fanline.server.request.problems import MEDIA_TYPE, HttpProblem, ProblemCode, Refusals
from fanline.server.websocket.connection import Connection, Opening

logger = logging.getLogger(__name__)

# What a client may send before its handshake is answered; RFC 6455 (4.1) allows nothing.
MAX_EARLY_BYTES: Final = 65_536

_CODES: Final = {
    HTTPStatus.METHOD_NOT_ALLOWED: ProblemCode.METHOD_NOT_ALLOWED,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: ProblemCode.UNSUPPORTED_VERSION,
    HTTPStatus.UPGRADE_REQUIRED: ProblemCode.UPGRADE_REQUIRED,
}


class Handshake(HTTPConnection):
    """A request for a WebSocket.

    ``path_params``, ``headers`` and ``client`` are those of Starlette.
    """

    @cached_property
    def offered(self) -> list[str]:
        """The subprotocols that the client can speak."""
        return offered_subprotocols(self.headers)


Decide = Callable[[Handshake], Awaitable[Opening]]
Accept = Callable[[asyncio.Transport, Opening, Peer], Connection]


class HandshakeProtocol(asyncio.Protocol):
    """The time between a WebSocket request and its answer.

    One task runs during it.

    Args:
        transport: The connection.
        scope: The request, as ASGI describes it.
        decide: Decides on it.
        accept: Makes the connection, and with it takes over the transport.
        early: What the client has sent after the request.
        common_headers: Returns the headers of every answer.
        refusals: Counts the refused handshakes.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        scope: Scope,
        *,
        decide: Decide,
        accept: Accept,
        early: bytes,
        common_headers: Callable[[Handshake], list[tuple[str, str]]],
        refusals: Refusals,
    ) -> None:
        self._transport = transport
        self._decide = decide
        self._accept = accept
        self._common_headers = common_headers
        self._refusals = refusals
        self._peer: Peer = scope["state"]["peer"]
        self._early = bytearray()
        self._connection: Connection | None = None
        transport.set_protocol(self)
        self._task = asyncio.get_running_loop().create_task(self._run(Handshake(scope)))
        self.data_received(early)

    @property
    def task(self) -> asyncio.Task[None]:
        """Ends with the handshake."""
        return self._task

    def data_received(self, data: bytes) -> None:
        """Keep what the client sends too early, within limits."""
        self._early += data
        if len(self._early) > MAX_EARLY_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop deciding: the client has left.

        TLS transports call this in a later turn than that in which they notice the end. If the handshake was
        accepted between the two, the connection would never hear of it.
        """
        if self._connection is not None:
            self._connection.connection_lost(exc)
        else:
            self._peer.leave()
            self._task.cancel()

    async def _run(self, handshake: Handshake) -> None:
        try:
            answer = negotiate(handshake)
            opening = await self._decide(handshake)
        except HttpProblem as problem:
            self._refuse(handshake, problem)
        except asyncio.CancelledError:
            detail = "the service is stopping; try again"
            self._refuse(
                handshake, HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, detail)
            )
        except Exception:
            logger.exception("a handshake has failed")
            detail = "this service has made a mistake; its log tells more"
            self._refuse(
                handshake, HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, ProblemCode.INTERNAL, detail)
            )
        else:
            if opening.subprotocol is not None:
                answer += f"Sec-WebSocket-Protocol: {opening.subprotocol}\r\n"
            self._transport.write(f"{answer}\r\n".encode())
            self._connection = self._accept(self._transport, opening, self._peer)
            if self._early:
                self._connection.data_received(bytes(self._early))

    def _refuse(self, handshake: Handshake, problem: HttpProblem) -> None:
        if self._transport.is_closing():
            return
        self._refusals.count(problem)
        body = problem.body
        headers = Headers(
            [
                ("Connection", "close"),
                ("Content-Type", MEDIA_TYPE),
                ("Content-Length", str(len(body))),
                *problem.headers,
                *self._common_headers(handshake),
            ]
        )
        response = Response(problem.status.value, problem.status.phrase, headers, body)
        self._transport.write(response.serialize())
        self._transport.close()


# The headers that a handshake depends on. Extensions and subprotocols are chosen elsewhere, if at all.
_NEGOTIATED: Final = frozenset({b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"})

# Only its methods that check a request are used; they keep nothing from one handshake to the next.
_negotiator: Final = ServerProtocol()


def negotiate(handshake: Handshake) -> str:
    """Return the head of the answer that accepts a handshake.

    It is as RFC 6455, 4.2 says, without its last line.

    Raises:
        HttpProblem: If the handshake is malformed: 400, 405, 426 or 505.
    """
    scope = handshake.scope
    if any(_announces_body(name, value) for name, value in scope["headers"]):
        detail = "a request for a WebSocket has no body"
        raise HttpProblem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, detail)
    headers = Headers(
        [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name in _NEGOTIATED
        ]
    )
    request = Request(scope["path"], headers, scope["method"], f"HTTP/{scope['http_version']}")
    try:
        accept_key, _, _ = _negotiator.process_request(request)
    except InvalidHandshake as error:
        raise _malformed(request, error) from None
    return (
        "HTTP/1.1 101 Switching Protocols\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key}\r\n"
    )


def _announces_body(name: bytes, value: bytes) -> bool:
    """Return whether a header announces a body.

    The client of the JDK announces one of no bytes, which is none.
    """
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")


def _malformed(request: Request, error: InvalidHandshake) -> HttpProblem:
    response = _negotiator.accept(request)
    _negotiator.handshake_exc = None
    status = HTTPStatus(response.status_code)
    extra = tuple((name, response.headers[name]) for name in ("Allow", "Upgrade") if name in response.headers)
    detail = f"the handshake of a WebSocket is malformed: {error}"
    return HttpProblem(status, _CODES.get(status, ProblemCode.BAD_REQUEST), detail, extra)
