"""From the clients to msgqueue: one link, arrays of messages, acks back to whom they belong.

Every message is held until the queue's answer comes. When the link drops, what has no answer is sent again
in the same order; because each message has an id, the queue stores none of them twice. Towards a queue
that speaks the plain dialect there are no answers: messages that need one are refused, the others are sent
as they are.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.connection import ReconnectingConnection, run_until_first
from fanline.errors import ErrorCode
from fanline.protocol import (
    Ack,
    Dialect,
    NewMessage,
    Refusal,
    encode,
    join_array,
    split_array,
)
from fanline.tasks import cancel_and_wait
from publisher.ordered_replies import Slot

logger = logging.getLogger(__name__)

# One frame to the queue carries at most this, so that none comes near the queue's frame limit.
MAX_FRAME_BYTES: Final = 256 << 10

EXPIRY_CHECK_SECONDS: Final = 0.25


class _Answer(msgspec.Struct):
    """An ack or an error of the queue, told apart by ``error``."""

    ok: str | None = None
    seq: int = 0
    duplicate: bool = False
    error: str | None = None
    reason: str = ""
    id: str | None = None

    @property
    def about(self) -> str | None:
        return self.ok if self.error is None else self.id

    def wire_form(self) -> Ack | Refusal:
        if self.error is None:
            return Ack(self.ok, self.seq, self.duplicate)
        return Refusal(self.error, self.reason, self.id)


class _Entry:
    """A message on its way; ``slot`` is where its answer belongs, or None if nobody wants one."""

    __slots__ = ("body", "deadline", "message", "sent", "slot")

    def __init__(self, message: NewMessage, slot: Slot | None, deadline: float) -> None:
        self.message = message
        self.body = encode(message)
        self.slot = slot
        self.deadline = deadline
        self.sent = False

    @property
    def is_abandoned(self) -> bool:
        return self.slot is not None and self.slot.is_settled


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Forwarder:
    """Holds every message until msgqueue has answered for it.

    Args:
        link: The link to the ``/pushmsg`` of msgqueue.
        buffer_bytes: Size of unanswered messages above which :meth:`room` makes clients wait.
        patience: Seconds after which a message that the queue cannot take is refused.
    """

    def __init__(self, link: ReconnectingConnection, *, buffer_bytes: int, patience: float) -> None:
        self._link = link
        self._buffer_bytes = buffer_bytes
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._to_send: deque[_Entry] = deque()
        self._in_flight: deque[_Entry] = deque()
        self._held_bytes = 0
        self._work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._id_prefix = f"${secrets.token_hex(6)}-"
        self._ids = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to connect and to forward."""
        self._tasks = [
            asyncio.create_task(self._link.run(self._session)),
            asyncio.create_task(self._expire_forever()),
        ]

    async def close(self) -> None:
        """Stop forwarding; messages without an answer stay without one."""
        await cancel_and_wait(*self._tasks)

    def __len__(self) -> int:
        return len(self._to_send) + len(self._in_flight)

    def submit(self, message: NewMessage, slot: Slot | None) -> None:
        """Take a message in charge.

        Args:
            message: A checked message; without an id it gets one, so that it can be sent again.
            slot: Is settled with the answer, later. None if nobody wants one; then the message is kept
                until the queue has taken it, however long that is.
        """
        if message.id is None:
            self._ids += 1
            message.id = f"{self._id_prefix}{self._ids:x}"
        entry = _Entry(message, slot, self._loop.time() + self._patience)
        self._to_send.append(entry)
        self._held_bytes += len(entry.body)
        if self._held_bytes > self._buffer_bytes:
            self._has_room.clear()
        self._is_empty.clear()
        self._work.set()

    async def room(self) -> None:
        """Wait until no more than the buffer's size is without an answer."""
        await self._has_room.wait()

    async def flush(self) -> None:
        """Wait until every message has its answer."""
        await self._is_empty.wait()

    # One connection to the queue.

    async def _session(self, connection: ClientConnection) -> None:
        self._put_back_in_line()
        if self._link.dialect is Dialect.PLAIN:
            logger.warning("the queue speaks the plain dialect: no acks are to be had")
            sending, receiving = self._send_plain(connection), _discard(connection)
        else:
            sending, receiving = self._send(connection), self._receive(connection)
        await run_until_first(sending, receiving)

    def _put_back_in_line(self) -> None:
        """Have everything without an answer sent again, in the same order, except what nobody waits for."""
        self._to_send.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._drop_abandoned()
        if self._to_send:
            self._work.set()

    async def _send(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            await connection.send(join_array(list(self._next_bodies())), text=True)

    def _next_bodies(self) -> Iterator[bytes]:
        size = 0
        while self._to_send and size < MAX_FRAME_BYTES:
            entry = self._to_send.popleft()
            entry.sent = True
            self._in_flight.append(entry)
            size += len(entry.body)
            yield entry.body
        if not self._to_send:
            self._work.clear()

    async def _receive(self, connection: ClientConnection) -> None:
        while True:
            frame = await connection.recv(decode=False)
            try:
                answers = [_decode_answer(part) for part in split_array(frame)]
            except msgspec.DecodeError:
                logger.exception("the queue sent something that is no answer; connecting anew")
                return
            if not all(self._settle(answer) for answer in answers if answer.about is not None):
                logger.error("the queue answered for another message than the oldest; connecting anew")
                return

    def _settle(self, answer: _Answer) -> bool:
        if not self._in_flight or self._in_flight[0].message.id != answer.about:
            return False
        entry = self._in_flight.popleft()
        if entry.slot is not None:
            entry.slot.settle(answer.wire_form())
        self._forget(entry)
        return True

    async def _send_plain(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            while self._to_send:
                entry = self._to_send[0]
                if entry.slot is None:
                    await connection.send(Dialect.PLAIN.codec.encode_published(entry.message), text=True)
                elif not entry.is_abandoned:
                    reason = "the queue does not acknowledge messages: publish in the plain dialect"
                    entry.slot.settle(Refusal(ErrorCode.ACK_UNAVAILABLE, reason, entry.message.id))
                self._to_send.popleft()
                self._forget(entry)
            self._work.clear()

    # Messages that cannot be sent.

    async def _expire_forever(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_CHECK_SECONDS)
            self._expire(self._loop.time())

    def _expire(self, now: float) -> None:
        """Refuse what the queue has not taken in time, and with it all that its connection sent since.

        A client that sends it again then sends all of it again, in order; if later messages were kept, they
        would overtake the earlier ones.
        """
        held = chain(self._in_flight, self._to_send)  # in the order of their deadlines
        due = takewhile(lambda entry: entry.deadline <= now, held)
        overdue = {entry.slot.answers for entry in due if entry.slot and not entry.is_abandoned}
        if not overdue:
            return
        for entry in chain(self._in_flight, self._to_send):
            if entry.slot and entry.slot.answers in overdue:
                entry.slot.settle(self._unavailable(entry))
        self._drop_abandoned()

    def _drop_abandoned(self) -> None:
        """Do not send what nobody waits for any more; of what is in flight, an answer may still come."""
        gone = [entry for entry in self._to_send if entry.is_abandoned]
        self._to_send = deque(entry for entry in self._to_send if not entry.is_abandoned)
        for entry in gone:
            self._forget(entry)

    def _unavailable(self, entry: _Entry) -> Refusal:
        if entry.sent:
            reason = "the queue has not answered; the message may be stored: send it again with the same id"
        else:
            reason = f"the queue cannot be reached: {self._link.problem or 'it does not keep up'}"
        return Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, entry.message.id)

    def _forget(self, entry: _Entry) -> None:
        self._held_bytes -= len(entry.body)
        if self._held_bytes <= self._buffer_bytes:
            self._has_room.set()
        if not self._to_send and not self._in_flight:
            self._is_empty.set()


async def _discard(connection: ClientConnection) -> None:
    async for _ in connection:
        pass
