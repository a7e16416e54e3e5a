"""Messages sent to msgqueue, and its replies to their senders.

Every message is kept until the reply comes. When the connection is lost, what has no reply is sent again in
the same order; because each message has an id, msgqueue stores none of them twice. A queue that speaks the
plain dialect does not reply: messages that need a reply are refused, the others are sent as they are.
"""

import asyncio
import logging
from collections import Counter
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.change_notifier import ChangeNotifier
from fanline.client.outbox import Outbox, PendingMessage
from fanline.client.transport.connection import ReconnectingConnection, run_until_first
from fanline.errors import ErrorCode
from fanline.protocol import (
    Ack,
    Dialect,
    NewMessage,
    PublishReply,
    Refusal,
    decode_new,
    decode_publish_replies,
    encode,
    join_array,
)
from fanline.queue.base import GeneratedIds, ReplySlot
from fanline.queue.fair_queue import WINDOW_BYTES, WINDOW_COUNT, FairQueue
from fanline.tasks import running_task

logger = logging.getLogger(__name__)

# One frame to msgqueue carries at most this, so that none comes near its frame limit.
MAX_FRAME_BYTES: Final = 256 << 10

EXPIRY_CHECK_SECONDS: Final = 0.25


class _Appended(PendingMessage, eq=False):
    """A message without a reply; ``reply`` is None if none is expected."""

    reply: ReplySlot | None = None

    def settle(self, outcome: Ack | Refusal) -> None:
        if self.reply is not None and not self.is_abandoned:
            self.reply.settle(outcome)


class Appender:
    """Keeps every message until msgqueue has replied.

    Args:
        link: A connection to ``/pushmsg``, for this alone.
        buffer_bytes: Size of the messages without a reply with which :meth:`wait_for_space` waits.
        timeout: Seconds after which a message that msgqueue cannot take is refused.
    """

    def __init__(self, link: ReconnectingConnection, *, buffer_bytes: int, timeout: float) -> None:
        self._link = link
        self._buffer_bytes = buffer_bytes
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._outbox: Outbox[_Appended] = Outbox(max_count=WINDOW_COUNT, max_bytes=WINDOW_BYTES)
        self._waiting: FairQueue[_Appended] = FairQueue()  # for a place in the outbox
        self._work = asyncio.Event()
        self._has_space = ChangeNotifier()
        self._held: Counter[str | None] = Counter()  # how often each user waits for space
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._ids = GeneratedIds()

    async def run(self) -> None:
        """Send what is appended, until cancelled.

        Messages without a reply then stay without one.
        """
        async with running_task(self._expire_forever()):
            await self._link.run(self._serve)

    def __len__(self) -> int:
        return len(self._outbox) + len(self._waiting)

    @property
    def problem(self) -> str | None:
        """Reason why messages get no reply in time, or None."""
        oldest = next(iter(self._outbox), None)
        if oldest is None or self._loop.time() < oldest.deadline:
            return None
        return f"msgqueue has not answered a message for more than {self._timeout:g} s"

    def append(self, message: NewMessage, reply: ReplySlot | None, *, sender: object = None) -> None:
        """Send a message after all that its sender appended before."""
        if message.id is None:
            message.id = self._ids.next()
        outbox, waiting = self._outbox, self._waiting  # this runs for each message
        group, deadline = reply and reply.group, self._loop.time() + self._timeout
        appended = _Appended(message.id, encode(message), group, deadline, reply=reply)
        user, size = message.sender, len(appended.body)
        if (waiting.size or outbox.is_full) and not waiting.may_pass(
            user, size, count=len(outbox), total=outbox.size
        ):
            waiting.add(appended, size, user=user, sender=group or sender)
        else:
            outbox.add(appended)
            self._work.set()
        self._is_empty.clear()

    def is_full_for(self, user: str | None) -> bool:
        """Return whether the buffer is full and holds the user's share."""
        return self._outbox.size + self._waiting.size >= self._buffer_bytes and (
            user is None or self._waiting.has_share(user, self._buffer_bytes)
        )

    async def wait_for_space(self, user: str | None) -> None:
        """Wait while the buffer is full for a user."""
        self._held[user] += 1
        try:
            while self.is_full_for(user):
                await asyncio.shield(self._has_space.next)
        finally:
            self._held[user] -= 1
            if not self._held[user]:
                del self._held[user]

    async def flush(self) -> None:
        """Wait until every message has its reply."""
        await self._is_empty.wait()

    # One connection.

    async def _serve(self, connection: ClientConnection) -> None:
        self._outbox.put_back()
        self._refill()
        self._work.set()
        if self._link.dialect is Dialect.PLAIN:
            logger.warning("msgqueue speaks the plain dialect: it sends no acks")
            sending, receiving = self._send_plain(connection), _discard(connection)
        else:
            sending, receiving = self._send(connection), self._receive(connection)
        await run_until_first(sending, receiving)

    async def _send(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            # The messages are not kept here: they refer to the connection that they came from.
            if frame := self._next_frame():
                await connection.send(frame, text=True)

    def _next_frame(self) -> bytes | None:
        messages = self._outbox.take(MAX_FRAME_BYTES)
        if not self._outbox.has_waiting:
            self._work.clear()
        return join_array([message.body for message in messages]) if messages else None

    async def _receive(self, connection: ClientConnection) -> None:
        while True:
            frame = await connection.recv(decode=False)
            try:
                replies = decode_publish_replies(frame)
            except msgspec.DecodeError:
                logger.exception("msgqueue has sent something that is no reply; connecting again")
                return
            if not all(map(self._settle, replies)):
                logger.error("msgqueue has replied to another message than the oldest; connecting again")
                return
            self._refill()

    def _settle(self, reply: PublishReply) -> bool:
        outcome = reply.outcome()
        if outcome is None:
            return True  # it is about no message
        message_id = outcome.ok if isinstance(outcome, Ack) else outcome.id
        if message_id is None:
            return True
        message = self._outbox.settle_next(message_id)
        if message is None:
            return False
        message.settle(outcome)
        return True

    async def _send_plain(self, connection: ClientConnection) -> None:
        encode_published = self._link.dialect.codec.encode_published
        while True:
            await self._work.wait()
            self._work.clear()
            while taken := self._outbox.take(1):
                (message,) = taken
                if message.reply is None:
                    await connection.send(encode_published(decode_new(message.body)), text=True)
                else:
                    reason = "msgqueue does not acknowledge messages: publish in the plain dialect"
                    message.settle(Refusal(ErrorCode.ACK_UNAVAILABLE, reason, message.id))
                self._outbox.settle_next(message.id)
                self._refill()

    # Messages that cannot be sent.

    async def _expire_forever(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_CHECK_SECONDS)
            self._expire(self._loop.time())

    def _expire(self, now: float) -> None:
        """Refuse messages that msgqueue has not taken in time.

        All others of the same sender are refused with them. A sender that tries again then sends all of it
        again, in order.
        """
        groups = {message.group for message in self._waiting.first_of_each() if message.deadline <= now}
        expired = self._outbox.expire(now, groups)
        expired += self._waiting.remove((groups | {message.group for message in expired}) - {None})
        for message in expired:
            if message.reply is not None:
                message.reply.settle(self._unavailable(message))
        self._refill()

    def _unavailable(self, message: _Appended) -> Refusal:
        if message.was_sent:
            reason = "msgqueue has not answered; the message may be stored: send it again with the same id"
        else:
            reason = f"msgqueue cannot be reached: {self._link.problem or 'it does not keep up'}"
        return Refusal(ErrorCode.QUEUE_UNAVAILABLE, reason, message.id)

    def _refill(self) -> None:
        self._waiting.note_replies()
        while self._waiting and not self._outbox.is_full:
            for message in self._waiting.take_turn():
                self._outbox.add(message)
        if self._outbox.has_waiting:
            self._work.set()
        if self._held and not all(map(self.is_full_for, self._held)):
            self._has_space.fire()
        if not self._outbox:
            self._is_empty.set()


async def _discard(connection: ClientConnection) -> None:
    async for _ in connection:
        pass
