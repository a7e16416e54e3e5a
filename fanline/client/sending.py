"""Clients that send messages and wait for acks.

This is what publishing and chatting have in common.
"""

import asyncio
import secrets
from collections.abc import Callable, Generator
from itertools import count
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.base import Client
from fanline.client.outbox import Outbox, PendingMessage
from fanline.client.transport.connection import ReconnectingConnection
from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Ack, join_array

# What may be without an ack at a time, besides the number of messages.
_WINDOW_BYTES: Final = 16 * 2**20


def _new_future() -> "asyncio.Future[Ack]":
    return asyncio.get_running_loop().create_future()


class PublishResult(PendingMessage, eq=False, kw_only=True):
    """A message handed over for sending: await it for its :class:`~fanline.protocol.Ack`.

    Waiting raises what :meth:`Publisher.publish` raises, or what :meth:`ChatRoom.send` tells. If it is
    cancelled, the message is withdrawn unless it is on its way already. It is for one task at a time.

    Attributes:
        id: The message's idempotency key.
    """

    withdraw: Callable[["PublishResult"], None]
    future: asyncio.Future[Ack] = msgspec.field(default_factory=_new_future)
    is_awaited: bool = False

    def __await__(self) -> Generator[Any, None, Ack]:
        self.is_awaited = True
        return self._ack().__await__()

    def done(self) -> bool:
        """Return whether awaiting it returns, or raises, at once."""
        return self.future.done()

    def cancel(self) -> None:
        """Withdraw a message that is not sent yet; awaiting it is cancelled."""
        self.future.cancel()
        self.withdraw(self)

    async def _ack(self) -> Ack:
        try:
            return await self.future
        except asyncio.CancelledError:
            self.withdraw(self)
            raise


class SendingClient(Client):
    """Sends messages in order, on each new connection until acknowledged.

    Args:
        link: The connection, for this alone.
        window: Messages that may be without an ack at a time.
        frame_bytes: What is joined into one frame; a message that is larger travels alone.
    """

    def __init__(self, link: ReconnectingConnection, *, window: int, frame_bytes: int) -> None:
        super().__init__(link)
        self._outbox: Outbox[PublishResult] = Outbox(max_count=window, max_bytes=_WINDOW_BYTES)
        self._frame_bytes = frame_bytes
        self._turn = asyncio.Lock()
        self._in_line = 0  # callers that wait for their turn, or for space
        self._has_space = asyncio.Event()
        self._work = asyncio.Event()
        prefix = secrets.token_urlsafe(9)
        self._ids = (f"{prefix}-{number}" for number in count(1))

    async def _hand_over(self, result: PublishResult) -> PublishResult:
        """Add a message to the outbox, waiting only while it is full.

        If cancelled, it is not sent.
        """
        if self._in_line or self._outbox.is_full:
            await self._wait_in_line()
        self._require_open()
        self._outbox.add(result)
        self._work.set()
        return result

    async def _wait_in_line(self) -> None:
        self._in_line += 1
        try:
            async with self._turn:
                while self._outbox.is_full:
                    self._require_open()
                    self._has_space.clear()
                    await self._has_space.wait()
        finally:
            self._in_line -= 1

    def _send_again(self) -> None:
        """Begin a connection: everything without an ack is sent again, in order."""
        self._outbox.put_back()
        self._has_space.set()
        self._work.set()

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            results = self._outbox.take(self._frame_bytes)
            if not results:
                self._work.clear()
                continue
            self._on_sending(results)
            bodies = [result.body for result in results]
            await connection.send(bodies[0] if len(bodies) == 1 else join_array(bodies), text=True)

    def _on_sending(self, results: list[PublishResult]) -> None:
        """Note that messages are being sent."""

    def _acknowledge(self, result: PublishResult, ack: Ack) -> None:
        self._has_space.set()
        if not result.future.done():
            result.future.set_result(ack)

    def _fail(self, result: PublishResult, error: BaseException) -> bool:
        """Fail a message; return whether this was its outcome."""
        self._has_space.set()
        if result.future.done():
            return False
        result.future.set_exception(error)
        result.future.exception()  # asyncio need not warn if it is never awaited
        return True

    def _withdraw(self, result: PublishResult) -> None:
        self._outbox.abandon(result)
        self._has_space.set()

    def _refuse_largest(self) -> None:
        """Refuse the message that was too large for the server.

        The server closed with 1009, which names no message: the largest one counts.
        """
        result = self._outbox.settle_largest()
        if result is not None:
            reason = f"{len(result.body):,} bytes are more than the server takes"
            self._fail(result, Rejected(ErrorCode.TOO_BIG, reason, result.id))

    def _give_up(self, error: BaseException) -> None:
        for result in self._outbox.clear():
            self._fail(result, error)
        self._has_space.set()
