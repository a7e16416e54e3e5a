"""The way to an open connection, and back to it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Coroutine, Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.errors import Disconnected
from fanline.protocol import Dialect
from fanline.security.tls import server_context
from tests.fanline.client.transport.connection.conftest import (
    LOGIN,
    Attempts,
    Watch,
    link_to,
    listen,
    running,
)
from tests.stubs import DEADLINE, PASSWORD, USER, Stub

T = TypeVar("T")


async def test_hands_over_an_open_connection(stub: Stub, tls: ssl.SSLContext) -> None:
    """The session gets a connection to the path of the URL, logged in and speaking v1."""
    link = link_to(stub, tls)

    async def greet(connection: ClientConnection) -> None:
        assert link.connected
        assert link.problem is None
        assert link.dialect is Dialect.V1
        await connection.send("hello")
        await listen(connection)

    async with running(link, greet):
        await stub.until(lambda: stub.frames == [b"hello"])
    assert stub.paths == ["/path"]
    assert stub.logins == [(USER, PASSWORD)]


async def test_speaks_plain_to_who_does_not_choose_v1(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that picks no subprotocol is spoken to in the plain dialect (line 9)."""
    stub.speaks_v1 = False
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    async with running(link):
        await watch.until(lambda: link.connected)
        assert link.dialect is Dialect.PLAIN


async def test_learns_the_dialect_again_after_a_reconnect(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that was replaced by one of the other dialect is spoken to in that."""
    stub.speaks_v1 = False
    dialects: list[Dialect] = []
    link = link_to(stub, tls)

    async def note(connection: ClientConnection) -> None:
        dialects.append(link.dialect)
        await connection.send("noted")
        await listen(connection)

    async with running(link, note):
        await stub.until(lambda: len(stub.frames) == 1)
        stub.speaks_v1 = True
        stub.drop()
        await stub.until(lambda: len(stub.frames) == 2)
    assert dialects == [Dialect.PLAIN, Dialect.V1]


async def test_connects_whenever_the_peer_appears(stub: Stub, tls: ssl.SSLContext) -> None:
    """The order in which two sides start does not matter."""
    await stub.stop()
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    assert link.problem == f"{stub.url}/path is not connected yet"
    async with running(link):
        await watch.until(lambda: watch.states != [])
        assert not link.connected
        await stub.start()
        await watch.until(lambda: link.connected)
    assert watch.states == [f"{stub.url}/path cannot be reached: connection refused", None]


async def test_reports_each_problem_once(stub: Stub, tls: ssl.SSLContext) -> None:
    """A peer that stays away is reported when it goes, not at every attempt."""
    await stub.stop()
    watch = Watch()
    attempts = Attempts()
    async with running(link_to(stub, tls, on_state=watch, backoff=attempts)):
        await attempts.until(3)
    assert len(watch.states) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4008, 4009])
async def test_reconnects_when_closed_for_now(stub: Stub, tls: ssl.SSLContext, code: int) -> None:
    """A close code that is not 1008 means: come back."""
    watch = Watch()
    async with running(link_to(stub, tls, on_state=watch)):
        await stub.until(lambda: len(stub.connections) == 1)
        await stub.close(code, "because")
        await stub.until(lambda: len(stub.paths) == 2)
        await watch.until(lambda: len(watch.states) == 3)
    assert watch.states == [None, f"{stub.url}/path has closed the connection: {code}, because", None]


async def test_reconnects_when_dropped(stub: Stub, tls: ssl.SSLContext) -> None:
    """A connection that breaks without a word is made again."""
    async with running(link_to(stub, tls)):
        for count in range(1, 4):
            await stub.until(lambda: len(stub.paths) == count and len(stub.connections) == 1)  # noqa: B023 - used at once
            stub.drop()


async def break_after_tls(listening: socket.socket, cert_dir: Path) -> None:
    """Send the server's half of the TLS handshake and a reset to one client, which finds both at once."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server_context(cert_dir).wrap_bio(incoming, outgoing, server_side=True)
    loop = asyncio.get_running_loop()
    sock, _ = await loop.sock_accept(listening)
    with sock:
        incoming.write(await loop.sock_recv(sock, 1 << 16))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.send(outgoing.read())


def late_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
    **options: Any,
) -> asyncio.Future[T]:
    """Return a task that ends some turns of the event loop after its coroutine."""

    async def run() -> T:
        result = await cast("Coroutine[Any, Any, T]", coroutine)
        for _ in range(10):
            await asyncio.sleep(0)
        return result

    return asyncio.Task(run(), loop=loop, **options)


async def test_reconnects_when_lost_before_the_handshake(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """A connection that breaks between TLS and the WebSocket handshake is made again."""
    watch = Watch()
    asyncio.get_running_loop().set_task_factory(late_task)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"wss://localhost:{listening.getsockname()[1]}"
        link = ReconnectingConnection(url, login=LOGIN, tls=tls, on_state=watch, backoff=Attempts())
        async with running(link) as task, asyncio.timeout(DEADLINE):
            for _ in range(3):
                breaking = asyncio.create_task(break_after_tls(listening, cert_dir))
                await asyncio.wait([breaking, task], return_when=asyncio.FIRST_COMPLETED)
                assert not task.done()
    assert watch.states == [f"{url} cannot be reached: connection reset by peer"]


@pytest.mark.parametrize("is_busy", [False, True])
async def test_reconnects_when_the_peer_is_silent(stub: Stub, tls: ssl.SSLContext, is_busy: bool) -> None:
    """A peer that has vanished is given up, also while data waits to be written to it.

    This is a busy link to a host that vanished: the ping waited behind the data for as long as TCP did.
    """
    problems: list[str | None] = []
    link = link_to(stub, tls, ping_interval=0.1, silence_limit=0.2, on_state=problems.append)

    async def talk(connection: ClientConnection) -> None:
        await connection.send("hello")
        await stub.until(lambda: len(stub.frames) == len(stub.paths))
        stub.deafen()
        while is_busy:
            await connection.send("x" * 100_000)
        await connection.wait_closed()

    async with running(link, talk):
        await stub.until(lambda: len(stub.paths) >= 2)
    assert f"{stub.url}/path has been silent for more than 0.3 s" in problems


@pytest.mark.parametrize("speaks_v1", [False, True])
async def test_the_kernel_gives_up_a_vanished_host(stub: Stub, tls: ssl.SSLContext, speaks_v1: bool) -> None:
    """Data that is not taken closes a connection in bounded time, unless the peer is an original one."""
    stub.speaks_v1 = speaks_v1
    timeouts: list[int] = []
    link = link_to(stub, tls, ping_interval=5, silence_limit=30)

    async def look(connection: ClientConnection) -> None:
        sock = connection.transport.get_extra_info("socket")
        timeouts.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        await connection.send("seen")
        await listen(connection)

    async with running(link, look):
        await stub.until(lambda: len(stub.frames) == 1)
    assert timeouts == [35_000 if speaks_v1 else 0]


async def test_reconnects_after_a_session_gave_up(stub: Stub, tls: ssl.SSLContext) -> None:
    """A session that returns or raises Disconnected is followed by the next; the reason is kept."""
    watch = Watch()
    link = link_to(stub, tls, on_state=watch)
    sessions = 0

    async def give_up(connection: ClientConnection) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 1:
            raise Disconnected("the server talks nonsense")
        if sessions > 2:
            await listen(connection)

    async with running(link, give_up):
        await watch.until(lambda: sessions == 3)
    assert watch.states[:3] == [None, "the server talks nonsense", None]
    assert watch.states[3] == f"{stub.url}/path has closed the connection: 1000"


@pytest.mark.parametrize("status", [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])
async def test_reconnects_to_an_overloaded_peer(stub: Stub, tls: ssl.SSLContext, status: HTTPStatus) -> None:
    """A status that time can heal is no reason to give up."""
    stub.answer = status
    watch = Watch()
    async with running(link_to(stub, tls, on_state=watch)):
        await watch.until(lambda: watch.states != [])
        stub.answer = None
        await watch.until(lambda: watch.states[-1] is None)
    said = f"HTTP {status.value}, as the script says"
    assert watch.states == [f"{stub.url}/path cannot serve at present: {said}", None]


async def test_reconnects_to_what_is_no_websocket_server(tls: ssl.SSLContext) -> None:
    """Something that talks another protocol is a passing state: a service is perhaps being replaced."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 not what you think\r\n")
        writer.close()

    watch = Watch()
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
        link = ReconnectingConnection(url, login=LOGIN, tls=tls, on_state=watch)
        async with running(link):
            await watch.until(lambda: watch.states != [])
    assert str(watch.states[0]).startswith(f"{url} cannot be reached: [SSL")
