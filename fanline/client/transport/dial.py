"""Connecting to a host with several addresses (RFC 8305).

Some of them may not answer.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

# Seconds that an address is tried alone before the next one is tried as well (RFC 8305, 5).
ATTEMPT_DELAY: Final = 0.25

# What getaddrinfo() returns: family, type, protocol, canonical name, address.
Address = tuple[int, int, int, str, Any]
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

Made = TypeVar("Made")


async def open_socket(
    host: str, port: int, *, resolve: Resolve | None = None, attempt_delay: float = ATTEMPT_DELAY
) -> socket.socket:
    """Return a socket that is connected to the first answering address.

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


async def make_transport(
    sock: socket.socket, making: Coroutine[Any, Any, Made], discard: Callable[[Made], None]
) -> Made:
    """Make a transport of a socket, or close the socket.

    The socket is closed if this fails or is cancelled. uvloop reports a TLS handshake that is cancelled
    half-way as a fatal error of its own, with a traceback. The socket is therefore shut down instead, and the
    handshake fails at once.

    uvloop then closes the descriptor itself, and does not always tell the socket. Closed once more, it could
    be that of another connection.

    Args:
        sock: A connected socket; owned by the transport from now on.
        making: Makes the transport, and returns what holds it.
        discard: Aborts the transport of what was made, when nothing waits for it any more.

    Raises:
        Exception: Whatever ``making`` raises.
    """
    inode = os.fstat(sock.fileno()).st_ino
    task = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(task)
    except BaseException:
        if not task.done() and _inode_of(sock) == inode:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            discard(outcome)
        elif _inode_of(sock) == inode:
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
    """Cancel needless attempts, and close those that have succeeded."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()
