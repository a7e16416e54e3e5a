"""The log at a msgqueue that runs elsewhere, over TLS WebSockets."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.errors import Disconnected, Rejected
from fanline.protocol import (
    ConsumerList,
    ConsumerState,
    Dialect,
    Forgotten,
    NewMessage,
    PageAnswer,
    PopCommand,
    Read,
    Record,
    decode_refusal,
    encode,
)
from fanline.queue.appender import Appender
from fanline.queue.base import LogListener, QueueClient, ReplySlot
from fanline.queue.log_follower import LogFollower
from fanline.queue.page_reader import PageReader
from fanline.queue.topic_follower import TopicFollower
from fanline.security.tls import link_context
from fanline.settings import Settings
from fanline.tasks import running_task

# A refused login can be put right on the other side; until then it is not tried more often than this.
REFUSED_DELAY: Final = 5.0

# A service notices soon that msgqueue has vanished; there are few such connections, so pings cost little.
MAX_PING_INTERVAL: Final = 5.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RemoteQueue(QueueClient):
    """Reaches msgqueue, and again whenever a connection is lost.

    Only what is used is connected: :meth:`run` opens a connection for appending, :meth:`follow` two for
    reading, and each question about consumers one of its own.

    Args:
        connect: Returns a connection to an endpoint of msgqueue, ``/pushmsg`` or ``/popmsg``.
        buffer_bytes: Size of the messages without an outcome with which :meth:`wait_for_space` waits.
        timeout: Seconds after which a message that msgqueue cannot take is refused, and a question about
            consumers given up.
    """

    def __init__(
        self, connect: Callable[[str], ReconnectingConnection], *, buffer_bytes: int, timeout: float
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._appending = connect("/pushmsg")
        self._following = connect("/popmsg")
        self._appender = Appender(self._appending, buffer_bytes=buffer_bytes, timeout=timeout)
        reading = connect("/popmsg")
        self._reader = PageReader(reading, timeout=timeout)
        self._lasting = [
            self._appending,
            self._following,
            reading,
        ]  # connections that are made again when lost
        # Those that `problem` looks at.
        self._in_use: list[ReconnectingConnection] = []
        self._topic_links: list[ReconnectingConnection] = []
        self._followers: list[LogFollower] = []

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the msgqueue that the settings name, with their user.

        Raises:
            ConfigurationError: If the CA or the password file cannot be read, or the URL is wrong.
        """
        login = Login.of_user(settings.link_user, settings.link_secret())
        tls = link_context(settings)

        def connect(path: str) -> ReconnectingConnection:
            return ReconnectingConnection(
                [url + path for url in settings.queue_url.split(",")],
                login=login,
                tls=tls,
                ping_interval=min(settings.ping_interval, MAX_PING_INTERVAL),
                silence_limit=settings.silence_limit,
                refused_delay=REFUSED_DELAY,
            )

        return cls(connect, buffer_bytes=settings.queue_buffer, timeout=settings.queue_wait)

    @property
    def problem(self) -> str | None:
        """Reason why msgqueue cannot be used now, or None.

        A connection is missing, or there is no answer on it.
        """
        links = [*(self._in_use or [self._following]), *self._topic_links]
        problems = [*(link.problem for link in links), self._appender.problem, self._reader.problem]
        problems += [follower.problem for follower in self._followers]
        return next((problem for problem in problems if problem), None)

    @property
    def reconnects(self) -> int:
        """How many connections replaced a lost one."""
        return sum(max(0, link.opened - 1) for link in self._lasting)

    async def run(self) -> None:
        """Send what is appended, until cancelled."""
        with _listed(self._appending, self._in_use):
            await self._appender.run()

    @property
    def pending(self) -> int:
        """Number of appended messages without a reply."""
        return len(self._appender)

    def append(self, message: NewMessage, reply: ReplySlot | None, *, sender: object = None) -> None:
        """Send a message after all that its sender appended before."""
        self._appender.append(message, reply, sender=sender)

    def is_full_for(self, user: str | None) -> bool:
        """Return whether a user should wait before it appends more."""
        return self._appender.is_full_for(user)

    async def wait_for_space(self, user: str | None) -> None:
        """Wait while the buffer is full for a user."""
        await self._appender.wait_for_space(user)

    async def flush(self) -> None:
        """Wait until every message has its reply."""
        await self._appender.flush()

    async def follow(self, listener: LogListener) -> None:
        """Feed a listener, until cancelled."""
        follower = LogFollower(self._following, listener, self._reader)
        self._followers.append(follower)
        try:
            with _listed(self._following, self._in_use):
                await follower.run()
        finally:
            self._followers.remove(follower)

    async def follow_topic(
        self, topic: str, take: Callable[[Sequence[Record]], None], caught_up: Callable[[], None]
    ) -> None:
        """Feed a function with all records of a topic, until cancelled.

        To be used while another method is connected.
        """
        follower = TopicFollower(topic, take, caught_up)
        link = self._connect("/popmsg")
        self._lasting.append(link)
        while True:
            with _listed(link, self._topic_links):  # also while it waits for the others
                await self._wait_until(lambda: self._dialect is not None)
                if self._dialect is not Dialect.PLAIN:
                    async with running_task(link.run(follower.serve)):
                        await self._wait_until(lambda: self._dialect is Dialect.PLAIN)
            logger.warning("msgqueue speaks the plain dialect: %s cannot be followed", topic)
            caught_up()
            await self._wait_until(lambda: self._dialect is not Dialect.PLAIN)

    @property
    def _dialect(self) -> Dialect | None:
        """Dialect of msgqueue, None while it is away.

        One that speaks the plain dialect deals its messages out to all connections to ``/popmsg``: another
        one would take some of them away, so none is opened before this is known.
        """
        return next((each.dialect for each in (self._appending, self._following) if each.connected), None)

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            changes = [self._appending.changed.next, self._following.changed.next]
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)

    async def read(self, read: Read) -> PageAnswer:
        """Return a page of the log, while :meth:`follow` runs.

        That tells whether there is a log.
        """
        return await self._reader.read(read)

    async def consumers(self) -> Sequence[ConsumerState]:
        """Return the durable consumers that there are."""
        return (await self._ask(PopCommand(consumers=True), ConsumerList)).consumers

    async def forget(self, consumer: str) -> None:
        """Remove a durable consumer."""
        await self._ask(PopCommand(forget=consumer), Forgotten)

    async def _ask(self, command: PopCommand, kind: type[T]) -> T:
        """Ask one thing, on a connection of its own."""
        link = self._connect("/popmsg")
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def ask(connection: ClientConnection) -> None:
            await connection.send(encode(command), text=True)
            frame = await connection.recv(decode=False)
            if not answered.done():  # it is, if the time was up, or at a second connection
                answered.set_result(frame)
            await connection.wait_closed()

        try:
            async with running_task(link.run(ask)), asyncio.timeout(self._timeout):
                frame = await answered
        except TimeoutError:
            raise Disconnected(link.problem or "msgqueue does not answer") from None
        try:
            return msgspec.json.decode(frame, type=kind)
        except msgspec.ValidationError:
            refusal = decode_refusal(frame)
            raise Rejected(refusal.error, refusal.reason) from None


@contextmanager
def _listed(link: ReconnectingConnection, links: list[ReconnectingConnection]) -> Iterator[None]:
    """Keep a connection in a list during the block."""
    links.append(link)
    try:
        yield
    finally:
        links.remove(link)
