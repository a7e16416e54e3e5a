"""TLS connections and WebSocket frames by hand: only so much of them that the load generator stays cheap.

The receivers never decrypt what they count. A TLS 1.3 record shows its length on the outside::

    17 03 03 LL LL  <LL LL bytes of ciphertext>     of which 17 are the tag and the type, and the rest is data

so the bytes of data are known without the work of getting at them (RFC 8446, 5.2).
"""

import base64
import os
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

RECORD_HEADER: Final = 5
RECORD_OVERHEAD: Final = 17

# The mask of every frame: a client must send one, and this one changes nothing (RFC 6455, 5.3).
_NO_MASK: Final = bytes(4)

TEXT: Final = 0x1
BINARY: Final = 0x2
PONG: Final = 0xA

_READ_SIZE: Final = 1 << 18


class Refused(Exception):
    """A server answered something else than was expected; the text shows what."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and how to verify it.

    Attributes:
        port: Its port on loopback.
        authority: The file with the CA's certificate.
    """

    port: int
    authority: Path

    def context(self) -> ssl.SSLContext:
        """Return what trusts this server, over TLS 1.3 alone."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Stream:
    """A TLS connection that is read and written by blocking calls.

    Args:
        address: Where to connect to.
        context: Made once for many connections, because that is what takes longest.
        source: The last byte of the loopback address to come from; each has ephemeral ports of its own.
        session: A TLS session to go on with.
    """

    def __init__(
        self,
        address: Address,
        context: ssl.SSLContext,
        *,
        source: int = 1,
        session: ssl.SSLSession | None = None,
    ) -> None:
        plain = socket.socket()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Gone at once when it is closed: no TIME_WAIT holds its port.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            plain.bind((f"127.0.0.{source}", 0))
            plain.connect(("127.0.0.1", address.port))
            self.socket = context.wrap_socket(plain, server_hostname="localhost", session=session)
        except BaseException:
            plain.close()
            raise
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it at once, without a word to the peer."""
        self.socket.close()

    @property
    def unread(self) -> int:
        """Bytes that have been received and decrypted, and not been read."""
        return len(self._unread)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Return what comes next.

        Raises:
            Refused: If the connection has ended.
        """
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        data = self.socket.recv(_READ_SIZE)
        if not data:
            raise Refused("the server has closed the connection")
        return data

    def read_until(self, end: bytes) -> bytes:
        """Return everything up to and including ``end``."""
        data = b""
        while end not in data:
            data += self.receive()
        found, _, self._unread = data.partition(end)
        return found + end

    def read_exactly(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        data = b""
        while len(data) < size:
            data += self.receive()
        self._unread = data[size:]
        return data[:size]

    def upgrade(self, path: str, headers: Mapping[str, str]) -> None:
        """Turn it into a WebSocket.

        Raises:
            Refused: If the server does not want to.
        """
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_key()}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())
        answer = self.read_until(b"\r\n\r\n")
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise Refused(answer.decode(errors="replace"))

    def get(self, path: str) -> int:
        """Send a GET request, and return the status of the answer; good for one."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(self.read_until(b"\r\n").split()[1])


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return the WebSocket frame of a client around ``payload``."""
    return frame_header(len(payload), opcode) + payload


def frame_header(size: int, opcode: int = TEXT) -> bytes:
    """Return what comes before the ``size`` bytes of a client's frame."""
    first = bytes([0x80 | opcode])
    if size < 126:
        return first + bytes([0x80 | size]) + _NO_MASK
    if size < 1 << 16:
        return first + b"\xfe" + struct.pack(">H", size) + _NO_MASK
    return first + b"\xff" + struct.pack(">Q", size) + _NO_MASK


def server_header_size(size: int) -> int:
    """Return the length of what comes before the ``size`` bytes of a server's frame."""
    if size < 126:
        return 2
    return 4 if size < 1 << 16 else 10


def _key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


class RecordCounter:
    """Counts the data in a stream of TLS records, by their outsides.

    Args:
        trifles: Sizes of records that are not to be counted: a server's frame headers, where it sends
            these in records of their own.

    Attributes:
        total: Bytes of data in the records that have begun.
        records: How many there were.
    """

    __slots__ = ("_pending", "records", "total", "trifles")

    def __init__(self, trifles: frozenset[int] = frozenset()) -> None:
        self.total = 0
        self.records = 0
        self.trifles = trifles
        self._pending: int | bytes = 0  # bytes to skip, or the part of a header that was there

    def feed(self, received: bytearray, size: int) -> None:
        """Take the next ``size`` bytes of the stream, which lie in ``received`` behind its first few.

        The first :data:`RECORD_HEADER` bytes of ``received`` are room for what was left over.
        """
        position, end = RECORD_HEADER, RECORD_HEADER + size
        if isinstance(self._pending, bytes):
            position -= len(self._pending)
            received[position:RECORD_HEADER] = self._pending
        else:
            position += self._pending
        data = records = 0
        while position + RECORD_HEADER <= end:
            length = received[position + 3] << 8 | received[position + 4]
            position += RECORD_HEADER + length
            records += 1
            if length - RECORD_OVERHEAD not in self.trifles:
                data += length - RECORD_OVERHEAD
        self.total += data
        self.records += records
        self._pending = position - end if position >= end else bytes(received[position:end])


class MarkCounter:
    """Counts what stands once in every message, in what comes on a connection.

    Args:
        mark: What to count.

    Attributes:
        total: How often it came.
        records: In how many pieces.
    """

    __slots__ = ("_mark", "_rest", "records", "total")

    def __init__(self, mark: bytes) -> None:
        self.total = 0
        self.records = 0
        self._mark = mark
        self._rest = b""

    def feed(self, received: bytes) -> int:
        """Take what comes next, and return how often the mark came with it."""
        data = self._rest + received
        self._rest = data[-len(self._mark) + 1 :]  # too short for a mark that was counted
        found = data.count(self._mark)
        self.total += found
        self.records += 1
        return found
