"""``/publish``: what clients send is read, checked, and handed on; its answers go back in order."""

import asyncio
import logging
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from fanline.change_notifier import ChangeNotifier
from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Dialect, NewMessage, check_message, encode, refusal
from fanline.queue.base import QueueClient
from fanline.server import metrics
from fanline.server.connection import Connection, text_frame
from publisher.ordered_replies import OrderedReplies

logger = logging.getLogger(__name__)


class Intake:
    """Handles the connections to ``/publish``.

    Args:
        queue: Where accepted messages go.
        max_content: Largest content of one message, in bytes.
        max_in_flight: Messages of one connection without an answer, beyond which it is not read from.
        registry: Where to register the counters.
    """

    def __init__(
        self, queue: QueueClient, *, max_content: int, max_in_flight: int, registry: CollectorRegistry
    ) -> None:
        self._queue = queue
        self._max_content = max_content
        self._max_in_flight = max_in_flight
        self._received = 0
        metrics.counter(registry, "fanline_messages_received", "Messages accepted.", lambda: self._received)
        self._refused = Counter("fanline_messages_refused", "Messages refused.", ["code"], registry=registry)

    async def handle(self, connection: Connection) -> None:
        """Serve one publisher until it goes away; what it has sent is forwarded all the same."""
        if connection.dialect is Dialect.PLAIN:
            await self._handle_plain(connection)
        else:
            await self._handle_v1(connection)

    async def _handle_v1(self, connection: Connection) -> None:
        replies = _Replies(connection)
        async for frame in connection.frames():
            for entry in self._read(frame, connection):
                reply = replies.replies.open()
                if isinstance(entry, Rejected):
                    reply.settle(refusal(entry))
                else:
                    self._queue.append(entry, reply)
            await self._queue.wait_for_space()
            await replies.fewer_than(self._max_in_flight)

    async def _handle_plain(self, connection: Connection) -> None:
        ignored = 0
        async for frame in connection.frames():
            for entry in self._read(frame, connection):
                if isinstance(entry, NewMessage):
                    self._queue.append(entry, None)
                    continue
                ignored += 1
                if ignored == 1:
                    logger.info("ignoring frames of %s: %s", connection.user.name, entry)
            await self._queue.wait_for_space()
        if ignored > 1:
            logger.info("ignored %d frames of %s", ignored, connection.user.name)

    def _read(self, frame: bytes, connection: Connection) -> Sequence[NewMessage | Rejected]:
        sent = connection.dialect.codec.decode_published(frame)
        entries = [self._check(entry, connection) for entry in sent]
        refused = [entry for entry in entries if isinstance(entry, Rejected)]
        for rejected in refused:
            self._refused.labels(rejected.code).inc()
        self._received += len(entries) - len(refused)
        return entries

    def _check(self, entry: NewMessage | Rejected, connection: Connection) -> NewMessage | Rejected:
        if isinstance(entry, Rejected):
            return entry
        return (
            check_message(entry, max_content=self._max_content)
            or _check_rights(entry, connection)
            or _signed(entry, connection)
        )


def _check_rights(message: NewMessage, connection: Connection) -> Rejected | None:
    user = connection.user
    if not user.may_publish(message.topic):
        reason = f'{user.name} may not publish on "{message.topic}"'
        return Rejected(ErrorCode.FORBIDDEN, reason, message.id)
    if message.id is not None and message.id.startswith("$"):
        return Rejected(
            ErrorCode.BAD_ID, 'an id must not begin with "$": those are the system\'s own', message.id
        )
    if user.is_service:
        return None
    if message.sender not in (None, user.name) or message.type != "message":
        return Rejected(ErrorCode.FORBIDDEN, "only a service may set from or type", message.id)
    return None


def _signed(message: NewMessage, connection: Connection) -> NewMessage:
    if message.sender is None:
        message.sender = connection.user.name
    return message


class _Replies:
    """Sends the answers of one connection, all that are due in one turn of the event loop in one frame."""

    def __init__(self, connection: Connection) -> None:
        self.replies = OrderedReplies(self._schedule)
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        self._sent = ChangeNotifier()

    async def fewer_than(self, limit: int) -> None:
        """Wait until fewer than ``limit`` messages are without an answer."""
        while len(self.replies) >= limit:
            await asyncio.shield(self._sent.next)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_scheduled = False
        outcomes = self.replies.take()
        if outcomes:
            payload = encode(outcomes[0]) if len(outcomes) == 1 else encode(outcomes)
            self._connection.write(text_frame(payload))
            self._sent.fire()
