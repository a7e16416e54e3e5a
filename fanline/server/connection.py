"""One client's WebSocket on the server side, with what fan-out needs and the library leaves open.

* Frames are written as ready-made bytes, many at once, without a task or an await per message.
* The transport's write buffer is the only queue of a connection. Its high-water mark is the moment at
  which a consumer counts as slow: :attr:`Connection.on_pause` says so.
* One sweep over all connections replaces the library's keepalive task per connection. A silent peer is
  pinged, then cut. A peer that is slow but does read is left alone, however long its pong is held up
  behind the data it has yet to read; and so is one that has nothing to read, for as long as its host lives.
"""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from fanline import keepalive
from fanline.errors import CloseCode
from fanline.protocol import Dialect, encode
from fanline.security.users import User

PING: Final = Frame(Opcode.PING, b"").serialize(mask=False)

# Frames taken from one connection before the others get their turn.
FAIR_SHARE: Final = 64

# Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h).
_TCP_INFO_BYTES_ACKED: Final = 120

_WRONG_METHOD: Final = re.compile(rb"(?!GET )[A-Z]{1,20} /")
_METHOD_NOT_ALLOWED: Final = (
    b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 28\r\nConnection: close\r\n\r\nOnly GET is answered here.\r\n"
)


def text_frame(payload: bytes) -> bytes:
    """Return the WebSocket text frame of a server around ``payload`` (RFC 6455, 5.2: never masked).

    By hand, because it is done for every message, and the library's way takes five times as long.
    """
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def _do_nothing() -> None:
    pass


class Connection(ServerConnection):
    """A client's connection, made by :class:`~fanline.server.service.Service`.

    Attributes:
        user: Who logged in; set before the handler runs.
        expires: Until when that login is good, in Unix seconds.
        dialect: How this connection spells its frames; set before the handler runs.
        on_pause: Called, on the event loop and possibly from inside :meth:`write`, when the write buffer
            has passed its high-water mark.
    """

    user: User
    expires: float
    dialect: Dialect

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_pause: Callable[[], None] = _do_nothing
        self._heard_at = self.loop.time()
        self._progress_at = self._heard_at
        self._bytes_acked = 0
        self._pinged_at: float | None = None
        self._refused = False
        self._is_deaf = False
        self._is_left_to_tcp = False
        self._abort_timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """The peer's IP address, or ``"?"`` once it is gone."""
        peer = self.remote_address
        return str(peer[0]) if peer else "?"

    def write(self, frames: bytes) -> None:
        """Write complete frames; never waits, and does nothing once the connection is closing."""
        if self.protocol.state is State.OPEN:
            self.transport.write(frames)

    def send_json(self, value: object) -> None:
        """Write one text frame with the JSON of ``value``."""
        self.write(text_frame(encode(value)))

    def forget_handshake(self) -> None:
        """Free the headers of the handshake, which nobody asks for any more: a tenth of a connection."""
        assert self.request is not None
        self.request.headers.clear()
        self.response = None

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the payload of each frame as it comes, text or binary; ends when the connection does.

        Frames that are here already are taken without a pause, but not for long at a time, so that a peer
        that sends many small ones does not hold up the others. While the peer reads nothing of what is
        due to it, nothing more is read from it.
        """
        taken = 0
        while True:
            try:
                yield await self._receive()
            except ConnectionClosed:
                return
            taken += 1
            if taken % FAIR_SHARE == 0:
                await asyncio.sleep(0)
            await self.writable()

    def cut_short(self) -> None:
        """Read only the beginning of messages over the size limit from now on, and keep the connection.

        This goes for messages in fragments; a single frame over the limit still closes the connection.
        """
        protocol = self.protocol
        protocol.max_message_size, protocol.max_fragment_size = None, protocol.max_message_size

    async def writable(self) -> None:
        """Wait until the write buffer is below its low-water mark, or the connection is lost."""
        if self.paused:
            with suppress(OSError):  # what the connection was lost of; who reads from it will be told
                await self.drain()

    def stop_listening(self) -> None:
        """Discard what the peer sends from now on: it will be answered no more.

        What has arrived before is still yielded by :meth:`frames`. Close frames and pongs are still obeyed,
        however much comes before them.
        """
        self._is_deaf = True

    def cut(self, code: CloseCode, reason: str) -> None:
        """Close without waiting for the peer: it is told why, and torn down after the ``close_timeout``."""
        if self.protocol.state is not State.OPEN:
            return
        self.stop_listening()
        self.protocol.send_close(code, reason)
        self.send_data()
        self._abort_timer = self.loop.call_later(self.close_timeout or 0, self.transport.abort)

    def leave_to_tcp(self, *, ping_interval: float, silence_limit: float) -> None:
        """Send no pings, because the peer need not read and so answer them; TCP probes its host instead."""
        self._is_left_to_tcp = True
        keepalive.probe(self.transport, ping_interval=ping_interval, silence_limit=silence_limit)

    def check_life(self, now: float, *, ping_interval: float, silence_limit: float) -> None:
        """Ping the peer if it has been silent, and cut it if it stays so; called about once a second.

        Args:
            now: The event loop's time.
            ping_interval: Seconds of silence after which it is pinged.
            silence_limit: Seconds that it may then stay silent, or read nothing of what is due to it.
        """
        if self.paused:
            if self._has_progressed():
                self._progress_at = now
            elif now - self._progress_at > silence_limit:
                self.cut(CloseCode.SLOW_CONSUMER, "nothing was read; reconnect with after")
            return
        if self._is_left_to_tcp:
            return
        if self._pinged_at is None:
            if now - self._heard_at > ping_interval:
                self._pinged_at = now
                self.write(PING)
        elif now - self._pinged_at > silence_limit:
            self.cut(CloseCode.UNRESPONSIVE, "no answer to pings; reconnect")

    # The callbacks of asyncio.Protocol.

    def data_received(self, data: bytes) -> None:
        """Note the sign of life, and answer the HTTP methods that the library would drop in silence."""
        self._heard_at = self.loop.time()
        self._pinged_at = None
        if self.request is None and _WRONG_METHOD.match(data):
            self._refused = True
            self.transport.write(_METHOD_NOT_ALLOWED)
        if not self._refused:
            super().data_received(data)

    def process_event(self, event: Event) -> None:
        """Take in one event, unless it is of no interest any more."""
        is_data = isinstance(event, Frame) and event.opcode in DATA_OPCODES
        if not (is_data and self._is_deaf):
            super().process_event(event)

    def pause_writing(self) -> None:
        """Tell the application that this consumer is slow."""
        super().pause_writing()
        self._progress_at = self.loop.time()
        self._bytes_acked = self._count_acked()
        self.on_pause()

    def resume_writing(self) -> None:
        """Begin anew to look for signs of life."""
        super().resume_writing()
        # Its pong may be held up behind what it has now read.
        self._heard_at = self.loop.time()
        self._pinged_at = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything that refers to the connection."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self.on_pause = _do_nothing
        super().connection_lost(exc)
        self._untie()

    def _untie(self) -> None:
        """Cut the circles in which the library's objects hold each other, so that all of it is freed at once.

        Otherwise what a connection takes up would wait for the garbage collector, which is in no hurry.
        """
        protocol = self.protocol
        protocol.parser.close()
        if protocol.parser_exc is not None:
            protocol.parser_exc.__traceback__ = None
        vars(protocol).pop("select_subprotocol", None)

    async def _receive(self) -> bytes:
        limit = self.protocol.max_fragment_size
        if limit is None:
            return await self.recv(decode=False)
        parts, size = [], 0
        async for part in self.recv_streaming(decode=False):
            if size < limit:
                parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _has_progressed(self) -> bool:
        acked = self._count_acked()
        progressed = acked != self._bytes_acked
        self._bytes_acked = acked
        return progressed

    def _count_acked(self) -> int:
        """Return a figure that changes whenever the peer has taken data off our hands.

        The kernel's count of acknowledged bytes: the transport's own buffer is emptied in large steps, and a
        slow reader may need minutes for one of them.
        """
        sock = self.transport.get_extra_info("socket")
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0])
        except (AttributeError, OSError, struct.error):
            return self.transport.get_write_buffer_size()
