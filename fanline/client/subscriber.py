"""Subscribing: messages in order, once, across any number of connections."""

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.client.base import HIGH_WATER, LOW_WATER, Client, OnState
from fanline.client.pending_replies import PendingReplies
from fanline.client.subscription_state import Gap, SubscriptionState
from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login, Token
from fanline.errors import Closed, Disconnected, ErrorCode, Rejected
from fanline.protocol import (
    Dialect,
    GapRange,
    Message,
    Request,
    SubscribeRequest,
    SubscriberNotice,
    UnsubscribeRequest,
)
from fanline.protocol.topics import require_pattern

logger = logging.getLogger(__name__)

T = TypeVar("T")


def log_gap(gap: Gap) -> None:
    """Log a gap, unless the caller asked for another way."""
    where = gap.topic or "all subscriptions"
    if gap.is_new_log:
        logger.warning("%s: the log was replaced or restored; all messages of the new one follow", where)
    elif gap.first is None:
        logger.warning("%s: what came while there was no connection is lost", where)
    else:
        logger.warning("%s: retention has dropped positions %d to %d", where, gap.first, gap.last)


class Subscriber(Client):
    """Receives messages of any topics and patterns: iterate over it.

    After a lost connection it continues by itself after the last message received: nothing is left out and
    nothing comes twice. What retention has removed by then is reported to ``on_gap``, before the first
    message after the gap is returned. (A queue of the plain dialect keeps no positions: the ``seq`` and
    ``time`` of its messages are 0, and every reconnect is reported as a gap.)

    Without iteration, only a few hundred messages are read ahead; then the server has to wait.

    Iterating raises :class:`~fanline.errors.Rejected` when a subscription is refused that no
    :meth:`subscribe` waits for: one of ``topics``, or any on a later connection. One can go on
    iterating then. What ends it permanently is :class:`~fanline.errors.LoginRefused`,
    :class:`~fanline.errors.ConfigurationError` (no such endpoint, one that cannot resume, or a server that
    cannot be trusted),
    :class:`~fanline.errors.Disconnected` (the server closed the connection permanently), and
    :class:`~fanline.errors.Closed`.

    Args:
        topics: What to subscribe to from the start.
        url: The subscriber service, ``wss://HOST:PORT``.
        user: Who to log in as.
        password: The password.
        token: Instead of these, a token, or a function that returns one or an awaitable of one. It is called
            for the first connection, and before a token expires, so that the connection stays. An error that
            it raises counts as a failed attempt to connect.
        tls: How to verify the server; None trusts the CAs of the system. Without user and token its
            client certificate is the login.
        after: For ``topics``: begin after this position.
        last: For ``topics``: begin with so many of the newest messages of each.
        latest: For ``topics``: begin with the newest message of each topic that matches.
        epoch: :attr:`epoch` of the log that ``after`` is a position of. If the log is another one by now, all
            of its messages come, after a gap with ``is_new_log``.
        on_gap: Called for each gap; by default it is logged.
        on_state: Called with None when a connection is made, and with the reason, a sentence, when it is
            lost or cannot be made.

    Raises:
        ConfigurationError: If the URL or the user name cannot be used.
        Rejected: If a topic or position is not one.
    """

    def __init__(  # noqa: PLR0913 - each is one fact about a subscriber
        self,
        *topics: str,
        url: str = "wss://localhost:8082",
        user: str | None = None,
        password: str | None = None,
        token: Token | None = None,
        tls: ssl.SSLContext | None = None,
        after: int | None = None,
        last: int | None = None,
        latest: bool = False,
        epoch: str | None = None,
        on_gap: Callable[[Gap], None] = log_gap,
        on_state: OnState | None = None,
    ) -> None:
        login = Login.of(user, password, token, tls)
        super().__init__(
            ReconnectingConnection(f"{url.rstrip('/')}/subscribe", login=login, tls=tls, on_state=on_state)
        )
        self._on_gap = on_gap
        self._subscriptions = SubscriptionState()
        for topic in topics:
            self._subscriptions.ask(_request(topic, after, last, latest=latest, epoch=epoch))
        self._epoch = epoch
        self._connection: ClientConnection | None = None
        self._arrived: deque[Message | Gap | Rejected] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._asking = 0
        self._subscribing = PendingReplies[int]()
        self._unsubscribing = PendingReplies[None]()

    @property
    def waiting(self) -> int:
        """Number of messages that have arrived and are not returned.

        When it is 0, it is time to flush an output.
        """
        return len(self._arrived)

    @property
    def epoch(self) -> str | None:
        """Random name of the log that the messages' positions belong to.

        A program that stores the position of the last message should store this too, and give both when it
        starts again. None if it is not known yet, or msgqueue keeps no positions.
        """
        return self._epoch

    async def subscribe(
        self,
        pattern: str,
        *,
        after: int | None = None,
        last: int | None = None,
        latest: bool = False,
        epoch: str | None = None,
        present_as: str | None = None,
    ) -> int:
        """Subscribe to a topic or pattern; again changes nothing.

        Waits for the answer, through reconnects if need be. If cancelled, the subscription may be there
        nevertheless; :meth:`unsubscribe` takes it back.

        Args:
            pattern: What to subscribe to.
            after: Begin after this position.
            last: Begin with so many of the newest messages.
            latest: Begin with the newest message of each topic that matches. With none of these three, begin
                with what is new.
            epoch: Epoch of the log that ``after`` is a position of.
            present_as: Be present on the topic under this name, until it is unsubscribed from. A program that
                comes back with the same name within some seconds was never away, for those who watch with
                :class:`~fanline.client.presence.Presence`.

        Returns:
            The position behind which everything comes; 0 if msgqueue keeps no positions.

        Raises:
            Rejected: If the server refuses it, or the pattern or position is not one.
            FanlineError: What ends the iteration permanently, as described above.
        """
        self._require_open()
        request = _request(pattern, after, last, latest=latest, epoch=epoch, present_as=present_as)
        self._subscriptions.ask(request)
        return await self._ask(request, self._subscribing, pattern)

    async def unsubscribe(self, pattern: str) -> None:
        """End a subscription, of which no message is returned afterwards.

        A message that another subscription matches is still returned. Waits for the server's answer, or the
        loss of the connection. If cancelled, the subscription is taken back nevertheless.

        Args:
            pattern: As it was subscribed to; one that was not does no harm.

        Raises:
            FanlineError: What ends the iteration permanently, as described above.
        """
        self._require_open()
        self._subscriptions.forget(pattern)
        self._arrived = deque(
            item
            for item in self._arrived
            if not isinstance(item, Message) or self._subscriptions.wants(item.topic)
        )
        if self._connection is not None:
            await self._ask(UnsubscribeRequest(pattern), self._unsubscribing, pattern)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while True:
            while not self._arrived:
                self._require_open()
                self._news.clear()
                await self._news.wait()
            item = self._arrived.popleft()
            if len(self._arrived) <= LOW_WATER:
                self._room.set()
            if isinstance(item, Message):
                return item
            if isinstance(item, Rejected):
                raise item
            self._on_gap(item)

    async def _ask(self, command: Request, answers: PendingReplies[T], pattern: str) -> T:
        """Send a command, and wait for the answer.

        The answer may come after more messages than are read ahead.
        """
        answer = answers.expect(pattern)
        self._asking += 1
        self._room.set()
        try:
            await self._say(command)
            return await answer
        finally:
            self._asking -= 1

    async def _say(self, command: Request) -> None:
        """Send a command if there is a connection.

        A new connection begins with all that is wanted.
        """
        if self._connection is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._send(self._connection, [command])

    async def _send(self, connection: ClientConnection, commands: Sequence[Request]) -> None:
        is_plain = self._link.dialect is Dialect.PLAIN
        if is_plain:
            commands = [command for command in commands if not self._refuse_options(command)]
        for frame in self._link.dialect.codec.encode_requests(commands):
            await connection.send(frame, text=True)
        if is_plain:
            for command in commands:
                self._presume(command)

    def _refuse_options(self, command: Request) -> bool:
        """Refuse to resume in the plain dialect; return whether it was asked."""
        if not isinstance(command, SubscribeRequest) or not command.has_options:
            return False
        reason = f"{self._link.url} speaks the plain dialect, which cannot resume"
        self._refused(ErrorCode.RESUME_UNAVAILABLE, SubscriberNotice(reason=reason, sub=command.sub))
        return True

    def _presume(self, command: Request) -> None:
        """Treat a command as confirmed: the plain dialect has no answers."""
        if isinstance(command, SubscribeRequest):
            self._subscribed(command.sub, SubscriberNotice())
        else:
            self._unsubscribing.resolve(command.unsub, None)

    # One connection, step by step.

    async def _speak(self, connection: ClientConnection) -> None:
        self._connection = connection
        try:
            await self._send(connection, self._subscriptions.resume())
            await self._read(connection)
        finally:
            self._connection = None
            self._unsubscribing.resolve_all(None)

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            await self._room.wait()
            self._take(await connection.recv(decode=False))
            if len(self._arrived) >= HIGH_WATER and not self._asking:
                self._room.clear()

    def _take(self, frame: bytes) -> None:
        try:
            for delivery in self._link.dialect.codec.decode_deliveries(frame):
                if isinstance(delivery, Message):
                    self._admit(delivery)
                else:
                    self._obey(delivery)
        except msgspec.DecodeError:
            logger.warning("%s has sent what is not JSON: %.100r", self._link.url, frame)

    def _admit(self, message: Message) -> None:
        if self._subscriptions.admit(message.topic, message.seq):
            self._put(message)

    def _obey(self, notice: SubscriberNotice) -> None:
        if notice.drain is not None:
            self._link.retry_after(notice.drain.retry_ms / 1_000)
        elif notice.error is not None:
            self._refused(notice.error, notice)
        elif notice.subscribed is not None:
            self._subscribed(notice.subscribed, notice)
        elif notice.unsubscribed is not None:
            self._unsubscribing.resolve(notice.unsubscribed, None)
        elif notice.gap is not None:
            self._missing(notice.gap.topic, notice.gap)

    def _subscribed(self, pattern: str, notice: SubscriberNotice) -> None:
        self._epoch = notice.epoch or self._epoch
        is_new_log = self._subscriptions.is_of_another_log(pattern, notice.epoch)
        if self._subscriptions.confirm(pattern, notice.seq, notice.epoch):
            self._put(Gap(pattern))
        if is_new_log:
            self._put(Gap(pattern, is_new_log=True))
        elif notice.gap is not None:
            self._missing(pattern, notice.gap)
        self._subscribing.resolve(pattern, notice.seq or 0)

    def _missing(self, topic: str | None, gap: GapRange) -> None:
        if topic is not None:
            self._subscriptions.skip(topic, gap.last)
        self._put(Gap(topic, gap.first, gap.last))

    def _refused(self, code: str, notice: SubscriberNotice) -> None:
        if code in (ErrorCode.QUEUE_UNAVAILABLE, ErrorCode.RATE_LIMITED):
            # Everything is asked for again on the next connection, after the link's delay.
            if notice.retry_ms is not None:
                self._link.retry_after(notice.retry_ms / 1_000)
            raise Disconnected(f"{self._link.url}: {notice.reason}")
        rejected = Rejected(code, notice.reason)
        is_awaited = False
        if notice.sub is not None:
            self._subscriptions.refuse(notice.sub)
            is_awaited = self._subscribing.fail(notice.sub, rejected)
        elif notice.unsub is not None:
            is_awaited = self._unsubscribing.fail(notice.unsub, rejected)
        if not is_awaited:
            self._put(rejected)

    def _put(self, item: Message | Gap | Rejected) -> None:
        self._arrived.append(item)
        self._news.set()

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, Closed):
            self._arrived.clear()
        self._subscribing.fail_all(error)
        self._unsubscribing.fail_all(error)
        self._news.set()


def _request(
    pattern: str,
    after: int | None,
    last: int | None,
    *,
    latest: bool,
    epoch: str | None,
    present_as: str | None = None,
) -> SubscribeRequest:
    require_pattern(pattern)
    if (after is not None) + (last is not None) + latest > 1:
        raise Rejected(ErrorCode.BAD_COMMAND, "after, last and latest exclude each other")
    if epoch is not None and after is None:
        raise Rejected(ErrorCode.BAD_COMMAND, "epoch is that of a position: give after as well")
    if (after or last or 0) < 0:
        raise Rejected(ErrorCode.BAD_POSITION, "after and last must be whole numbers from 0 on")
    return SubscribeRequest(pattern, after, last, epoch, latest, present_as is not None, present_as)
