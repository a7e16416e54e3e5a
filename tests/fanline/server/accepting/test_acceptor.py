"""Accepting: what connections cost of which nothing is known, and what is left when descriptors run out."""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from fanline.security.tls import server_context
from fanline.server import Service, metrics
from fanline.server.accepting.acceptor import RESERVE_CONNECTIONS, AcceptLimits, Acceptor
from fanline.server.accepting.cuts import Cuts
from fanline.server.accepting.entrance import Entrance
from fanline.server.accepting.handshake_queue import HandshakeLimits
from fanline.server.accepting.peer import Peer
from tests.conftest import Dial, StartService, until
from tests.fanline.server.conftest import Echo, Get
from tests.stubs import DEADLINE


def idle(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection on which nothing is said."""
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE, source_address=(source, 0))


def cuts_of(service: Service, reason: str) -> float:
    return service.app.metrics.get_sample_value("fanline_connections_cut_total", {"reason": reason}) or 0


async def test_unfinished_handshakes_of_an_address(
    start_service: StartService, echo: Echo, dial: Dial
) -> None:
    """Handshakes that an address does not finish keep it out, and no other address (line 47)."""
    service = await start_service(echo.open, max_handshakes_per_address=2, handshake_timeout=DEADLINE)
    with contextlib.ExitStack() as opened:
        strangers = [opened.enter_context(idle(service.port, "127.0.0.2")) for _ in range(20)]
        await dial(service, "/echo")
        late = asyncio.ensure_future(dial(service, "/echo", local_addr=("127.0.0.2", 0)))
        await dial(service, "/echo")
        assert not late.done()
        for each in strangers:
            each.close()
        await late


async def test_a_login_frees_the_place_of_a_handshake(
    start_service: StartService, echo: Echo, dial: Dial, get: Get, tls: ssl.SSLContext
) -> None:
    """Open WebSockets, and HTTP connections that were answered, are no handshakes in progress."""
    service = await start_service(echo.open, max_handshakes_per_address=1, handshake_timeout=DEADLINE)
    writers = []
    for _ in range(3):
        await dial(service, "/echo")
        with pytest.raises(InvalidStatus):
            await dial(service, "/echo", password="wrong")
        reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
        writers.append(writer)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert (await get(service, "/page")).status_code == 200
    for writer in writers:
        writer.close()


async def test_silent_strangers_are_counted(start_service: StartService, echo: Echo) -> None:
    """A connection on which no TLS handshake comes is closed in time, and counted."""
    service = await start_service(echo.open, handshake_timeout=0.2)
    with idle(service.port) as stranger:
        stranger.setblocking(False)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.get_running_loop().sock_recv(stranger, 1) == b""
    await until(lambda: cuts_of(service, "handshake") == 1)


async def test_health_without_descriptors(
    start_service: StartService, echo: Echo, dial: Dial, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    """Without file descriptors /healthz is answered, the rest gets 503, and the log has one line.

    Connections that say nothing do not take the last ones.
    """
    with caplog.at_level(logging.ERROR):
        service = await start_service(echo.open, descriptors=0, handshake_timeout=DEADLINE)
        with contextlib.ExitStack() as opened:
            for _ in range(5 * RESERVE_CONNECTIONS):
                opened.enter_context(idle(service.port))
            assert (await get(service, "/healthz")).status_code == 200
            assert (await get(service, "/page")).status_code == 503
            with pytest.raises(InvalidStatus) as refused:
                await dial(service, "/echo")
    assert refused.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert caplog.text.count("no file descriptors are left") == 1
    assert cuts_of(service, "descriptors") >= 5 * RESERVE_CONNECTIONS + 3


class Waiting(asyncio.Protocol):
    """Says nothing, and leaves its peer when the connection is lost."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_lost(self, exc: Exception | None) -> None:
        self.peer.leave()


class Exhausted(socket.socket):
    """A listening socket that cannot accept at first, because the process has no descriptor."""

    has_failed = False

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self.has_failed:
            self.has_failed = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@asynccontextmanager
async def accepting(cert_dir: Path) -> AsyncIterator[tuple[Acceptor, int]]:
    """Accept connections at a port, of which one handshake may be in progress."""
    listening = Exhausted()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    handshakes = HandshakeLimits(running=1, running_per_network=1, waiting=1, waiting_per_network=1)
    limits = AcceptLimits(
        handshakes=handshakes, timeout=DEADLINE, descriptors=100_000, is_proxy=lambda _: False
    )
    acceptor = Acceptor(
        [Entrance(listening, lambda: server_context(cert_dir))],
        limits,
        make_protocol=Waiting,
        make_reserve_protocol=Waiting,
        cuts=Cuts(metrics.new_registry()),
    )
    yield acceptor, listening.getsockname()[1]
    acceptor.stop()
    await acceptor.abort()
    await acceptor.wait_closed()


async def test_accepts_again_after_descriptors_ran_out(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """When the system has no descriptor at all, accepting rests, and goes on."""
    async with accepting(cert_dir) as (acceptor, port):
        _, writer = await asyncio.open_connection("localhost", port, ssl=tls)
        assert acceptor.check(0)
        assert not acceptor.check(0)
        writer.close()


async def test_refuses_what_waits_too_long(cert_dir: Path) -> None:
    """A connection that waits for the handshakes of others is closed in time."""
    loop = asyncio.get_running_loop()
    async with accepting(cert_dir) as (acceptor, port):
        with idle(port), idle(port) as second, idle(port) as third:
            for each in (second, third):
                each.setblocking(False)
            assert await loop.sock_recv(third, 1) == b""
            acceptor.check(loop.time() + DEADLINE + 1)
            assert await loop.sock_recv(second, 1) == b""
