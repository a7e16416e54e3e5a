"""One open WebSocket on the server side.

* Frames are parsed by the Sans-I/O layer of ``websockets`` and handed to a handler by a direct call; there
  is no task, queue or future per connection.
* Frames are written as ready-made bytes, many at once, as :mod:`fanline.server.websocket.channel` describes.
* One sweep over all connections pings a silent peer, then cuts it. A peer that is slow but does read is left
  alone, however long its pong is delayed by the data it has yet to read; and so is one that has nothing to
  read, for as long as its host lives.
"""

import asyncio
import logging
import math
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as FrameProtocol
from websockets.protocol import Side, State

from fanline import keepalive
from fanline.errors import CloseCode
from fanline.protocol import SUBPROTOCOL, Dialect, decode_renewal, encode
from fanline.security.logins import VerifiedLogin
from fanline.server.accepting.cuts import Cut
from fanline.server.accepting.peer import Peer
from fanline.server.websocket.channel import Channel, Channels
from fanline.server.websocket.fragments import Fragments, is_utf8
from fanline.server.websocket.frames import PING, PONG, clip_reason, text_frame
from fanline.server.websocket.handler import IDLE, Handler
from fanline.server.websocket.limits import Limits
from fanline.server.websocket.progress import count_acked

logger = logging.getLogger(__name__)

# Frames given to one handler before the other connections get their turn.
FAIR_SHARE: Final = 64

# What may wait for a handler that has paused reading, before the transport is not read from.
MAX_WAITING_FRAMES: Final = 16
MAX_WAITING_BYTES: Final = 65_536


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


class Connection(Channel):
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

    __slots__ = (
        "_fragments", "_handler", "_heard_at", "_is_backlogged", "_is_deaf", "_is_held", "_is_left_to_tcp",
        "_is_read", "_is_scheduled", "_pinged_at", "_pongs", "_protocol", "_unfinished_at", "_waiting",
        "dialect",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        peer: Peer,
        opening: Opening,
        limits: Limits,
        connections: Channels,
    ) -> None:
        super().__init__(transport, peer, limits, connections, login=opening.login, expires=opening.expires)
        self._protocol = FrameProtocol(Side.SERVER, state=State.OPEN, max_size=limits.max_frame)
        self.dialect = Dialect.V1 if opening.subprotocol == SUBPROTOCOL else Dialect.PLAIN
        self._is_deaf = False  # data frames are discarded
        self._is_held = False  # the handler has paused reading
        self._is_backlogged = False  # too much waits for the handler
        self._is_read = True  # whether the transport is read from
        self._is_scheduled = False
        self._waiting: deque[bytes] | None = None  # complete messages for the handler
        self._fragments: Fragments | None = None  # of a message that is not complete
        self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self._unfinished_at: float | None = None  # when the message that is arriving was first seen
        self._pongs: dict[bytes, asyncio.Future[None]] | None = None
        self._handler: Handler = IDLE
        transport.set_write_buffer_limits(high=limits.write_buffer)
        self._is_left_to_tcp = opening.is_one_way
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
            self._pongs = {}
        payload = secrets.token_bytes(8)
        pong = self._pongs[payload] = self._loop.create_future()
        if not self._is_open:
            pong.cancel()
        self.write(Frame(Opcode.PING, payload).serialize(mask=False))
        await pong

    # Reading.

    def pause_reading(self) -> None:
        """Hand no more frames to the handler; a little more is still read from the peer, then nothing."""
        self._is_held = True

    def resume_reading(self) -> None:
        """Hand frames to the handler again; those that wait come at the loop's next turn."""
        self._is_held = False
        self._schedule()

    def pause_reading_during(self, work: Coroutine[Any, Any, None]) -> None:
        """Hand no more frames to the handler until a coroutine has ended, which runs as a task."""
        self.pause_reading()
        self.create_task(work).add_done_callback(lambda _: self.resume_reading())

    def cut_short(self) -> None:
        """Read only the beginning of messages over the size limit from now on, and keep the connection.

        This is for messages in fragments; a single frame over the limit still closes the connection.
        """
        protocol = self._protocol
        protocol.max_message_size, protocol.max_fragment_size = None, self._limits.max_frame

    # Closing.

    def stop_listening(self) -> None:
        """Discard what the peer sends from now on, except close frames, pings and pongs.

        What has arrived before is still handed to the handler.
        """
        self._is_deaf = True

    def cut(self, code: int, reason: str) -> None:
        """Close without waiting for the peer: it is told why, and torn down after the ``close_timeout``.

        Args:
            code: A close code.
            reason: A sentence; of a long one the beginning is sent.
        """
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, clip_reason(reason))
        self.stop_listening()
        self._flush()

    def dismiss(self, retry_ms: int) -> None:
        """Close with 1001; in v1 say before when to come back."""
        if self.dialect is Dialect.V1:
            self.send_json({"drain": {"retry_ms": retry_ms}})
        self.cut(CloseCode.GOING_AWAY, "the service is stopping; reconnect")

    def check_life(self, now: float) -> int:
        """Ping the peer if it has been silent, and cut it if it stays so; called about once a second.

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
                self._pinged_at, self._acked = now, count_acked(self._transport) or 0
                self.write(PING)
        elif not self._is_read and count_acked(self._transport) != self._acked:
            # Its pong would not be read, but its host has acknowledged the ping, or cannot be asked.
            self._heard_at, self._pinged_at = now, None
        elif now - self._pinged_at > limits.silence_limit:
            self.cut(CloseCode.UNRESPONSIVE, "no answer to pings; reconnect")
        return self._check_arrival(now)

    def _check_arrival(self, now: float) -> int:
        """Drop the connection if a message takes too long to arrive; return its bytes so far."""
        size = len(self._protocol.reader.buffer)
        if self._fragments is not None:
            size += self._fragments.kept_size
        if not size or not self._is_read:
            self._unfinished_at = None
        elif self._unfinished_at is None:
            self._unfinished_at = now
        elif self._is_open and now - self._unfinished_at > self._limits.arrival_timeout(size):
            self.drop(Cut.UNFINISHED)
        return size

    # The callbacks of asyncio.Protocol.

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sent, and hand complete messages to the handler."""
        self._heard_at = self._loop.time()
        self._pinged_at = None
        protocol = self._protocol
        protocol.receive_data(data)
        taken = 0
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            self._unfinished_at = None
            opcode = frame.opcode
            if opcode is Opcode.PONG:
                self._take_pong(bytes(frame.data))
            elif opcode is not Opcode.PING and opcode is not Opcode.CLOSE and not self._is_deaf:
                payload = self._assemble(frame)
                if payload is None:
                    continue
                if taken < FAIR_SHARE and self._may_deliver and self._waiting is None:
                    taken += 1
                    self._deliver(payload)
                else:
                    self._keep(payload)
        if protocol.writes:
            self._flush()

    def pause_writing(self) -> None:
        """Stop to read: a peer that reads nothing is not answered, and pongs do not pile up."""
        super().pause_writing()
        self._control_reading()

    def resume_writing(self) -> None:
        """Continue to read, and restart the liveness check: a pong waited behind what was read now."""
        self._heard_at, self._pinged_at = self._loop.time(), None
        super().resume_writing()
        self._control_reading()
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything that refers to the connection, so that all of it is freed at once.

        Otherwise it would wait for the garbage collector, which runs rarely.
        """
        del exc
        self._release()
        self.peer.leave()
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
        for pong in (self._pongs or {}).values():
            pong.cancel()

    # Steps of the above.

    @property
    def _may_deliver(self) -> bool:
        # A peer that reads nothing is not served further.
        return not (self._is_held or self.paused)

    def _assemble(self, frame: Frame) -> bytes | None:
        """Return the message that a frame completes, if it does."""
        if frame.fin and frame.opcode is not Opcode.CONT:
            message, is_text = bytes(frame.data), frame.opcode is Opcode.TEXT
        else:
            if self._fragments is None:
                self._fragments = Fragments(self._protocol.max_fragment_size, frame.opcode is Opcode.TEXT)
            self._fragments.add(bytes(frame.data))
            if not frame.fin:
                return None
            message, is_text = self._fragments.join()
            self._fragments = None
        if is_text and not is_utf8(message):  # RFC 6455, 8.1
            self.cut(StandardCode.INVALID_DATA, "the text is not valid UTF-8")
            return None
        return message

    def _deliver(self, payload: bytes) -> None:
        # Only logins by token expire, and only in v1 can a client be answered.
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

    def _keep(self, payload: bytes) -> None:
        """Queue a message until the handler may take it."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(payload)
        if len(self._waiting) >= MAX_WAITING_FRAMES or len(payload) > MAX_WAITING_BYTES:
            self._is_backlogged = True
            self._control_reading()
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting is not None and self._may_deliver and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._deliver_waiting)

    def _deliver_waiting(self) -> None:
        self._is_scheduled = False
        taken = 0
        while self._waiting and taken < FAIR_SHARE and self._may_deliver:
            taken += 1
            self._deliver(self._waiting.popleft())
        if self._waiting:
            self._schedule()
            return
        self._waiting = None
        if self._is_backlogged:
            self._is_backlogged = False
            self._control_reading()

    def _control_reading(self) -> None:
        """Read from the transport, or not, as all that speaks against it says."""
        is_wanted = not (self._is_backlogged or self.paused)
        if is_wanted == self._is_read:
            return
        self._is_read = is_wanted
        if is_wanted:
            self._heard_at = self._loop.time()
            self._pinged_at = None
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _take_pong(self, payload: bytes) -> None:
        pong = self._pongs.pop(payload, None) if self._pongs else None
        if pong is not None and not pong.done():
            pong.set_result(None)

    def _flush(self) -> None:
        """Write what the protocol has to send, and begin to close when it says so."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the end of the stream
                self._transport.close()
        if self._is_open and self._protocol.state is not State.OPEN:
            self._begin_to_close()
