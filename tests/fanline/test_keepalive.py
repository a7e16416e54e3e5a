"""The kernel's probes, on real TCP connections."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from fanline.keepalive import MAX_SECONDS, PROBES, probe


@pytest.fixture
async def transport() -> AsyncIterator[asyncio.WriteTransport]:
    """One end of a TCP connection."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield writer.transport
        writer.close()


@pytest.mark.parametrize(
    ("ping_interval", "silence_limit", "idle", "interval"),
    [(20, 30, 20, 10), (0.2, 0.2, 1, 1), (86_400, 86_400, MAX_SECONDS, 28_800)],
)
async def test_host_is_probed(
    transport: asyncio.WriteTransport, ping_interval: float, silence_limit: float, idle: int, interval: int
) -> None:
    """The settings for pings become the times of the probes, in what the kernel can count (line 8)."""
    probe(transport, ping_interval=ping_interval, silence_limit=silence_limit)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == interval
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == PROBES


async def test_lost_connection(transport: asyncio.WriteTransport) -> None:
    """On a connection that is gone already nothing happens."""
    transport.abort()
    await asyncio.sleep(0)
    probe(transport, ping_interval=20, silence_limit=30)
