"""Streams of server-sent events (HTML standard, 9.2), in answer to requests.

They go on until client or server ends. A stream begins as a request like any other, so that it is refused
like any other. Then it takes the transport over: events are written to it directly, with no task for each
stream, and its end is the end of the answer.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fanline import keepalive
from fanline.errors import CloseCode
from fanline.protocol import encode
from fanline.security.logins import VerifiedLogin
from fanline.server.channels.channel import Channel, Channels, do_nothing
from fanline.server.channels.limits import Limits
from fanline.server.http.middleware import EVENT_STREAM
from fanline.server.http.protocol import HttpProtocol

_COMMENT: Final = b":\n\n"

_HEADERS: Final = (
    ("Content-Type", EVENT_STREAM),
    ("X-Accel-Buffering", "no"),  # nginx would hold events back
    ("Connection", "close"),
)


class EventStream(Channel):
    """One stream of events; nothing is written before :meth:`begin`.

    One that is cut before ends with its beginning.

    Args:
        protocol: The connection that the request came by.
        limits: Limits of this connection.
        channels: The set that it belongs to.
        login: Who made the request.
        heartbeat: Seconds of silence after which a comment is written.

    Attributes:
        on_close: Called once, when the stream has ended, or did not begin.
    """

    __slots__ = ("_early_end", "_has_written", "_heartbeat", "_protocol", "_quiet_since", "on_close")

    def __init__(
        self,
        protocol: HttpProtocol,
        limits: Limits,
        channels: Channels,
        *,
        login: VerifiedLogin,
        heartbeat: float,
    ) -> None:
        transport, peer = protocol.transport, protocol.peer
        super().__init__(transport, peer, limits, channels, login=login, expires=login.expires)
        self.on_close: Callable[[], None] = do_nothing
        self._protocol: HttpProtocol | None = protocol
        self._heartbeat = heartbeat
        self._quiet_since = self._loop.time()
        self._has_written = False
        self._early_end: tuple[int, str] | None = None  # the cut of a stream that has not begun
        self._is_open = False

    def begin(self, head: bytes) -> None:
        """Answer the request, and write events from now on.

        Args:
            head: The head of the answer, and what opens the stream.

        Raises:
            ClientDisconnect: If the client has left.
        """
        assert self._protocol is not None
        transport, limits = self._protocol.take_over(), self._limits
        self._protocol = None
        if transport.is_closing():
            raise ClientDisconnect
        transport.set_write_buffer_limits(high=limits.write_buffer)
        keepalive.probe(transport, ping_interval=limits.ping_interval, silence_limit=limits.silence_limit)
        transport.set_protocol(self)
        transport.resume_reading()
        self._is_open = True
        self.write(head)
        if self._early_end is not None:
            self.cut(*self._early_end)

    def discard(self) -> None:
        """Forget a stream that does not begin."""
        self._protocol = None
        self._end()

    def write(self, data: bytes) -> None:
        """Write complete events without waiting; do nothing on a closing stream."""
        if self._is_open:
            self._has_written = True
            self._transport.write(data)

    def check_life(self, now: float) -> int:
        """Cut an expired or unread stream; send a silent one comments."""
        if (reason := self._find_reason_to_cut(now)) is not None:
            self.cut(*reason)
        elif self._has_written or self.paused:
            self._has_written, self._quiet_since = False, now
        elif now - self._quiet_since >= self._heartbeat:
            self.write(_COMMENT)
        return 0

    def stop_listening(self) -> None:
        """Do nothing: the client has asked for all that it can."""

    def dismiss(self, retry_ms: int) -> None:
        """End the stream with 1001, and set when the client comes back."""
        self.write(b"retry: %d\n" % retry_ms)
        self.cut(CloseCode.GOING_AWAY, "the service is stopping; reconnect")

    def cut(self, code: int, reason: str) -> None:
        """End the stream with an ``end`` event, without waiting.

        The event says why.
        """
        if self._is_open:
            self.write(b"event: end\ndata: %b\n\n" % encode({"code": int(code), "reason": reason}))
            self._begin_to_close()
            self._transport.close()
        elif self._protocol is not None:
            self._early_end = code, reason

    def data_received(self, data: bytes) -> None:
        """Ignore what the client sends after its request."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Release all references to the stream, to free it at once."""
        del exc
        self._end()
        self.peer.leave()

    def _end(self) -> None:
        self._release()
        on_close, self.on_close = self.on_close, do_nothing
        on_close()
        self._wake_writers()


OpenStream = Callable[[Request, EventStream], Awaitable[bytes]]


class StreamFactory(Protocol):
    """Interface of the set of open connections, for :func:`answer_with_stream`."""

    def open_stream(self, protocol: HttpProtocol, login: VerifiedLogin, heartbeat: float) -> EventStream:
        """Return a new stream, counted as a connection of its user.

        It has not begun.
        """
        ...

    def draw_retry_ms(self) -> int:
        """Return milliseconds for a client to wait before it reconnects."""
        ...


class Taken(Response):
    """A response that sends nothing, because the request is answered already."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do nothing."""


async def answer_with_stream(
    request: Request,
    login: VerifiedLogin,
    open_stream: OpenStream,
    connections: StreamFactory,
    *,
    heartbeat: float,
    headers: Sequence[tuple[str, str]],
) -> Response:
    """Answer a request with a stream.

    Args:
        request: The request.
        login: Who made it.
        open_stream: Returns what the stream begins with.
        connections: Makes the stream.
        heartbeat: Seconds of silence after which a comment is written.
        headers: Further headers of the answer.
    """
    protocol: HttpProtocol = request.state.protocol()
    if protocol.scope["method"] == "HEAD":
        return Response(media_type=EVENT_STREAM)
    stream = connections.open_stream(protocol, login, heartbeat)
    try:
        opening = await open_stream(request, stream)
        lines = [f"{name}: {value}\r\n" for name, value in (*_HEADERS, *headers)]
        head = "".join(["HTTP/1.1 200 OK\r\n", *lines, f"\r\nretry: {connections.draw_retry_ms()}\n"])
        stream.begin(head.encode("latin-1") + opening)
    except BaseException:
        stream.discard()
        raise
    return Taken()
