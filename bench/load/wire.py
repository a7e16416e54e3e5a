"""TLS connections and WebSocket frames for a cheap load generator.

They are only just complete enough. Receivers count most data without decrypting it, because a TLS 1.3 record
shows its length (RFC 8446, 5.2)::

    17 03 03 LL LL  <LL LL bytes of ciphertext>     of which 17 are the tag and the type, and the rest is data
"""

import base64
import os
import socket
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

RECORD_HEADER: Final = 5
RECORD_OVERHEAD: Final = 17

# A client must mask its frames; this mask changes nothing (RFC 6455, 5.3).
_NO_MASK: Final = bytes(4)

TEXT: Final = 0x1
BINARY: Final = 0x2
PONG: Final = 0xA

_READ_SIZE: Final = 1 << 18


class Refused(Exception):
    """A server gave an unexpected answer; the text shows it."""


class Address(NamedTuple):
    """An address of a server, and how to verify the server.

    Attributes:
        port: Its port on loopback.
        authority: The file with the CA's certificate.
    """

    port: int
    authority: Path

    def context(self) -> ssl.SSLContext:
        """Return a TLS 1.3 context that trusts this server alone."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Stream:
    """A blocking TLS connection.

    Args:
        address: The server.
        context: Made once for many connections, because making it takes longest.
        source: Last byte of the loopback address to connect from; each has ephemeral ports of its own.
    """

    def __init__(self, address: Address, context: ssl.SSLContext, *, source: int = 1) -> None:
        plain = socket.socket()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Reset on close: no TIME_WAIT holds the port.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            plain.bind((f"127.0.0.{source}", 0))
            plain.connect(("127.0.0.1", address.port))
            self.socket = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Reset the connection."""
        self.socket.close()

    @property
    def unread(self) -> int:
        """Bytes that are decrypted and not read yet."""
        return len(self._unread)

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next received bytes.

        Raise :exc:`Refused` at the end of the connection.
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
        """Upgrade to a WebSocket; raise :exc:`Refused` with any other answer than 101."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        key = base64.b64encode(os.urandom(16)).decode()
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())
        answer = self.read_until(b"\r\n\r\n")
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise Refused(answer.decode(errors="replace"))

    def get(self, path: str) -> int:
        """Send the connection's only request, a GET; return the status."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(self.read_until(b"\r\n").split()[1])


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's WebSocket frame around ``payload``."""
    size, first = len(payload), bytes([0x80 | opcode])
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + struct.pack(">H", size) if size < 1 << 16 else b"\xff" + struct.pack(">Q", size)
    return first + length + _NO_MASK + payload


def server_header_size(size: int) -> int:
    """Return the header's length of a server's frame with ``size`` bytes."""
    if size < 126:
        return 2
    return 4 if size < 1 << 16 else 10


class RecordCounter:
    """Counts the data in a stream of TLS records without decrypting it.

    Args:
        ignored: Sizes of records that do not count: frame headers in records of their own.

    Attributes:
        total: Bytes of data in the records that have begun.
        records: Number of these records.
    """

    __slots__ = ("_ignored", "_pending", "records", "total")

    def __init__(self, ignored: frozenset[int] = frozenset()) -> None:
        self.total = 0
        self.records = 0
        self._ignored = ignored
        self._pending: int | bytes = 0  # bytes to skip, or the first part of a header

    def feed(self, received: bytearray, size: int) -> None:
        """Count the next ``size`` bytes of the stream.

        They are in ``received`` after its first :data:`RECORD_HEADER` bytes, which are overwritten.
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
            if length - RECORD_OVERHEAD not in self._ignored:
                data += length - RECORD_OVERHEAD
        self.total += data
        self.records += records
        self._pending = position - end if position >= end else bytes(received[position:end])


class MarkCounter:
    """Counts the occurrences of a mark in a stream of decrypted bytes.

    Args:
        mark: Bytes that every message has once.

    Attributes:
        total: Occurrences so far.
        records: Number of :meth:`feed` calls.
    """

    __slots__ = ("_mark", "_rest", "records", "total")

    def __init__(self, mark: bytes) -> None:
        self.total = 0
        self.records = 0
        self._mark = mark
        self._rest = b""

    def feed(self, received: bytes) -> int:
        """Count and return the marks in the next bytes.

        A mark counts where it ends.
        """
        data = self._rest + received
        self._rest = data[-len(self._mark) + 1 :]  # too short for a whole mark
        found = data.count(self._mark)
        self.total += found
        self.records += 1
        return found
