"""One open WebSocket on the server side.

* Frames are parsed by the Sans-I/O layer of ``websockets`` and handed to a handler by a direct call; there
  is no task, queue or future per connection.
* Frames are written as ready-made bytes, many at once, as :mod:`fanline.server.channels.channel` describes.
* One sweep over all connections pings a silent peer, then cuts it. A peer that is slow but does read is left
  alone, however long its ping and pong are delayed by the data it has yet to read; and so is one that has
  nothing to read, for as long as its host lives.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from fanline import keepalive
from fanline.errors import CloseCode
from fanline.protocol import SUBPROTOCOL, Dialect, Drain, DrainNotice, decode_renewal, encode
from fanline.security.logins import VerifiedLogin
from fanline.server.accepting.cuts import Cut
from fanline.server.accepting.peer import Peer
from fanline.server.accepting.progress import count_acked, count_unacked
from fanline.server.channels.channel import Channels
from fanline.server.channels.limits import Limits
from fanline.server.websocket.frames import PING, PONG, clip_reason, text_frame
from fanline.server.websocket.handler import IDLE, Handler
from fanline.server.websocket.inbound import InboundChannel, Pongs

logger = logging.getLogger(__name__)

# Seconds that a peer that was silent for too long may take to close; its host is likely to have vanished.
LAST_WORDS_SECONDS: Final = 1.0

MakeHandler = Callable[["Connection"], Handler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Result of an accepted handshake.

    Attributes:
        make_handler: Makes the handler of the connection.
        login: Who logged in; None if the endpoint has users of its own.
        expires: Until when the login is valid, in Unix seconds.
        subprotocol: What is spoken, of what the client offered.
        is_one_way: Whether the peer has nothing to read, and so may not answer pings either.
    """

    make_handler: MakeHandler
    login: VerifiedLogin | None = None
    expires: float = math.inf
    subprotocol: str | None = None
    is_one_way: bool = False


class Connection(InboundChannel):
    """A client's connection, from the accepted handshake until it is lost.

    Args:
        transport: The connection below it; the answer to the handshake has been written.
        peer: The other side.
        opening: What was decided about the handshake.
        limits: Limits of this connection.
        connections: The set that it belongs to.

    Attributes:
        dialect: How this connection spells its frames.
    """

    __slots__ = ("_handler", "_is_left_to_tcp", "_ping_end", "dialect")

    def __init__(
        self,
        transport: asyncio.Transport,
        peer: Peer,
        opening: Opening,
        limits: Limits,
        connections: Channels,
    ) -> None:
        super().__init__(transport, peer, limits, connections, login=opening.login, expires=opening.expires)
        self.dialect = Dialect.V1 if opening.subprotocol == SUBPROTOCOL else Dialect.PLAIN
        self._handler: Handler = IDLE
        transport.set_write_buffer_limits(high=limits.write_buffer)
        self._is_left_to_tcp = opening.is_one_way
        self._ping_end = 0  # what the host has acknowledged once it has the ping
        if opening.is_one_way:
            keepalive.probe(transport, ping_interval=limits.ping_interval, silence_limit=limits.silence_limit)
        transport.set_protocol(self)
        try:
            self._handler = opening.make_handler(self)
        except Exception:  # noqa: BLE001 - it is logged
            self._fail()

    # Writing.

    def send_json(self, value: object) -> None:
        """Write one text frame with the JSON of ``value``."""
        self.write(text_frame(encode(value)))

    async def round_trip(self) -> None:
        """Send a ping, and wait for its pong.

        Raises:
            CancelledError: If the connection is lost before.
        """
        if self._pongs is None:
            self._pongs = Pongs()
        payload, pong = self._pongs.expect()
        if not self._is_open:
            pong.cancel()
        self.write(Frame(Opcode.PING, payload).serialize(mask=False))
        await pong

    # Closing.

    def stop_listening(self) -> None:
        """Discard later messages of the peer.

        Close frames, pings and pongs still count. What has arrived before is still handed to the handler.
        """
        self._parse_rest()
        self._is_deaf, self._fragments = True, None

    def cut(self, code: int, reason: str) -> None:
        """Close without waiting for the peer.

        The peer is told why, and the connection is torn down after the ``close_timeout``.

        Args:
            code: A close code.
            reason: A sentence; of a long one the beginning is sent.
        """
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, clip_reason(reason))
        self._is_deaf = True
        self._flush()

    def dismiss(self, retry_ms: int) -> None:
        """Close with 1001; in v1 say before when to come back."""
        if self.dialect is Dialect.V1:
            self.send_json(DrainNotice(Drain(retry_ms)))
        self.cut(CloseCode.GOING_AWAY, "the service is stopping; reconnect")

    def check_life(self, now: float) -> int:
        """Ping a silent peer, and cut one that stays silent.

        To be called about once a second.

        Args:
            now: The event loop's time.

        Returns:
            The bytes of a message that has not arrived whole.
        """
        limits = self._limits
        if (reason := self._find_reason_to_cut(now)) is not None:
            self.cut(*reason)
        elif self.paused:
            pass  # its pong waits behind what it has yet to read
        elif self._is_left_to_tcp:
            # It needs no answer (RFC 6455, 5.5.3), but a proxy does not take the connection for idle.
            if now - self._heard_at > limits.ping_interval and not self.write_buffer_size:
                self._heard_at = now
                self.write(PONG)
        elif self._pinged_at is None:
            if now - self._heard_at > limits.ping_interval:
                self._ping(now)
        elif not self._is_read and count_acked(self._transport) != self._acked:
            # Its pong would not be read, but its host has acknowledged the ping, or cannot be asked.
            self._heard_at, self._pinged_at = now, None
        elif self._is_ping_on_its_way(now):
            pass  # a slow link takes its time for what was written before
        elif now - self._pinged_at > limits.silence_limit:
            self.cut(CloseCode.UNRESPONSIVE, "no answer to pings; reconnect")
            self._abort_within(LAST_WORDS_SECONDS)
        return self._check_arrival(now)

    def _ping(self, now: float) -> None:
        self._pinged_at, self._acked = now, count_acked(self._transport) or 0
        self.write(PING)
        self._ping_end = self._acked + count_unacked(self._transport)

    def _is_ping_on_its_way(self, now: float) -> bool:
        """Return whether the host still takes data written before the ping.

        Then the peer has the ``silence_limit`` from now on.
        """
        acked = count_acked(self._transport)
        if acked is None or acked == self._acked or acked >= self._ping_end:
            return False
        self._acked, self._pinged_at = acked, now
        return True

    def _check_arrival(self, now: float) -> int:
        """Return a partial message's bytes; drop one that takes too long."""
        size = len(self._protocol.reader.buffer)
        if self._fragments is not None:
            size += self._fragments.kept_size
        if not (size or self._fragments is not None) or not self._is_read:
            self._unfinished_at = None
        elif self._unfinished_at is None:
            self._unfinished_at = now
        elif self._is_open and now - self._unfinished_at > self._limits.arrival_timeout(size):
            self.drop(Cut.UNFINISHED)
        return size

    # The callbacks of asyncio.Protocol.

    def connection_lost(self, exc: Exception | None) -> None:
        """Release all references to the connection, to free it at once.

        Otherwise it would wait for the garbage collector, which runs rarely.
        """
        del exc
        self._release()
        self.peer.leave()
        self._parse_rest()
        self._protocol.parser.close()
        if self._protocol.parser_exc is not None:
            self._protocol.parser_exc.__traceback__ = None
        # Messages that wait for the handler were received before the end: they count.
        while self._waiting:
            self._deliver(self._waiting.popleft())
        handler, self._handler = self._handler, IDLE
        try:
            handler.on_close()
        except Exception:
            logger.exception("a handler has failed at the end of its connection")
        self._wake_writers()
        if self._pongs is not None:
            self._pongs.cancel()

    # Steps of the above.

    def _deliver(self, payload: bytes) -> None:
        # Only logins that expire can be renewed, and only in v1 can a client be answered.
        if self.login is not None and self.expires < math.inf and self.dialect is Dialect.V1:
            token = decode_renewal(payload)
            if token is not None:
                self.pause_reading_during(self._channels.renew(self, self.login, token))
                return
        try:
            self._handler.on_frame(payload)
        except Exception:  # noqa: BLE001 - it is logged
            self._fail()

    def _fail(self) -> None:
        """Log a defect of the handler, and close its connection."""
        logger.exception("a handler has failed; its connection is closed")
        self.cut(StandardCode.INTERNAL_ERROR, "")

    def _flush(self) -> None:
        """Write the protocol's output, and begin to close if it says so."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the end of the stream
                self._transport.close()
        if self._is_open and self._protocol.state is not State.OPEN:
            self._begin_to_close()
