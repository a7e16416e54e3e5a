"""Progress of writing: whether a slow peer still takes data."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Final

# Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h).
_TCP_INFO_BYTES_ACKED: Final = 120


def count_acked(transport: asyncio.Transport) -> int | None:
    """Return how many bytes the peer's host has acknowledged.

    None where the kernel does not count them.
    """
    sock = transport.get_extra_info("socket")
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0])
    except (AttributeError, OSError, struct.error):
        return None


def count_unacked(transport: asyncio.Transport) -> int:
    """Return how many written bytes the peer's host has not acknowledged.

    A slow link has megabytes of them in the kernel of this host. Those in the transport's own buffer are
    counted before they are encrypted.
    """
    size = transport.get_write_buffer_size()
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
    except (AttributeError, OSError):
        return size
    return size + int.from_bytes(queued, sys.byteorder)


def measure_progress(transport: asyncio.Transport) -> int:
    """Return a number that changes whenever the peer has taken data.

    The transport's own buffer is the second choice: it is emptied in large steps, and a slow reader may need
    minutes for one of them.
    """
    acked = count_acked(transport)
    return transport.get_write_buffer_size() if acked is None else acked
