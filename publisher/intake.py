"""Intake: messages are read, checked and forwarded, with ordered replies.

Replies are sent at ``/publish``.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Dialect, NewMessage, encode, refusal
from fanline.queue.base import QueueClient
from fanline.security.users import User
from fanline.server import (
    AppendMessage,
    ClientRates,
    Connection,
    Excess,
    Handler,
    MessageReader,
    PlainMessages,
    RefusalLimit,
    metrics,
    rate_refusal,
    text_frame,
)
from publisher.ack_timer import AckTimer
from publisher.known_topics import KnownTopics
from publisher.ordered_replies import OrderedReplies, Reply

logger = logging.getLogger(__name__)

# Messages of one frame that are taken before the other connections get their turn.
SLICE: Final = 256


def _ignore(rejected: Rejected) -> None:
    del rejected


class Intake:
    """Makes the handlers of the connections to ``/publish``.

    Args:
        queue: Where accepted messages go.
        append: How they get there.
        max_content: Largest content of one message, in bytes.
        max_in_flight: Messages of one connection without a reply, above which it is not read from.
        rates: Limits the messages, the bytes and the new topics of each user and address.
        registry: Where to register the counters.
    """

    def __init__(
        self,
        queue: QueueClient,
        *,
        append: AppendMessage,
        max_content: int,
        max_in_flight: int,
        rates: ClientRates,
        registry: CollectorRegistry,
    ) -> None:
        self._queue = queue
        self._append = append
        self._rates = rates
        self._topics = KnownTopics()
        self._max_in_flight = max_in_flight
        self._reader = MessageReader(max_content=max_content, registry=registry, check_rights=_check_rights)
        self.acks = AckTimer(registry)
        self._received = 0
        metrics.counter(registry, "fanline_messages_received", "Messages accepted.", lambda: self._received)

    def open(self, connection: Connection) -> Handler:
        """Return the handler of a connection.

        Received messages are forwarded even if it closes.
        """
        if connection.dialect is Dialect.PLAIN:
            return PlainMessages(connection, self._reader, partial(self._forward, connection))
        return _Publishing(connection, self)

    def admit(self, user: User, address: str, count: int, size: int) -> Excess | None:
        """Charge a client for messages, or return why they are refused.

        Their new topics are charged by :meth:`check`.

        Args:
            user: Who has sent them.
            address: Where they come from.
            count: How many they are; none cost as much as one, because they have to be read.
            size: Bytes of the frame or the request.
        """
        excess = self._rates.admit(user, address, count or 1, size, 0)
        if excess is not None:
            logger.info(
                "refusing messages of %s at %s for %.1f s: too many, too large or on too many topics",
                user.name,
                address,
                excess.seconds,
            )
        return excess

    def charge(self, user: User, address: str, count: int) -> None:
        """Charge a client for further messages of what was admitted."""
        self._rates.charge(user, address, count, 0, 0)

    def check(
        self, entries: Sequence[NewMessage | Rejected], user: User, address: str
    ) -> Sequence[NewMessage | Rejected]:
        """Return a user's messages, or their rejections, and charge for new topics."""
        checked = self._reader.check(entries, user)
        if not user.is_service and (topics := self._topics.find_new(checked)):
            self._topics.add(topics)
            self._rates.charge(user, address, 0, 0, len(topics))
        return checked

    def forward(
        self,
        entries: Sequence[NewMessage | Rejected],
        replies: OrderedReplies,
        on_refused: Callable[[Rejected], None] = _ignore,
    ) -> Reply | None:
        """Forward acceptable messages, and reply to the others.

        ``on_refused`` is called for each of the others. Returns the last reply, if any.
        """
        reply = None
        for entry in entries:
            reply = replies.open()
            if isinstance(entry, Rejected):
                reply.settle(refusal(entry))
                on_refused(entry)
            else:
                self._received += 1
                self._append(entry, reply)
        return reply

    def has_space(self, user: User, replies: "_Replies") -> bool:
        """Return whether a connection of a user may send more."""
        return len(replies) < self._max_in_flight and not self._queue.is_full_for(_sender_of(user))

    async def wait_for_space(self, user: User, replies: "_Replies") -> None:
        """Wait until a connection of a user may send more."""
        await self.wait_for_queue(user)
        await replies.fewer_than(self._max_in_flight)

    async def wait_for_queue(self, user: User) -> None:
        """Wait until msgqueue takes more of a user."""
        await self._queue.wait_for_space(_sender_of(user))

    def _forward(self, connection: Connection, accepted: Sequence[NewMessage], size: int) -> None:
        self._received += len(accepted)
        for message in accepted:
            self._append(message, None, sender=connection)
        user, wait = connection.user, 0.0
        if not user.is_service:
            topics = self._topics.find_new(accepted)
            self._topics.add(topics)
            counts = len(accepted) or 1, size, len(topics)  # a frame that is refused was read as well
            wait = self._rates.charge(user, connection.peer.address, *counts)
        if wait or self._queue.is_full_for(_sender_of(user)):
            connection.pause_reading_during(self._wait(connection, wait))

    async def _wait(self, connection: Connection, seconds: float) -> None:
        """Wait until a sender without replies may send more."""
        await connection.rest(seconds)
        await self.wait_for_queue(connection.user)


class _Publishing:
    """The handler of a v1 connection."""

    __slots__ = ("_connection", "_intake", "_refusals", "_replies", "_untaken")

    def __init__(self, connection: Connection, intake: Intake) -> None:
        self._connection = connection
        self._intake = intake
        self._replies = _Replies(connection, intake.acks)
        self._refusals = RefusalLimit(connection)
        self._untaken: list[NewMessage | Rejected] = []  # of a large frame, and of those after it

    def on_frame(self, payload: bytes) -> None:
        """Take the messages of a frame, many of them in slices."""
        connection = self._connection
        entries: Sequence[NewMessage | Rejected] = connection.dialect.codec.decode_published(payload)
        excess = self._intake.admit(connection.user, connection.peer.address, len(entries), len(payload))
        if excess is not None:
            entries = [rate_refusal(excess, "messages", entry.id) for entry in entries]
        if self._untaken:
            self._untaken.extend(entries)
        elif len(entries) > SLICE:
            self._untaken.extend(entries)
            self._connection.pause_reading_during(self._take_in_slices())
        else:
            self._take(entries)
            if not self._intake.has_space(connection.user, self._replies):
                connection.pause_reading_during(self._intake.wait_for_space(connection.user, self._replies))

    def on_close(self) -> None:
        """Forward what was sent all the same; nothing is to be released."""

    def _take(self, entries: Sequence[NewMessage | Rejected]) -> None:
        connection = self._connection
        checked = self._intake.check(entries, connection.user, connection.peer.address)
        self._intake.acks.begin(self._intake.forward(checked, self._replies, self._refusals.count))

    async def _take_in_slices(self) -> None:
        while self._untaken and not self._refusals.is_exceeded:
            entries = self._untaken[:SLICE]
            del self._untaken[:SLICE]
            self._take(entries)
            await asyncio.sleep(0)
            await self._intake.wait_for_space(self._connection.user, self._replies)
        self._untaken.clear()


def _sender_of(user: User) -> str | None:
    """Return the sender of all messages of a user.

    It is None for a service, which may name others.
    """
    return None if user.is_service else user.name


def _check_rights(message: NewMessage, user: User) -> Rejected | None:
    if not user.may_publish(message.topic):
        reason = f'{user.name} may not publish on "{message.topic}": ask the operator for the right'
        return Rejected(ErrorCode.FORBIDDEN, reason, message.id)
    if message.id is not None and message.id.startswith("$"):
        reason = 'an id must not begin with "$": those are the system\'s own'
        return Rejected(ErrorCode.BAD_ID, reason, message.id)
    if user.is_service:
        return None
    if message.sender not in (None, user.name) or message.type != "message":
        return Rejected(ErrorCode.FORBIDDEN, "only a service may set from or type", message.id)
    return None


class _Replies(OrderedReplies):
    """Sends one connection's replies, joined for each event loop turn."""

    def __init__(self, connection: Connection, acks: AckTimer) -> None:
        super().__init__()
        self._connection = connection
        self._acks = acks
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        self._sent = ChangeNotifier()

    async def fewer_than(self, limit: int) -> None:
        """Wait until fewer than ``limit`` messages are without a reply."""
        while len(self) >= limit:
            await asyncio.shield(self._sent.next)

    def on_settled(self) -> None:
        """Send it soon, with others."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_scheduled = False
        self._acks.look()
        outcomes = self.take()
        if outcomes:
            payload = encode(outcomes[0]) if len(outcomes) == 1 else encode(outcomes)
            self._connection.write(text_frame(payload))
            self._sent.fire()
