"""Signs of life of one WebSocket: which peers are pinged, and which are cut."""

import asyncio
import socket
import struct
from collections.abc import Hashable

import pytest
from websockets.frames import Frame, Opcode

from fanline.security.logins import VerifiedLogin
from fanline.server import Opening, metrics
from fanline.server.accepting.cuts import Cuts
from fanline.server.accepting.peer import Peer
from fanline.server.channels.limits import Limits
from fanline.server.front.connections import OpenConnections
from fanline.server.websocket.frames import PING, PONG
from tests.fanline.server.conftest import EchoHandler
from tests.stubs import DEADLINE


class FakeSocket:
    """A socket that knows how many bytes its peer has acknowledged, or does not."""

    def __init__(self, acked: int | None) -> None:
        self.acked = acked

    def getsockopt(self, *_: int) -> bytes:
        if self.acked is None:
            raise OSError
        return bytes(120) + struct.pack("=Q", self.acked)


class FakeTransport(asyncio.Transport):
    """A transport that records what happens to it."""

    def __init__(self, acked: int | None, sock: socket.socket | None = None) -> None:
        self.sock = FakeSocket(acked)
        super().__init__({"socket": sock or self.sock})
        self.written = b""
        self.is_read = True
        self.unwritten = 0
        self.aborted = asyncio.Event()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unwritten

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted.set()


class NoAdmission:
    """Counts nothing."""

    def end_handshake(self, network: Hashable) -> None:
        pass

    def forget(self) -> None:
        pass


def make_peer() -> Peer:
    """Return the other side of a connection that there is not."""
    with socket.socket() as closed:
        return Peer(closed, ("192.0.2.1", 4711), None, NoAdmission())


async def keep_login(login: VerifiedLogin, token: str) -> VerifiedLogin:
    del token
    return login


def open_connections() -> OpenConnections:
    """Return the set of connections of a service, empty."""
    limits = Limits(
        max_frame=1_000, write_buffer=65_536, close_timeout=1_000, ping_interval=20, silence_limit=30,
        max_unfinished=65_536,
        max_unread=65_536,
    )  # fmt: skip
    return OpenConnections(limits, 1, Cuts(metrics.new_registry()), keep_login)


class Holding(EchoHandler):
    """Takes no more frames after the first."""

    def on_frame(self, payload: bytes) -> None:
        self.connection.pause_reading()


@pytest.mark.parametrize(
    ("acked", "later", "is_alive"), [(7, 7, False), (7, 9, True), (None, None, True)], ids=str
)
async def test_finds_a_dead_peer_that_is_not_read(
    acked: int | None, later: int | None, is_alive: bool
) -> None:
    """A peer that is not read from is pinged; its host must acknowledge that, where the kernel can tell."""
    transport, now = FakeTransport(acked), asyncio.get_running_loop().time()
    connections = open_connections()
    connection = connections.accept(transport, Opening(make_handler=Holding), make_peer())
    connection.data_received(Frame(Opcode.TEXT, b"x").serialize(mask=True) * 20)
    assert not transport.is_read
    connections.check_lives(now + 21)
    assert transport.written == PING
    transport.sock.acked = later
    connections.check_lives(now + 52)
    assert connection.is_open == is_alive


async def test_a_dead_peer_is_not_waited_for() -> None:
    """A member whose host has vanished was shown 10 s longer, in which it might have closed."""
    transport, now = FakeTransport(None), asyncio.get_running_loop().time()
    connections = open_connections()
    connections.accept(transport, Opening(make_handler=EchoHandler), make_peer())
    for seconds in (21, 52):
        connections.check_lives(now + seconds)
    async with asyncio.timeout(DEADLINE):
        await transport.aborted.wait()


async def test_a_slow_link_that_delays_a_ping_is_left_alone() -> None:
    """A member who resumed 11 MB at a steady 40 KB/s was cut: the ping was not even on its way after 30 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.connect(listener.getsockname())
        writer, _ = listener.accept()
        with writer:
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
            writer.sendall(b"x" * 400_000)
            transport, now = FakeTransport(None, writer), asyncio.get_running_loop().time()
            connections = open_connections()
            connection = connections.accept(transport, Opening(make_handler=EchoHandler), make_peer())
            connections.check_lives(now + 21)
            for seconds in (50, 79):
                reader.recv(100_000, socket.MSG_WAITALL)
                connections.check_lives(now + seconds)
            assert connection.is_open
            for seconds in (110, 145):  # the kernel may have taken a little more before the first
                connections.check_lives(now + seconds)
            assert not connection.is_open


@pytest.mark.parametrize("later", [b"", b"x"], ids=["empty", "small"])
async def test_a_message_in_endless_fragments_is_given_up(later: bytes) -> None:
    """A peer kept its place, and memory, by fragments that say nothing, and pongs that were not asked for."""
    transport, now = FakeTransport(None), asyncio.get_running_loop().time()
    connections = open_connections()
    connection = connections.accept(transport, Opening(make_handler=EchoHandler), make_peer())
    connection.data_received(Frame(Opcode.TEXT, later, fin=False).serialize(mask=True))
    for seconds in range(0, 40, 10):
        assert connection.is_open
        connections.check_lives(now + seconds)
        connection.data_received(Frame(Opcode.CONT, later, fin=False).serialize(mask=True))
        connection.data_received(Frame(Opcode.PONG, b"").serialize(mask=True))
    connections.check_lives(now + 40)
    assert not connection.is_open


async def test_each_message_has_its_own_time_to_arrive() -> None:
    """A peer that is found with a part of a message each time is left alone, if it is always of another."""
    transport, now = FakeTransport(None), asyncio.get_running_loop().time()
    connections = open_connections()
    connection = connections.accept(transport, Opening(make_handler=Holding), make_peer())
    pong = Frame(Opcode.PONG, b"xy").serialize(mask=True)
    parts = [Frame(Opcode.TEXT, b"x", fin=False), Frame(Opcode.CONT, b"xy")]
    message = b"".join(frame.serialize(mask=True) for frame in parts)
    connection.data_received(message[:-1])
    for seconds in range(0, 100, 10):
        connections.check_lives(now + seconds)
        connection.data_received(
            (message[-1:] + pong[:-1]) if seconds % 20 == 0 else (pong[-1:] + message[:-1])
        )
    assert connection.is_open


async def test_an_idle_one_way_peer_is_sent_pongs() -> None:
    """A proxy cut a plain publisher after a minute of silence, and its next message was lost silently.

    It need not read them, and none is sent while the last one has not left.
    """
    transport, now = FakeTransport(0), asyncio.get_running_loop().time()
    connections = open_connections()
    opening = Opening(make_handler=EchoHandler, is_one_way=True)
    connection = connections.accept(transport, opening, make_peer())
    for seconds in range(0, 110, 10):
        connections.check_lives(now + seconds + 1)
    assert transport.written == PONG * 3
    transport.unwritten = 1
    connections.check_lives(now + 200)
    assert transport.written == PONG * 3
    assert connection.is_open
