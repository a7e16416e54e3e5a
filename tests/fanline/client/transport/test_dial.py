"""Connecting to a host with several addresses."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import pytest

from fanline.client.transport.dial import Address, Resolve, make_transport, open_socket
from tests.stubs import DEADLINE


class Peer:
    """Addresses of this machine that share a port.

    Attributes:
        port: The port; nothing listens on it at 127.0.0.1.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.port = self.bind("127.0.0.1").getsockname()[1]

    def bind(self, host: str, port: int = 0) -> socket.socket:
        sock = self._stack.enter_context(socket.socket())
        sock.bind((host, port))
        return sock

    def listen(self, host: str) -> socket.socket:
        listening = self.bind(host, self.port)
        listening.listen()
        return listening

    def swallow(self, host: str) -> None:
        """Make an address drop what is sent to it: a full backlog does."""
        listening = self.bind(host, self.port)
        listening.listen(0)
        for _ in range(3):
            filling = self._stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex((host, self.port))

    def resolve(self, *hosts: str) -> Resolve:
        async def answer(_host: str, port: int) -> Sequence[Address]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in hosts]

        return answer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    with ExitStack() as stack:
        yield Peer(stack)


async def test_a_black_hole_does_not_take_all_the_time(peer: Peer) -> None:
    """A name with two addresses of which the first swallows everything connects to the second."""
    peer.swallow("127.0.0.2")
    peer.listen("127.0.0.3")
    async with asyncio.timeout(DEADLINE):
        with await open_socket("name", peer.port, resolve=peer.resolve("127.0.0.2", "127.0.0.3")) as sock:
            assert sock.getpeername() == ("127.0.0.3", peer.port)


async def test_the_first_address_is_preferred(peer: Peer) -> None:
    """While it answers the second one is not tried."""
    first, second = peer.listen("127.0.0.2"), peer.listen("127.0.0.3")
    resolve = peer.resolve("127.0.0.2", "127.0.0.3")
    async with asyncio.timeout(DEADLINE):
        with await open_socket("name", peer.port, resolve=resolve, attempt_delay=DEADLINE) as sock:
            assert sock.getpeername() == first.getsockname()
    second.setblocking(False)
    with pytest.raises(BlockingIOError):
        second.accept()


async def test_an_address_that_refuses_costs_no_time(peer: Peer) -> None:
    """The next one is tried at once."""
    peer.listen("127.0.0.3")
    resolve = peer.resolve("127.0.0.1", "127.0.0.3")
    async with asyncio.timeout(DEADLINE):
        with await open_socket("name", peer.port, resolve=resolve, attempt_delay=2 * DEADLINE) as sock:
            assert sock.getpeername() == ("127.0.0.3", peer.port)


async def test_the_error_is_that_of_the_first_address(peer: Peer) -> None:
    """When none can be reached."""
    with pytest.raises(ConnectionRefusedError):
        await open_socket("name", peer.port, resolve=peer.resolve("127.0.0.1", "127.0.0.3"))
    with pytest.raises(OSError, match="no address"):
        await open_socket("name", peer.port, resolve=peer.resolve())


async def test_a_cancelled_attempt_leaves_nothing(peer: Peer) -> None:
    """Attempts under way end with their caller."""
    peer.swallow("127.0.0.2")
    before = asyncio.all_tasks()
    opening = asyncio.create_task(open_socket("name", peer.port, resolve=peer.resolve("127.0.0.2")))
    while len(asyncio.all_tasks()) < len(before) + 2:
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("is_reused", [False, True])
async def test_a_descriptor_is_closed_once(is_reused: bool) -> None:
    """If a transport failed and closed the descriptor, it is not closed again: it may be another one's."""
    sock = socket.socket()
    descriptor = sock.fileno()
    with ExitStack() as stack:

        async def fail() -> None:
            os.close(descriptor)
            if is_reused:
                assert stack.enter_context(socket.socket()).fileno() == descriptor
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await make_transport(sock, fail(), unexpected)
        assert sock.fileno() == -1
        assert _is_open(descriptor) == is_reused


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def unexpected(made: object) -> None:
    """Fail, because a transport is discarded."""
    pytest.fail(f"{made} was discarded")


async def test_a_socket_without_a_transport_is_closed() -> None:
    """If a transport failed before it had the descriptor, the socket is closed."""

    async def fail() -> None:
        raise ConnectionError

    with socket.socket() as sock:
        with pytest.raises(ConnectionError):
            await make_transport(sock, fail(), unexpected)
        assert sock.fileno() == -1


async def test_a_handshake_is_ended_by_its_socket() -> None:
    """A TLS handshake that is given up is not cancelled half-way, which uvloop reports as a fault of its own.

    It ends at once, because its socket is shut down.
    """
    ours, theirs = socket.socketpair()
    ended: list[type[BaseException]] = []

    async def shake_hands() -> None:
        try:
            await asyncio.open_connection(sock=ours, ssl=ssl.create_default_context(), server_hostname="name")
        except BaseException as error:
            ended.append(type(error))
            raise

    theirs.setblocking(False)
    making = asyncio.create_task(make_transport(ours, shake_hands(), unexpected))
    loop = asyncio.get_running_loop()
    with theirs:
        assert await loop.sock_recv(theirs, 1 << 16)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert ended == [ConnectionResetError]
        assert await loop.sock_recv(theirs, 1 << 16) == b""


async def test_a_transport_that_came_too_late_is_discarded() -> None:
    """A transport is aborted if it was made in the turn in which its task was cancelled."""
    discarded: list[str] = []

    async def make() -> str:
        making.cancel()
        return "a transport"

    with socket.socket() as sock:
        making = asyncio.create_task(make_transport(sock, make(), discarded.append))
        with pytest.raises(asyncio.CancelledError):
            await making
    assert discarded == ["a transport"]
