"""Connections that begin with a PROXY protocol header, read before TLS."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fanline.server.accepting.entrance import Entrance
from fanline.server.accepting.proxy_header import MAX_REST, MalformedHeader, ProxyHeader

# Of what has come, so much is looked at; what is behind the header stays for TLS.
_PEEKED: Final = MAX_REST

Address = tuple[str, int]


@dataclass(slots=True)
class Proxied:
    """A connection whose header has not been read.

    Attributes:
        sock: The connection.
        address: Of the proxy.
        entrance: Where it was accepted.
        since: When, in the event loop's time.
        header: What has come of the header.
    """

    sock: socket.socket
    address: Address
    entrance: Entrance
    since: float
    header: ProxyHeader = field(default_factory=ProxyHeader)


class ProxiedConnections:
    """Reads the headers of connections.

    Args:
        admit: Takes a connection whose header was read, with the address of the client.
        refuse: Takes one that has no good header, and why.
        limit: How many headers may be awaited.
    """

    def __init__(
        self,
        admit: Callable[[Proxied, Address], None],
        refuse: Callable[[Proxied, str], None],
        limit: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._admit = admit
        self._refuse = refuse
        self._limit = limit
        self._awaited: dict[socket.socket, Proxied] = {}  # in the order in which they came

    def add(self, proxied: Proxied) -> None:
        """Read the header of a connection."""
        if len(self._awaited) >= self._limit:
            self._refuse(proxied, "too many headers of the PROXY protocol are awaited")
            return
        proxied.sock.setblocking(False)
        self._awaited[proxied.sock] = proxied
        self._loop.add_reader(proxied.sock, self._read, proxied)

    def expire(self, before: float) -> None:
        """Refuse the connections whose headers have been awaited since before a time."""
        for proxied in list(self._awaited.values()):
            if proxied.since > before:
                return
            self._forget(proxied)
            self._refuse(proxied, "the header of the PROXY protocol did not come in time")

    def _read(self, proxied: Proxied) -> None:
        try:
            seen = proxied.sock.recv(_PEEKED, socket.MSG_PEEK)
            taken = proxied.header.take(seen)
            proxied.sock.recv(taken)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, MalformedHeader) as error:
            self._forget(proxied)
            self._refuse(proxied, str(error))
            return
        if proxied.header.is_complete:
            self._forget(proxied)
            self._admit(proxied, proxied.header.source or proxied.address)
        elif not seen:
            self._forget(proxied)
            self._refuse(proxied, "the connection ended before its header of the PROXY protocol")

    def _forget(self, proxied: Proxied) -> None:
        del self._awaited[proxied.sock]
        self._loop.remove_reader(proxied.sock)
