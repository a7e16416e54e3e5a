"""Connect to a host with several addresses, of which some may not answer (RFC 8305)."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

# Seconds that an address is tried alone before the next one is tried as well (RFC 8305, 5).
ATTEMPT_DELAY: Final = 0.25

# What getaddrinfo() returns: family, type, protocol, canonical name, address.
Address = tuple[int, int, int, str, Any]
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def open_socket(
    host: str, port: int, *, resolve: Resolve | None = None, attempt_delay: float = ATTEMPT_DELAY
) -> socket.socket:
    """Return a socket that is connected to the first address of a host that answers.

    Event loops try the addresses one after the other, and uvloop ignores ``happy_eyeballs_delay``: the first
    one that drops packets takes all of the time.

    Args:
        host: Name or address.
        port: Port.
        resolve: Returns the addresses; None asks the system.
        attempt_delay: Seconds that an address is tried before the next one is tried as well.

    Raises:
        OSError: If no address can be reached; that of the first one.
    """
    addresses = deque(await (resolve or _ask_system)(host, port))
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (addresses or not all(attempt.done() for attempt in attempts)):
            if addresses:
                attempts.append(asyncio.create_task(_connect(addresses.popleft())))
            pending = [attempt for attempt in attempts if not attempt.done()]
            timeout = attempt_delay if addresses else None
            await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            winner = next((each for each in attempts if each.done() and each.exception() is None), None)
    finally:
        await _discard([attempt for attempt in attempts if attempt is not winner])
    if winner is not None:
        return winner.result()
    raise next((error for each in attempts if (error := each.exception())), OSError("it has no address"))


@contextmanager
def lent(sock: socket.socket) -> Iterator[None]:
    """Close a socket if the block, which makes a transport of it, fails or is cancelled.

    uvloop then closes the descriptor itself, and does not always tell the socket. Closed once more, it could
    be that of another connection.
    """
    inode = os.fstat(sock.fileno()).st_ino
    try:
        yield
    except BaseException:
        if _inode_of(sock) == inode:
            sock.close()
        else:
            sock.detach()
        raise


def _inode_of(sock: socket.socket) -> int | None:
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return None


async def _ask_system(host: str, port: int) -> Sequence[Address]:
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _discard(attempts: Sequence[asyncio.Task[socket.socket]]) -> None:
    """Cancel attempts that are not needed any more, and close those that have succeeded."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()
