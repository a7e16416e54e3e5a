"""TCP's own keepalive: finds out that a host is gone where a ping would find out nothing.

A program that never reads from a connection, as the original Go services do where they have only to send,
answers no ping on it. The kernel of its host answers the probes of TCP all the same.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Final

PROBES: Final = 3

# The most that the kernel takes for a time.
MAX_SECONDS: Final = 32_767


def probe(transport: asyncio.BaseTransport, *, ping_interval: float, silence_limit: float) -> None:
    """Have the kernel end a connection whose host does not answer.

    Args:
        transport: The connection; nothing happens if it is lost already.
        ping_interval: Seconds of silence after which the host is probed.
        silence_limit: Seconds without an answer after which the connection is lost. Both are rounded to
            what the kernel counts in, seconds.
    """
    sock = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):  # not every system has names for these times
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _seconds(ping_interval))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _seconds(silence_limit / PROBES))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def _seconds(value: float) -> int:
    return min(max(1, round(value)), MAX_SECONDS)
