"""TCP keepalive and timeouts, by which the kernel detects dead hosts.

WebSocket pings cannot, or too late. A program that never reads from a connection, as the original Go services
do where they only send, answers no ping. The kernel of its host answers TCP probes nevertheless:
:func:`probe`. To a host that vanished while data is on the way to it, TCP repeats the data for 15 minutes,
unless :func:`bound_delivery` says otherwise.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Final

PROBES: Final = 3

# Largest time that the kernel accepts.
MAX_SECONDS: Final = 32_767


def probe(transport: asyncio.BaseTransport, *, ping_interval: float, silence_limit: float) -> None:
    """Make the kernel close a connection whose host does not answer.

    Args:
        transport: The connection; ignored if it is closed already.
        ping_interval: Seconds of silence after which the host is probed.
        silence_limit: Seconds without an answer after which the connection is closed. Both are rounded to
            whole seconds, as the kernel counts.
    """
    sock = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):  # some systems lack these options
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _seconds(ping_interval))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _seconds(silence_limit / PROBES))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def bound_delivery(sock: socket.socket, seconds: float) -> None:
    """Make the kernel close a connection whose peer takes nothing.

    The option is that of RFC 5482.

    Args:
        sock: The connection, or a listening socket, whose connections inherit it.
        seconds: How long the peer, or its host, may take nothing.
    """
    with suppress(OSError, AttributeError):  # some systems lack this option
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(min(seconds, MAX_SECONDS) * 1_000))


def _seconds(value: float) -> int:
    return min(max(1, round(value)), MAX_SECONDS)
