"""Publishing: many messages in flight, each acknowledged when it is on disk."""

import asyncio
import contextlib
import ssl
from types import TracebackType
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.client.base import OnState
from fanline.client.sending import PublishResult, SendingClient
from fanline.client.transport.connection import ReconnectingConnection, run_until_first
from fanline.client.transport.login import Login, Token
from fanline.client.transport.translate import take_each
from fanline.errors import CloseCode, ConfigurationError, Disconnected, ErrorCode, Rejected
from fanline.protocol import (
    Ack,
    Dialect,
    NewMessage,
    PublishReply,
    decode_new,
    decode_publish_reply,
    encode,
    encode_content,
)

# Small enough that the server works on one frame while the next is on its way.
_FRAME_BYTES: Final = 65_536

# Number of failures of messages not awaited that are kept for flush() to raise.
MAX_UNSEEN: Final = 100


class Publisher(SendingClient):
    """Publishes messages, each of which is stored once.

    Every message carries an id, a unique one if none is given. What has no ack when the connection is lost
    is sent again, in order, on the next one, and msgqueue stores it once as long as that happens within its
    dedupe window (10 minutes by default). msgqueue being out of reach for the server is handled in the
    same way.

    Messages are stored in the order of the calls, with one exception: while msgqueue comes back after an
    outage, those that it took already can precede earlier ones that are being sent again. With a
    ``window`` of 1 there is none.

    Leaving the ``async with`` block waits for every ack, like :meth:`flush`; an exception or cancellation
    closes at once, and what was not acknowledged by then may be stored or not.

    Args:
        url: The publisher service, ``wss://HOST:PORT``.
        user: Who to log in as.
        password: The password.
        token: Instead of these, a token, or a function that returns one or an awaitable of one. It is called
            for the first connection, and before a token expires, so that the connection stays. An error that
            it raises counts as a failed attempt to connect.
        tls: How to verify the server; None trusts the CAs of the system. Without user and token its
            client certificate is the login.
        window: Messages that may be without an ack at a time; they are kept in memory. 16 MiB of them are
            enough, whatever their number.
        allow_plain: Whether to publish to a service that speaks the plain dialect as well. It has no acks:
            each message is then sent once, and its result raises :class:`~fanline.errors.Rejected` with
            ``ack-unavailable``, because it is unknown whether it was stored.
        on_state: Called with None when a connection is made, and with the reason, a sentence, when it is
            lost or cannot be made.

    Raises:
        ConfigurationError: If the URL or the user name cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each is one fact about a publisher
        self,
        url: str = "wss://localhost:8081",
        *,
        user: str | None = None,
        password: str | None = None,
        token: Token | None = None,
        tls: ssl.SSLContext | None = None,
        window: int = 1_000,
        allow_plain: bool = False,
        on_state: OnState | None = None,
    ) -> None:
        login = Login.of(user, password, token, tls)
        link = ReconnectingConnection(f"{url.rstrip('/')}/publish", login=login, tls=tls, on_state=on_state)
        super().__init__(link, window=window, frame_bytes=_FRAME_BYTES)
        self._allow_plain = allow_plain
        self._unseen: list[PublishResult] = []

    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        id: str | None = None,  # noqa: A002 - wire name
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Publish one message and wait until it is on disk.

        If cancelled, the message is withdrawn unless it is on its way already; then it may still be stored.

        Args:
            topic: Where to publish it.
            content: Anything that can be written as JSON; a :class:`msgspec.Raw` is JSON text already.
            id: Its idempotency key: within the dedupe window a message with the same id is not stored again.
            traceparent: The trace that it belongs to (W3C Trace Context); those who receive it are told.
            timeout: Seconds after which to give up, as if cancelled; None keeps trying.

        Raises:
            Rejected: If the message was refused, by the server or because it cannot be written as JSON.
            Disconnected: If there was no ack within ``timeout``, or the server closed permanently.
            LoginRefused: If the server refuses the user.
            ConfigurationError: If there is no such endpoint, it has no acks, or the server cannot be trusted.
            Closed: If the publisher is closed, or was closed before the ack came.
        """
        try:
            async with asyncio.timeout(timeout):
                return await (await self.send(topic, content, id=id, traceparent=traceparent))
        except TimeoutError as error:
            problem = self.problem or "the server does not answer"
            raise Disconnected(f"no ack within {timeout:g} s: {problem}") from error

    async def send(
        self,
        topic: str,
        content: Any,
        *,
        id: str | None = None,  # noqa: A002 - wire name
        traceparent: str | None = None,
    ) -> PublishResult:
        """Send a message, waiting only while the window is full.

        This does not wait for the ack. What is handed over in one turn of the event loop travels together. If
        cancelled, nothing is sent.

        Args:
            topic: As for :meth:`publish`.
            content: As for :meth:`publish`.
            id: As for :meth:`publish`.
            traceparent: As for :meth:`publish`.

        Returns:
            The result, to await the ack. If it is not awaited, :meth:`flush` raises a failure.

        Raises:
            Rejected: If the message cannot be written as JSON.
            Closed: If the publisher is closed.
            FanlineError: If the link has ended permanently; as for :meth:`publish`.
        """
        key = id or next(self._ids)
        return await self._hand_over(
            PublishResult(key, _encode(topic, content, key, traceparent), withdraw=self._withdraw)
        )

    async def flush(self) -> None:
        """Wait until every message sent so far has its answer.

        Raises:
            FanlineError: The first failure since the last flush of a message that was not awaited.
        """
        unanswered = [result.future for result in self._outbox]
        if unanswered:
            await asyncio.wait(unanswered)
        unseen, self._unseen = self._unseen, []
        for result in unseen:
            if not result.is_awaited:
                result.future.result()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                await self.flush()
        finally:
            await super().__aexit__(exc_type, exc_value, traceback)

    # One connection, step by step.

    async def _speak(self, connection: ClientConnection) -> None:
        is_plain = self._link.dialect is Dialect.PLAIN
        if is_plain and not self._allow_plain:
            raise ConfigurationError(f"{self._link.url} speaks the plain dialect, which has no acks")
        self._send_again()
        try:
            write = self._write_plain if is_plain else self._write
            await run_until_first(write(connection), self._read(connection))
        except ConnectionClosed:
            if connection.close_code == CloseCode.TOO_BIG:
                self._refuse_largest()
            raise

    async def _write_plain(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while taken := self._outbox.take(1):
                (result,) = taken
                message = decode_new(result.body)
                await connection.send(self._link.dialect.codec.encode_published(message), text=True)
                self._outbox.settle_next(result.id)
                reason = "it was sent, but the service speaks the plain dialect, which has no acks"
                self._fail(result, Rejected(ErrorCode.ACK_UNAVAILABLE, reason, result.id))

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            take_each(await connection.recv(decode=False), self._take, self._link.url)

    def _take(self, body: bytes) -> None:
        with contextlib.suppress(msgspec.ValidationError):  # nothing that is known here
            self._execute(decode_publish_reply(body))

    def _execute(self, reply: PublishReply) -> None:
        if reply.drain is not None:
            self._link.retry_after(reply.drain.retry_ms / 1_000)
        elif reply.error in (ErrorCode.QUEUE_UNAVAILABLE, ErrorCode.RATE_LIMITED):
            # Everything without an ack is sent again on the next connection, after the usual delay.
            if reply.retry_ms is not None:
                self._link.retry_after(reply.retry_ms / 1_000)
            raise Disconnected(f"{self._link.url}: {reply.reason}")
        elif reply.error is not None:
            self._fail(self._settle_next(reply.id), Rejected(reply.error, reply.reason, reply.id))
        elif not isinstance(reply.ok, msgspec.UnsetType):
            result = self._settle_next(reply.ok)
            self._acknowledge(result, Ack(result.id, reply.seq, reply.duplicate))

    def _settle_next(self, id: str | None) -> PublishResult:  # noqa: A002 - wire name
        result = self._outbox.settle_next(id)
        if result is None:
            # Sending everything again is safe, and puts it right.
            raise Disconnected(f"{self._link.url} has answered out of order")
        return result

    def _fail(self, result: PublishResult, error: BaseException) -> bool:
        has_failed = super()._fail(result, error)
        if has_failed and not result.is_awaited and len(self._unseen) < MAX_UNSEEN:
            self._unseen.append(result)
        return has_failed


def _encode(topic: str, content: Any, id: str, traceparent: str | None) -> bytes:  # noqa: A002 - wire name
    try:
        return encode(NewMessage(topic, encode_content(content), id, traceparent=traceparent))
    except Rejected as rejected:
        rejected.id = id
        raise
    except ValueError as error:  # half of a surrogate pair in the topic or the id
        reason = f"the message cannot be written as JSON: {error}"
        raise Rejected(ErrorCode.BAD_MESSAGE, reason, id) from error
