"""One connection to one NATS server, as long as it lasts."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from msgqueue.journal.base import Entry, JournalError
from msgqueue.journal.stream import Answer, consumer_request, read_answer, read_delivery, subject_of

CONNECT_SECONDS: Final = 2
_CLOSE_SECONDS: Final = 2.0

# The client library may wait for the end of a connection that was never made.
GIVE_UP_SECONDS: Final = 0.1

# Answers come within milliseconds, or not at all while a leader is elected: then asking again is what helps,
# and soon, as nothing is acknowledged in the meantime. A server that is merely slow may answer any of them.
REQUEST_SECONDS: Final = 2.0
ASK_AGAIN_SECONDS: Final = 0.25

# An acknowledgement is waited for only to learn of a refusal: that a frame is stored, reading tells.
ACK_SECONDS: Final = 0.3

HEARTBEAT_SECONDS: Final = 1.0

# Without a frame or a heartbeat for so long, another server is tried.
_SILENCE_SECONDS: Final = 3.0


T = TypeVar("T")


def _is_not_about_eof(record: logging.LogRecord) -> bool:
    """Return whether a log line is not asyncio's about ``eof_received()``.

    The client library changes a connection to TLS without telling asyncio's stream protocol, which then is
    warned about each time that a server closes one.
    """
    return "eof_received() has no effect when using ssl" not in record.getMessage()


class NatsLogin(NamedTuple):
    """Login and TLS for the NATS servers.

    Attributes:
        tls: Verifies them; they must begin with the TLS handshake (``handshake_first``), before which nothing
            is sent.
        user: Name to log in as; empty without a login.
        password: Its password.
    """

    tls: ssl.SSLContext
    user: str
    password: str


class Session:
    """Connection to one server, never re-established once it is lost.

    Attributes:
        max_payload: Largest message that the server takes, in bytes.
    """

    def __init__(self, client: Client, stream: str, mailbox: "_Mailbox") -> None:
        self.max_payload = client.max_payload
        self._client = client
        self._stream = stream
        self._mailbox = mailbox

    @classmethod
    async def connect(cls, url: str, stream: str, login: NatsLogin) -> Self:
        """Connect to a server.

        Args:
            url: ``tls://HOST:PORT``.
            stream: Name of the stream.
            login: How to connect.

        Raises:
            JournalError: If that fails.
        """
        logging.getLogger("asyncio").addFilter(_is_not_about_eof)
        client = Client()
        mailbox = _Mailbox()
        connecting = client.connect(
            [url],
            error_cb=mailbox.on_error,
            closed_cb=mailbox.on_loss,
            disconnected_cb=mailbox.on_loss,
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=5,
            name="fanline msgqueue",
            tls=login.tls,
            tls_handshake_first=True,
            user=login.user or None,
            password=login.password or None,
        )
        try:
            await _within(2 * CONNECT_SECONDS, connecting)
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            await cls(client, stream, mailbox).close(GIVE_UP_SECONDS)
            raise JournalError(f"cannot connect to {url}: {_words(error)}") from error
        mailbox.is_connected = True
        return cls(client, stream, mailbox)

    @property
    def is_lost(self) -> bool:
        """Return whether the connection has ended."""
        return self._mailbox.is_lost

    def leave(self) -> None:
        """Take the connection for lost."""
        self._mailbox.lose()

    async def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Close the connection; after so many seconds without waiting for its end."""
        self.leave()
        with suppress(NatsError, OSError, TimeoutError):
            await _within(timeout, self._client.close())

    async def ask(self, what: str, request: bytes = b"") -> Answer:
        """Ask JetStream, again and again until it answers.

        Args:
            what: The request, as in ``STREAM.INFO.name``; asking it twice must do no harm.
            request: Its body.

        Raises:
            JournalError: If it refuses, for another reason than that there is no such stream, or does not
                answer.
        """
        try:
            answer = await _within(REQUEST_SECONDS + 1, self._ask_repeatedly(f"$JS.API.{what}", request))
        except (NatsError, OSError, TimeoutError) as error:
            raise JournalError(f"JetStream does not answer: {_words(error)}") from error
        return read_answer(answer.data)

    async def _ask_repeatedly(self, subject: str, request: bytes) -> Msg:
        asked: list[asyncio.Future[Msg]] = []
        try:
            while True:
                asking = self._client.request(subject, request, timeout=REQUEST_SECONDS)
                asked.append(asyncio.ensure_future(asking))
                asked[-1].add_done_callback(_retrieve)
                done, _ = await asyncio.wait(
                    asked, timeout=ASK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return done.pop().result()
        finally:
            for each in asked:
                each.cancel()

    async def publish(self, frame: bytes, *, is_first: bool) -> None:
        """Publish a frame; with ``is_first`` only if the stream is empty.

        Raises:
            JournalError: If JetStream refuses it, or the connection is lost; not if there is no answer.
        """
        headers = {"Nats-Expected-Last-Sequence": "0"} if is_first else None
        timeout = REQUEST_SECONDS if is_first else ACK_SECONDS
        try:
            publishing = self._client.request(
                subject_of(self._stream), frame, timeout=timeout, headers=headers
            )
            answer = await _within(timeout + 1, publishing)
        except NoRespondersError:
            raise JournalError(
                f"the stream {self._stream} has no leader, or is gone: if this lasts, look at the logs"
                " and the disks of the NATS servers"
            ) from None
        except TimeoutError:
            return
        except (NatsError, OSError) as error:
            raise JournalError(f"cannot publish: {_words(error)}") from error
        read_answer(answer.data)

    async def deliveries(self, first: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield the entries from an index on, in their order.

        Entries that are there together come together. To be called once; the session ends with it.

        Raises:
            JournalError: When the server has been silent for too long, or the connection is lost.
        """
        deliver_to = self._client.new_inbox()
        name = f"msgqueue-{secrets.token_hex(6)}"
        request = consumer_request(self._stream, name, deliver_to, first, HEARTBEAT_SECONDS)
        try:
            await self._client.subscribe(deliver_to, cb=self._mailbox.take)
            await self.ask(f"CONSUMER.CREATE.{self._stream}.{name}", request)
            while True:
                messages = await self._mailbox.wait()
                entries = [read_delivery(each.reply, each.data) for each in messages if not _is_status(each)]
                if entries:
                    yield entries
                for message in filter(_is_status, messages):
                    await self._answer_flow_control(message)
        except (NatsError, OSError) as error:
            raise JournalError(f"the connection is lost: {_words(error)}") from error
        finally:
            self.leave()

    async def _answer_flow_control(self, message: Msg) -> None:
        """Ask for more, now that what came is done."""
        reply = message.reply or (message.headers or {}).get("Nats-Consumer-Stalled", "")
        if reply:
            await self._client.publish(reply)


class _Mailbox:
    """Collects what is delivered, until the connection is lost.

    Attributes:
        is_connected: Whether the connection has been made.
        is_lost: Whether the connection has ended.
    """

    def __init__(self) -> None:
        self.is_connected = False
        self.is_lost = False
        self._messages: list[Msg] = []
        self._changed = asyncio.Event()

    async def take(self, message: Msg) -> None:
        """Take a message in."""
        self._messages.append(message)
        self._changed.set()

    async def on_error(self, error: Exception) -> None:
        """End an attempt to connect, which the library would repeat for minutes.

        Once there is a connection, an error is raised where it is waited for as well, or ends the connection.
        """
        if not self.is_connected:
            raise error

    async def on_loss(self) -> None:
        """Note that the connection has ended."""
        self.lose()

    def lose(self) -> None:
        """Take the connection for ended."""
        self.is_lost = True
        self._changed.set()

    async def wait(self) -> list[Msg]:
        """Wait for messages, heartbeats included, and return all that are there.

        Raises:
            JournalError: If none comes for too long, or the connection is lost.
        """
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            raise JournalError("the server is silent") from None
        if self.is_lost:
            raise JournalError("the connection is lost")
        self._changed.clear()
        messages, self._messages = self._messages, []
        return messages


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a client's call, within a time limit.

    The call may neither end by itself nor when it is cancelled; after the limit it is left alone.

    Raises:
        TimeoutError: If the call takes longer.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_retrieve)
    try:
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def _retrieve(done: asyncio.Future[Any]) -> None:
    """Take the outcome of a call that may have been left alone."""
    if not done.cancelled():
        done.exception()


def _is_status(message: Msg) -> bool:
    """Return whether a message is a heartbeat or a flow control request."""
    return message.headers is not None and "Status" in message.headers


def _words(error: Exception) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__
