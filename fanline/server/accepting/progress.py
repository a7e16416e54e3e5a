"""Progress of writing: whether a peer with a full write buffer still takes data."""

import asyncio
import socket
import struct
from typing import Final

# Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h).
_TCP_INFO_BYTES_ACKED: Final = 120


def count_acked(transport: asyncio.Transport) -> int | None:
    """Return the kernel's count of bytes that the peer's host has acknowledged; None where there is none."""
    sock = transport.get_extra_info("socket")
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0])
    except (AttributeError, OSError, struct.error):
        return None


def measure_progress(transport: asyncio.Transport) -> int:
    """Return a number that changes whenever the peer has taken data.

    The transport's own buffer is the second choice: it is emptied in large steps, and a slow reader may need
    minutes for one of them.
    """
    acked = count_acked(transport)
    return transport.get_write_buffer_size() if acked is None else acked
