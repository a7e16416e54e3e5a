"""The part of the log that is not in memory any more, read page by page from msgqueue.

A link of its own to ``/popmsg``, so that long reads never hold up the live messages. Any number of requests
may be on the way; each carries a number that comes back with its page.

The link is there only while the live end speaks v1. A queue that speaks the plain dialect keeps no log to
read, and worse, deals its messages out to all connections to ``/popmsg``: this one would take half of them.
"""

import asyncio
import itertools

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.change_notifier import ChangeNotifier
from fanline.client.connection import ReconnectingConnection
from fanline.errors import Disconnected, ErrorCode, Rejected
from fanline.protocol import PageAnswer, PopCommand, Read, decode_page, encode
from subscriber.live_feed import Live


class Archive:
    """Reads the log at msgqueue.

    Args:
        link: A link to ``/popmsg``, for this alone.
        live: Knows whether the queue keeps a log.
    """

    def __init__(self, link: ReconnectingConnection, live: Live) -> None:
        self._link = link
        self._live = live
        self._refs = itertools.count(1)
        self._asked: dict[int, asyncio.Future[PageAnswer]] = {}
        self._connection: ClientConnection | None = None
        self._connected = ChangeNotifier()

    async def run(self) -> None:
        """Keep the link up until cancelled; for as long as the queue is known to speak v1."""
        await self._link.run(self._session)

    async def read(self, read: Read) -> PageAnswer:
        """Return the page that is asked for; while msgqueue is away, wait.

        Raises:
            Rejected: If msgqueue refuses, or cannot be asked because it speaks the plain dialect.
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
            if not self._live.can_resume:
                raise Rejected(ErrorCode.RESUME_UNAVAILABLE, "the queue keeps no log that could be read")
            await asyncio.shield(self._connected.next)
        return self._connection

    async def _ask(self, connection: ClientConnection, read: Read) -> PageAnswer:
        ref = read.ref = next(self._refs)
        answer: asyncio.Future[PageAnswer] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        try:
            await connection.send(encode(PopCommand(read=read)), text=True)
            page = await answer
        finally:
            del self._asked[ref]
        if page.error is not None:
            raise Rejected(page.error, page.reason)
        return page

    async def _session(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._connected.fire()
        try:
            while True:
                self._take(await connection.recv(decode=False))
        finally:
            self._connection = None
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(Disconnected("the queue went away"))

    def _take(self, frame: bytes) -> None:
        try:
            page = decode_page(frame)
        except msgspec.ValidationError:
            return  # something newer than this program; whoever waits goes on waiting for its page
        answer = self._asked.get(page.page)
        if answer is not None and not answer.done():
            answer.set_result(page)
