"""A network link that can fail, as a TCP relay.

It cuts, tears, stalls or blocks what goes through it. The relay sees TLS records, not frames, and cuts
wherever it happens to be: within a record, a frame, or a handshake.
"""

import asyncio
import contextlib
import random
import socket
import struct
from asyncio import StreamReader, StreamWriter
from typing import Final

from fanline.client.transport.connection import run_until_first
from fanline.client.transport.dial import make_transport

HOST: Final = "127.0.0.1"

_CHUNK: Final = 65_536

# The kernel's buffers on the way; small, so that a slow reader is soon felt at the other end.
SOCKET_BUFFER: Final = 65_536

# A torn connection still carries at most this much.
MAX_TORN_BYTES: Final = 50_000

_CLOSE_SECONDS: Final = 2.0

# Closing sends a reset, and what was not sent yet is dropped (socket(7)).
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Relays the connections of one link to a port of this machine.

    Args:
        rng: Decides where a connection is torn.

    Attributes:
        port: Where it listens, from :meth:`start` to :meth:`close`.
        target: The port it relays to; None while no service listens there.
    """

    def __init__(self, rng: random.Random) -> None:
        self.port = 0
        self.target: int | None = None
        self._rng = rng
        self._pairs: set[_Pair] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stalls = 0
        self._is_blocking = False
        self._server: asyncio.Server

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, HOST, 0, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and reset all connections."""
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)

    # Faults.

    def cut(self) -> None:
        """Reset every connection."""
        for pair in self._pairs:
            pair.reset()

    async def tear(self, seconds: float) -> None:
        """End every connection at a random next byte, or after ``seconds``."""
        torn = tuple(self._pairs)
        for pair in torn:
            pair.rest = self._rng.randrange(MAX_TORN_BYTES)
        await asyncio.sleep(seconds)
        for pair in torn:
            pair.reset()

    async def stall(self, seconds: float) -> None:
        """Hold back all data until the last of several stalls is over."""
        self._stalls += 1
        self._flowing.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._stalls -= 1
            if not self._stalls:
                self._flowing.set()

    async def block(self, seconds: float) -> None:
        """Reset every connection, and every new one at once."""
        self._is_blocking = True
        self.cut()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._is_blocking = False

    # One connection.

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        handler = asyncio.create_task(self._handle(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                await self._relay(reader, writer)
        finally:
            _reset(writer)

    async def _relay(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._is_blocking or self.target is None:
            return
        there = socket.socket()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        there.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(there, (HOST, self.target))
        except BaseException:
            there.close()
            raise
        opening = asyncio.open_connection(sock=there, limit=_CHUNK)
        other_reader, other_writer = await make_transport(there, opening, lambda made: _reset(made[1]))
        pair = _Pair(writer, other_writer)
        self._pairs.add(pair)
        try:
            await run_until_first(
                self._pump(reader, other_writer, pair), self._pump(other_reader, writer, pair)
            )
        finally:
            self._pairs.discard(pair)
            await pair.close()

    async def _pump(self, reader: StreamReader, writer: StreamWriter, pair: "_Pair") -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            if writer.is_closing():
                return  # it was reset in the meantime
            writer.write(pair.allowed(data))
            if pair.rest == 0:
                return
            await writer.drain()


class _Pair:
    """The two halves of one connection.

    Attributes:
        rest: How many bytes it still carries; None if there is no end to it.
    """

    def __init__(self, *writers: StreamWriter) -> None:
        self.rest: int | None = None
        self._writers = writers

    def allowed(self, data: bytes) -> bytes:
        """Return the part of the data that may pass."""
        if self.rest is None:
            return data
        data = data[: self.rest]
        self.rest -= len(data)
        return data

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def close(self) -> None:
        """Close both halves after their data; reset those that stall."""
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    for writer in self._writers:
                        writer.close()
                    for writer in self._writers:
                        await writer.wait_closed()
        finally:
            self.reset()


def _reset(writer: StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
