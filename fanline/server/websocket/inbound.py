"""The inbound side of a WebSocket: bytes become messages for a handler.

What is received is parsed in slices, and handed over in turns, so that no peer keeps the others waiting: a
connection that has used up its turn goes on at the next one of the event loop, and is not read from before.
"""

import asyncio
import secrets
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from websockets.frames import CloseCode as StandardCode
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as FrameProtocol
from websockets.protocol import Side, State

from fanline.security.logins import VerifiedLogin
from fanline.server.accepting.peer import Peer
from fanline.server.channels.channel import Channel, Channels
from fanline.server.channels.limits import Limits
from fanline.server.websocket.fragments import FIRST_SLICE, Fragments, Unparsed, is_utf8

# Frames given to one handler, and seconds that they take, before the other connections get their turn.
FAIR_SHARE: Final = 64
TURN_SECONDS: Final = 0.003

# What may wait for a handler that has paused reading, before the transport is not read from.
MAX_WAITING_FRAMES: Final = 16
_MAX_WAITING_BYTES: Final = 65_536


class Pongs:
    """The pongs that tasks of one connection wait for."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        self._expected: dict[bytes, asyncio.Future[None]] = {}

    def expect(self) -> tuple[bytes, asyncio.Future[None]]:
        """Return a ping's payload, and a future for its pong."""
        payload = secrets.token_bytes(8)
        pong = self._expected[payload] = asyncio.get_running_loop().create_future()
        return payload, pong

    def take(self, payload: bytes) -> None:
        """Note a pong."""
        pong = self._expected.pop(payload, None)
        if pong is not None and not pong.done():
            pong.set_result(None)

    def cancel(self) -> None:
        """Cancel all that is waited for, because the connection is lost."""
        for pong in self._expected.values():
            pong.cancel()


class InboundChannel(Channel):
    """A channel whose peer sends frames.

    Args:
        transport: The connection below it.
        peer: The other side.
        limits: Limits of this connection.
        channels: The set that it belongs to.
        login: Who logged in; None if the endpoint has users of its own.
        expires: Until when the login is valid, in Unix seconds.
    """

    __slots__ = (
        "_fragments", "_heard_at", "_is_backlogged", "_is_deaf", "_is_held", "_is_read", "_is_scheduled",
        "_pinged_at", "_pongs", "_protocol", "_unfinished_at", "_unparsed", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        peer: Peer,
        limits: Limits,
        channels: Channels,
        *,
        login: VerifiedLogin | None,
        expires: float,
    ) -> None:
        super().__init__(transport, peer, limits, channels, login=login, expires=expires)
        self._protocol = FrameProtocol(Side.SERVER, state=State.OPEN, max_size=limits.max_frame)
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
        self._pongs: Pongs | None = None
        self._unparsed: Unparsed | None = None

    # Reading.

    def pause_reading(self) -> None:
        """Pause handing frames to the handler, and soon reading from the peer.

        A little more is still read.
        """
        self._is_held = True

    def resume_reading(self) -> None:
        """Resume handing frames to the handler.

        Those that wait come at the loop's next turn.
        """
        self._is_held = False
        self._schedule()

    def pause_reading_during(self, work: Coroutine[Any, Any, None]) -> None:
        """Pause handing frames over until a coroutine, run as task, ends."""
        self.pause_reading()
        self.create_task(work).add_done_callback(lambda _: self.resume_reading())

    def cut_short(self) -> None:
        """Read only the beginning of messages over the size limit.

        The connection is kept. This is for messages in fragments; a single frame over the limit still closes
        the connection.
        """
        protocol = self._protocol
        protocol.max_message_size, protocol.max_fragment_size = None, self._limits.max_frame

    # The callbacks of asyncio.Protocol.

    def data_received(self, data: bytes) -> None:
        """Parse what the peer sent, and hand complete messages to the handler."""
        self._heard_at = self._loop.time()
        self._pinged_at = None
        if self._unparsed is not None:
            self._unparsed.add(data)
        elif len(data) <= FIRST_SLICE:
            self._parse(data, time.monotonic() + TURN_SECONDS)
        else:
            self._unparsed = Unparsed(data)
            self._parse_slices()

    def pause_writing(self) -> None:
        """Stop reading too, so that answers and pongs do not pile up."""
        super().pause_writing()
        self._control_reading()

    def resume_writing(self) -> None:
        """Continue to read, and restart the liveness check.

        A pong may have waited behind what was read now.
        """
        self._heard_at, self._pinged_at = self._loop.time(), None
        super().resume_writing()
        self._control_reading()
        self._schedule()

    # Steps of the above.

    @abstractmethod
    def _deliver(self, payload: bytes) -> None:
        """Hand a message to the handler."""

    @abstractmethod
    def _flush(self) -> None:
        """Write what the protocol has to send."""

    def _parse(self, data: bytes, until: float) -> int:
        """Parse bytes, hand messages over until a time, return the frames' number."""
        protocol = self._protocol
        protocol.receive_data(data)
        taken = 0
        frames = protocol.events_received()
        for frame in frames:
            assert isinstance(frame, Frame)
            opcode = frame.opcode
            if opcode is Opcode.PONG:
                if self._pongs is not None:
                    self._pongs.take(bytes(frame.data))
            elif opcode is not Opcode.PING and opcode is not Opcode.CLOSE and not self._is_deaf:
                payload = self._assemble(frame)
                if payload is None:
                    continue
                if (
                    self._waiting is None
                    and self._may_deliver
                    and (not taken or self._has_time(taken, until))
                ):
                    taken += 1
                    self._deliver(payload)
                else:
                    self._keep(payload)
            if self._fragments is None:  # else the message is still arriving, whatever else does
                self._unfinished_at = None
        if protocol.writes and not self._transport.is_closing():
            self._flush()
        return len(frames)

    def _parse_slices(self) -> None:
        """Parse received bytes during this connection's turn.

        Nothing is parsed while it may not be answered.
        """
        until = time.monotonic() + TURN_SECONDS
        while self._unparsed is not None:
            if self._is_backlogged or self.paused or time.monotonic() > until:
                self._control_reading()
                self._schedule()
                return
            self._parse_slice(until)
        self._control_reading()

    def _parse_rest(self) -> None:
        """Parse everything received, in or out of turn.

        The messages in it wait for their handler.
        """
        while self._unparsed is not None:
            self._parse_slice(until=0)

    def _parse_slice(self, until: float) -> None:
        if self._unparsed is not None and (data := self._unparsed.next()):
            self._unparsed.note(self._parse(data, until))
        else:
            self._unparsed = None

    def _has_time(self, taken: int, until: float) -> bool:
        return taken < FAIR_SHARE and time.monotonic() < until

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
            self._fragments.add(frame.data)
            if not frame.fin:
                return None
            message, is_text = self._fragments.join()
            self._fragments = None
        if is_text and not is_utf8(message):  # RFC 6455, 8.1
            self.cut(StandardCode.INVALID_DATA, "the text is not valid UTF-8")
            return None
        return message

    def _keep(self, payload: bytes) -> None:
        """Queue a message until the handler may take it."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(payload)
        if len(self._waiting) >= MAX_WAITING_FRAMES or len(payload) > _MAX_WAITING_BYTES:
            self._is_backlogged = True
            self._control_reading()
        self._schedule()

    def _schedule(self) -> None:
        can_deliver = self._waiting is not None and self._may_deliver
        can_parse = self._unparsed is not None and not (self._is_backlogged or self.paused)
        if (can_deliver or can_parse) and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Hand over the messages that wait, or else parse more."""
        self._is_scheduled = False
        if self._waiting is not None and self._may_deliver:
            self._deliver_waiting()
        else:
            self._parse_slices()

    def _deliver_waiting(self) -> None:
        taken, until = 0, time.monotonic() + TURN_SECONDS
        while self._waiting and self._may_deliver and (not taken or self._has_time(taken, until)):
            taken += 1
            self._deliver(self._waiting.popleft())
        if not self._waiting:
            self._waiting, self._is_backlogged = None, False
            self._control_reading()
        self._schedule()

    def _control_reading(self) -> None:
        """Read from the transport, unless anything forbids it."""
        is_wanted = not (self._is_backlogged or self.paused or self._unparsed is not None)
        if is_wanted == self._is_read:
            return
        self._is_read = is_wanted
        if is_wanted:
            self._heard_at = self._loop.time()
            self._pinged_at = None
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
