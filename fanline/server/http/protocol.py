"""HTTP/1.1 over uvicorn: ends malformed and slow requests, hands on WebSockets."""

import asyncio
import logging
import sys
import weakref
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fanline.security.tls import ClientCertificate
from fanline.server.accepting.cuts import Cut, Cuts
from fanline.server.accepting.peer import Peer
from fanline.server.accepting.progress import measure_progress
from fanline.server.log import quoted
from fanline.server.request.problems import MEDIA_TYPE, HttpProblem, ProblemCode, Refusals

logger = logging.getLogger(__name__)

OpenWebSocket = Callable[[asyncio.Transport, Scope, bytes], None]

_ERRORS = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the head of the request is too long",
    HTTPStatus.NOT_IMPLEMENTED: "this transfer coding is not supported",
}


class HttpProtocol(H11Protocol):
    """One HTTP connection.

    Args:
        config: Of uvicorn.
        server_state: The connections and requests of the server.
        peer: The other side.
        open_websocket: Takes over the transport for a request for a WebSocket, with what was sent after it;
            None if there are none.
        refusals: Counts the malformed requests.
        cuts: Counts the connections that are cut.

    Attributes:
        peer: As given.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        peer: Peer,
        *,
        open_websocket: OpenWebSocket | None,
        refusals: Refusals,
        cuts: Cuts,
    ) -> None:
        # Weak, so that a connection that is lost is freed at once.
        super().__init__(config, server_state, app_state={"protocol": weakref.ref(self), "peer": peer})
        self.peer = peer
        self._open_websocket = open_websocket
        self._refusals = refusals
        self._cuts = cuts
        self._idle_since = self._progress_at = self.loop.time()
        self._acked = 0

    def check_life(self, now: float, *, patience: float, silence_limit: float) -> None:
        """Drop a client that stops sending its request or reading the answer.

        Args:
            now: The event loop's time.
            patience: Seconds within which the head of a request must have come.
            silence_limit: Seconds within which something of the answer must be read.
        """
        if self.flow.write_paused:
            if (acked := measure_progress(self.transport)) != self._acked:
                self._acked, self._progress_at = acked, now
            elif now - self._progress_at > silence_limit:
                self._cuts.count(Cut.UNREAD, self._address)
                self.transport.abort()
        elif self.is_idle and now - self._idle_since > patience:
            if self.cycle is None:
                self._cuts.count(Cut.SILENT, self._address)
            self.transport.abort()

    def close_if_idle(self) -> None:
        """Close between requests, but not before the first."""
        if self.cycle is not None and self.is_idle:
            self.shutdown()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, with address and certificate of the peer."""
        super().connection_made(transport)
        self.client = (self.peer.address, self.peer.port)
        self.peer.certificate = ClientCertificate.from_tls(transport.get_extra_info("peercert"))

    def pause_writing(self) -> None:
        """Begin to look whether the client reads."""
        super().pause_writing()
        self._progress_at = self.loop.time()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._idle_since = self.loop.time()
        self.peer.confirm()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer as well."""
        super().connection_lost(exc)
        self.peer.leave()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the transport to the handshake of a WebSocket."""
        del event
        self.connections.discard(self)
        assert self._open_websocket is not None
        early, _ = self.conn.trailing_data
        self._open_websocket(self.transport, dict(self.scope), early)

    def take_over(self) -> asyncio.Transport:
        """Hand the transport, and the answer, over to another protocol."""
        self.connections.discard(self)
        self.cycle.disconnected = True
        return self.transport

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed.

        uvicorn calls this while it handles the error.
        """
        del msg
        error = sys.exception()
        status = HTTPStatus.BAD_REQUEST
        if isinstance(error, h11.RemoteProtocolError):
            status = HTTPStatus(error.error_status_hint)
        logger.info("refused a malformed request from %s: %s", self._address, quoted(str(error)))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reason, _, _ = str(error).partition(": bytearray(")  # the rest is what the client has sent
            detail = _ERRORS.get(status, f"the request is not valid HTTP/1.1: {reason}")
            self._refuse(HttpProblem(status, ProblemCode.BAD_REQUEST, detail))
        self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Return whether no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else "?"

    def _refuse(self, problem: HttpProblem) -> None:
        self._refusals.count(problem)
        body = problem.body
        headers: list[tuple[str, Any]] = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        response = h11.Response(status_code=problem.status, headers=headers, reason=problem.status.phrase)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
