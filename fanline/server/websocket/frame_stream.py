"""Handlers as tasks: for endpoints that wait between two frames."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.frames import CloseCode as StandardCode

from fanline.server.websocket.connection import Connection, MakeHandler
from fanline.server.websocket.handler import Handler
from fanline.server.websocket.inbound import MAX_WAITING_FRAMES

logger = logging.getLogger(__name__)

Serve = Callable[[Connection, AsyncIterator[bytes]], Awaitable[None]]


def task_handler(serve: Serve) -> MakeHandler:
    """Return a factory of handlers that run ``serve`` as a task.

    Args:
        serve: Gets the connection, and an iterator over its frames, which ends when the connection is lost.
            When it returns before, the connection is closed.
    """

    def make(connection: Connection) -> Handler:
        stream = FrameStream(connection)
        connection.create_task(stream.run(serve))
        return stream

    return make


class FrameStream:
    """The frames of one connection as an asynchronous iterator.

    Args:
        connection: It is not read from while :data:`MAX_WAITING_FRAMES` frames wait here.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frames: deque[bytes] = deque()
        self._is_held = False
        self._is_closed = False
        self._changed: asyncio.Future[None] | None = None

    async def run(self, serve: Serve) -> None:
        """Run ``serve``, and close the connection when it ends."""
        try:
            await serve(self._connection, self._iterate())
        except Exception:
            logger.exception("a handler has failed; its connection is closed")
            self._connection.cut(StandardCode.INTERNAL_ERROR, "")
        else:
            self._connection.cut(StandardCode.NORMAL_CLOSURE, "")

    def on_frame(self, payload: bytes) -> None:
        """Queue a frame for the task."""
        self._frames.append(payload)
        if len(self._frames) >= MAX_WAITING_FRAMES and not self._is_held:
            self._is_held = True
            self._connection.pause_reading()
        self._wake()

    def on_close(self) -> None:
        """End the iterator, after the frames that wait."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _iterate(self) -> AsyncIterator[bytes]:
        """Yield each frame, waiting while the peer reads nothing."""
        while True:
            while self._frames:
                yield self._frames.popleft()
                await self._connection.writable()
            if self._is_closed:
                return
            if self._is_held:
                self._is_held = False
                self._connection.resume_reading()
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
