"""Pages of the log, read from msgqueue over a separate connection.

So long reads never hold up the live messages. Any number of requests may be on the way; each carries a number
that comes back with its page.
"""

import asyncio
import itertools
from typing import NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.change_notifier import ChangeNotifier
from fanline.client.transport.connection import ReconnectingConnection
from fanline.errors import Disconnected, ErrorCode, Rejected
from fanline.protocol import PageAnswer, PopCommand, Read, decode_page, encode
from fanline.tasks import start_task


class _Question(NamedTuple):
    """A request without an answer, even if no caller waits any more."""

    answer: asyncio.Future[PageAnswer]
    asked_at: float


class PageReader:
    """Reads the log at msgqueue.

    Args:
        link: A connection to ``/popmsg``, for this alone.
        timeout: Seconds after which a request without an answer counts as a problem.

    Attributes:
        has_log: Whether msgqueue keeps a log, as far as is known; to be set by the owner.
        epoch: Epoch of the log that is followed: pages of another one are not returned.
    """

    def __init__(self, link: ReconnectingConnection, *, timeout: float) -> None:
        self.has_log = True
        self.epoch: str | None = None
        self._link = link
        self._timeout = timeout
        self._refs = itertools.count(1)
        self._asked: dict[int, _Question] = {}
        self._answered_at = 0.0
        self._connection: ClientConnection | None = None
        self._connected = ChangeNotifier()
        self._cancelling: set[asyncio.Task[None]] = set()

    @property
    def problem(self) -> str | None:
        """Reason why requests get no answer in time, or None."""
        oldest = next(iter(self._asked.values()), None)
        now = asyncio.get_running_loop().time()
        if oldest is None or now - max(oldest.asked_at, self._answered_at) < self._timeout:
            return None
        return f"msgqueue has not answered a request for more than {self._timeout:g} s"

    async def run(self) -> None:
        """Keep the connection to a queue that speaks v1, until cancelled.

        A queue that speaks the plain dialect deals its messages out to all connections to ``/popmsg``: this
        one would take some of them away.
        """
        await self._link.run(self._serve)

    async def read(self, read: Read) -> PageAnswer:
        """Return a page; while msgqueue is away, wait.

        Raises:
            Rejected: If msgqueue refuses, or keeps no log.
        """
        while True:
            connection = await self._open_connection()
            try:
                return await self._ask(connection, read)
            except (Disconnected, ConnectionClosed):
                # Reading changes nothing, so it can be asked again; on another connection than this one.
                if self._connection is connection:
                    self._connection = None

    async def _open_connection(self) -> ClientConnection:
        while self._connection is None:
            if not self.has_log:
                raise Rejected(ErrorCode.RESUME_UNAVAILABLE, "msgqueue keeps no log that could be read")
            await asyncio.shield(self._connected.next)
        return self._connection

    async def _ask(self, connection: ClientConnection, read: Read) -> PageAnswer:
        ref = read.ref = next(self._refs)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PageAnswer] = loop.create_future()
        self._asked[ref] = _Question(answer, loop.time())
        try:
            await connection.send(encode(PopCommand(read=read)), text=True)
            page = await answer
        except asyncio.CancelledError:
            self._cancel(connection, ref)
            raise
        if page.error is not None:
            raise Rejected(page.error, page.reason)
        if page.epoch != self.epoch:
            await connection.close()
            raise Disconnected("the log was replaced, which its follower has not noticed yet")
        return page

    def _cancel(self, connection: ClientConnection, ref: int) -> None:
        """Cancel a page at msgqueue, because no caller waits for it."""
        cancelling = start_task(connection.send(encode(PopCommand(cancel=ref)), text=True))
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)

    async def _serve(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._connected.fire()
        try:
            while True:
                self._take(await connection.recv(decode=False))
        finally:
            self._connection = None
            asked, self._asked = self._asked, {}
            for answer, _ in asked.values():
                if not answer.done():
                    answer.set_exception(Disconnected("msgqueue went away"))

    def _take(self, frame: bytes) -> None:
        try:
            page = decode_page(frame)
        except msgspec.ValidationError:
            return  # something newer than this program
        self._answered_at = asyncio.get_running_loop().time()
        question = self._asked.pop(page.page, None)
        if question is not None and not question.answer.done():
            question.answer.set_result(page)
