"""Publishing: many messages in flight, each acknowledged when it is on disk."""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Callable, Generator
from itertools import count
from types import TracebackType
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.client.base import Client, OnState
from fanline.client.connection import Login, ReconnectingConnection, run_until_first
from fanline.client.outbox import Flight, Parcel
from fanline.errors import CloseCode, ConfigurationError, Disconnected, ErrorCode, Rejected
from fanline.protocol import (
    Ack,
    Dialect,
    NewMessage,
    PublishReply,
    decode_new,
    decode_publish_reply,
    encode,
    join_array,
    split_array,
)

# Small enough that the server works on one frame while the next is on its way.
FRAME_BYTES: Final = 65_536

# What may be without an ack at a time, besides the number of messages.
WINDOW_BYTES: Final = 16 * 2**20

# Failures that nobody awaits are kept for flush() to raise; of a flood, the first are enough.
MAX_UNSEEN: Final = 100


class Receipt(Parcel):
    """A message handed over for sending: await it for its :class:`~fanline.protocol.messages.Ack`.

    Waiting raises what :meth:`Publisher.publish` raises, and may be cancelled in the same way; it is for one
    task at a time.

    Attributes:
        id: The message's idempotency key.
    """

    __slots__ = ("future", "is_awaited", "withdraw")

    def __init__(self, id: str, body: bytes, withdraw: Callable[["Receipt"], None]) -> None:  # noqa: A002
        super().__init__(id, body)
        self.future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self.is_awaited = False
        self.withdraw = withdraw

    def __await__(self) -> Generator[Any, None, Ack]:
        self.is_awaited = True
        return self._ack().__await__()

    def done(self) -> bool:
        """Whether the answer is there, so that awaiting it returns, or raises, at once."""
        return self.future.done()

    async def _ack(self) -> Ack:
        try:
            return await self.future
        except asyncio.CancelledError:
            self.withdraw(self)
            raise


class Publisher(Client):
    """Publishes messages, and sees to it that each is stored, and stored once.

    Every message carries an id, a unique one if none is given. What has no ack when the connection is lost
    is sent again, in order, on the next one, and the queue stores it once as long as that happens within its
    dedupe window (10 minutes by default). The queue being out of reach for the server is handled in the
    same way.

    Messages are stored in the order of the calls, with one exception: while the queue comes back after an
    outage, those that it took already can precede earlier ones that are being sent again. With a
    ``window`` of 1 there is none.

    Leaving the ``async with`` block waits for every ack, like :meth:`flush`; an exception or cancellation
    closes at once, and what was not acknowledged by then may be stored or not.

    Args:
        url: The publisher service, ``wss://HOST:PORT``.
        user: Who to log in as.
        password: The password.
        tls: How to verify the server; None trusts the CAs of the system.
        window: Messages that may be without an ack at a time; they are kept in memory. 16 MiB of them are
            enough, whatever their number.
        allow_plain: Whether to publish to a service that speaks the plain dialect as well. It has no acks:
            each message is then sent once, and its receipt raises :class:`~fanline.errors.Rejected` with
            ``ack-unavailable``, because nobody knows what became of it.
        on_state: Called with None when a connection is made, and with the reason, a sentence, when it is
            lost or cannot be made.

    Raises:
        ConfigurationError: If the URL or the user name cannot be used.
    """

    def __init__(
        self,
        url: str = "wss://localhost:8081",
        *,
        user: str,
        password: str,
        tls: ssl.SSLContext | None = None,
        window: int = 1_000,
        allow_plain: bool = False,
        on_state: OnState | None = None,
    ) -> None:
        login = Login.by_password(user, password)
        super().__init__(
            ReconnectingConnection(f"{url.rstrip('/')}/publish", login=login, tls=tls, on_state=on_state)
        )
        self._flight: Flight[Receipt] = Flight(window, WINDOW_BYTES)
        self._allow_plain = allow_plain
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._unseen: list[Receipt] = []
        prefix = secrets.token_urlsafe(9)
        self._ids = (f"{prefix}-{number}" for number in count(1))

    async def publish(
        self,
        topic: str,
        content: Any,
        *,
        id: str | None = None,  # noqa: A002 - wire name
        timeout: float | None = None,
    ) -> Ack:
        """Publish one message and wait until it is on disk.

        If cancelled, the message is withdrawn unless it is on its way already; then it may still be stored.

        Args:
            topic: Where to publish it.
            content: Anything that can be written as JSON; a :class:`msgspec.Raw` is JSON text already.
            id: Its idempotency key: within the dedupe window a message with the same id is not stored again.
            timeout: Seconds after which to give up, as if cancelled; None keeps trying.

        Raises:
            Rejected: If the message was refused, by the server or because it cannot be written as JSON.
            Disconnected: If there was no ack within ``timeout``, or the server closed for good.
            LoginRefused: If the server refuses the user.
            ConfigurationError: If there is no such endpoint, it has no acks, or the server cannot be trusted.
            Closed: If the publisher is closed, or was closed before the ack came.
        """
        try:
            async with asyncio.timeout(timeout):
                return await (await self.send(topic, content, id=id))
        except TimeoutError as error:
            problem = self.problem or "the server does not answer"
            raise Disconnected(f"no ack within {timeout:g} s: {problem}") from error

    async def send(self, topic: str, content: Any, *, id: str | None = None) -> Receipt:  # noqa: A002
        """Hand over one message for sending; wait only while the window is full.

        What is handed over in one turn of the event loop travels together. If cancelled, nothing is sent.

        Args:
            topic: As for :meth:`publish`.
            content: As for :meth:`publish`.
            id: As for :meth:`publish`.

        Returns:
            What to await for the ack. If nobody does, a failure is raised by :meth:`flush`.

        Raises:
            Rejected: If the message cannot be written as JSON.
            Closed: If the publisher is closed.
            FanlineError: If the link has ended for good; as for :meth:`publish`.
        """
        key = id or next(self._ids)
        receipt = Receipt(key, _written(topic, content, key), self._withdraw)
        async with self._turn:
            self._require_open()
            while self._flight.is_full:
                self._room.clear()
                await self._room.wait()
                self._require_open()
            self._flight.add(receipt)
        self._work.set()
        return receipt

    async def flush(self) -> None:
        """Wait until every message sent so far has its answer.

        Raises:
            FanlineError: The first failure since the last flush of a message that nobody has awaited.
        """
        unanswered = [receipt.future for receipt in self._flight]
        if unanswered:
            await asyncio.wait(unanswered)
        unseen, self._unseen = self._unseen, []
        for receipt in unseen:
            if not receipt.is_awaited:
                receipt.future.result()

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
        self._flight.rewind()
        self._room.set()
        self._work.set()
        try:
            write = self._write_plain if is_plain else self._write
            await run_until_first(write(connection), self._read(connection))
        except ConnectionClosed:
            if connection.close_code == CloseCode.TOO_BIG:
                self._refuse_largest()
            raise

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            receipts = self._flight.take(FRAME_BYTES)
            if not receipts:
                self._work.clear()
                continue
            bodies = [receipt.body for receipt in receipts]
            await connection.send(bodies[0] if len(bodies) == 1 else join_array(bodies), text=True)

    async def _write_plain(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while receipts := self._flight.take(1):
                (receipt,) = receipts
                message = decode_new(receipt.body)
                await connection.send(self._link.dialect.codec.encode_published(message), text=True)
                self._flight.answered(receipt.id)
                self._room.set()
                reason = "it was sent, but the service speaks the plain dialect, which has no acks"
                self._fail(receipt, Rejected(ErrorCode.ACK_UNAVAILABLE, reason, receipt.id))

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            frame = await connection.recv(decode=False)
            try:
                for body in split_array(frame):
                    self._take(body)
            except msgspec.DecodeError as error:
                raise Disconnected(f"{self._link.url} has sent what is not JSON") from error

    def _take(self, body: bytes) -> None:
        with contextlib.suppress(msgspec.ValidationError):  # nothing that is known here
            self._obey(decode_publish_reply(body))

    def _obey(self, answer: PublishReply) -> None:
        if answer.drain is not None:
            self._link.retry_after(answer.drain.retry_ms / 1_000)
        elif answer.error == ErrorCode.QUEUE_UNAVAILABLE:
            # Everything without an ack is sent again on the next connection, after the link's delay.
            raise Disconnected(f"{self._link.url}: {answer.reason}")
        elif answer.error is not None:
            self._fail(self._answered(answer.id), Rejected(answer.error, answer.reason, answer.id))
        elif not isinstance(answer.ok, msgspec.UnsetType):
            receipt = self._answered(answer.ok)
            if not receipt.future.done():
                receipt.future.set_result(Ack(receipt.id, answer.seq, answer.duplicate))

    def _answered(self, id: str | None) -> Receipt:  # noqa: A002 - wire name
        receipt = self._flight.answered(id)
        if receipt is None:
            # Sending everything again is safe, and puts it right.
            raise Disconnected(f"{self._link.url} has answered out of order")
        self._room.set()
        return receipt

    # Messages that come to nothing.

    def _fail(self, receipt: Receipt, error: BaseException) -> None:
        if receipt.future.done():
            return
        receipt.future.set_exception(error)
        receipt.future.exception()  # raised by flush() if by nobody else; no need for asyncio to warn
        if not receipt.is_awaited and len(self._unseen) < MAX_UNSEEN:
            self._unseen.append(receipt)

    def _withdraw(self, receipt: Receipt) -> None:
        self._flight.withdraw(receipt)
        self._room.set()

    def _refuse_largest(self) -> None:
        """Refuse the message that the server did not take: it closed with 1009, which names none."""
        receipt = self._flight.take_largest_sent()
        if receipt is not None:
            self._room.set()
            reason = f"{len(receipt.body):,} bytes are more than the server takes"
            self._fail(receipt, Rejected(ErrorCode.TOO_BIG, reason, receipt.id))

    def _give_up(self, error: BaseException) -> None:
        for receipt in self._flight.clear():
            self._fail(receipt, error)
        self._room.set()


def _written(topic: str, content: Any, id: str) -> bytes:  # noqa: A002 - wire name
    try:
        if isinstance(content, msgspec.Raw):
            msgspec.json.decode(content)
        else:
            content = msgspec.Raw(encode(content))
        return encode(NewMessage(topic, content, id))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise Rejected(
            ErrorCode.BAD_MESSAGE, f"the message cannot be written as JSON: {error}", id
        ) from error
