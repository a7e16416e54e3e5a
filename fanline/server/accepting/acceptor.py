"""The acceptor: takes connections and begins TLS, within limits for strangers.

Before its first request is answered, or its login is right, a connection counts as a handshake in progress:
so many in all, and so many of one network (in IPv6 a /64). Further ones wait, in turn by network.

When file descriptors run out, a few are kept: for connections of which each gets ``/healthz`` and nothing
else, and of which the oldest is closed when there are too many.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from fanline.addresses import UNIX_PEER
from fanline.security.guesses import network
from fanline.server.accepting.cuts import Cut, Cuts
from fanline.server.accepting.entrance import Entrance
from fanline.server.accepting.handshake_queue import HandshakeLimits, HandshakeQueue
from fanline.server.accepting.peer import Peer
from fanline.server.accepting.proxied import Proxied, ProxiedConnections
from fanline.settings import Settings

logger = logging.getLogger(__name__)

# Connections accepted before what is open gets its turn.
ACCEPTS_AT_ONCE: Final = 64

# Connections that are served when descriptors run out, and descriptors that are kept for them, for all
# services of a process, and for files and outgoing connections.
RESERVE_CONNECTIONS: Final = 8
RESERVE_DESCRIPTORS: Final = 64

# Seconds that accepting rests when the system has no descriptor at all, and between two lines about it.
REST_SECONDS: Final = 0.5
SECONDS_BETWEEN_LINES: Final = 60.0

MakeProtocol = Callable[[Peer], asyncio.Protocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptLimits:
    """Limits of the connections of which nothing is known.

    Attributes:
        handshakes: How many handshakes there may be.
        timeout: Seconds for the TLS handshake, and before it for waiting.
        descriptors: Descriptors that the process may have open.
        is_proxy: Returns whether an address is that of a trusted proxy, whose handshakes have no limit of
            their own.
    """

    handshakes: HandshakeLimits
    timeout: float
    descriptors: int
    is_proxy: Callable[[str], bool]

    @classmethod
    def from_settings(
        cls, settings: Settings, descriptors: int | None, is_proxy: Callable[[str], bool]
    ) -> "AcceptLimits":
        """Return the settings' limits, lowered where the process may open few files."""
        if descriptors is None:
            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        share = descriptors // 4
        handshakes = HandshakeLimits(
            running=min(settings.max_handshakes, share),
            running_per_network=min(settings.max_handshakes_per_address, share),
            waiting=share,
            waiting_per_network=share // 2,
        )
        return cls(
            handshakes=handshakes,
            timeout=settings.handshake_timeout,
            descriptors=descriptors,
            is_proxy=is_proxy,
        )

    @property
    def last_descriptor(self) -> int:
        """The descriptor from which on those that are left are kept."""
        return self.descriptors - min(RESERVE_DESCRIPTORS, self.descriptors // 4)


class Arrival(NamedTuple):
    """A connection that was accepted, and on which nothing has begun.

    Attributes:
        peer: The other side.
        entrance: Where it was accepted.
    """

    peer: Peer
    entrance: Entrance


class Acceptor:
    """Accepts connections until it is closed.

    Args:
        entrances: Sockets that listen; owned from now on.
        limits: What strangers may cost.
        make_protocol: Makes the protocol of a connection.
        make_reserve_protocol: Likewise, when descriptors run out.
        cuts: Counts the connections that are refused or cut.
    """

    def __init__(
        self,
        entrances: Sequence[Entrance],
        limits: AcceptLimits,
        *,
        make_protocol: MakeProtocol,
        make_reserve_protocol: MakeProtocol,
        cuts: Cuts,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._entrances = entrances
        self._limits = limits
        self._make_protocol = make_protocol
        self._make_reserve_protocol = make_reserve_protocol
        self._cuts = cuts
        self._handshakes: HandshakeQueue[Arrival] = HandshakeQueue(self._begin, limits.handshakes)
        self._proxied = ProxiedConnections(
            lambda proxied, address: self._admit(proxied.sock, address, proxied.entrance),
            self._refuse_proxied,
            limits.handshakes.waiting,
        )
        self._reserve: deque[Peer] = deque()
        self._beginning: dict[asyncio.Task[Any], Peer] = {}
        self._open = 0
        self._is_exhausted = False
        self._line_at = float("-inf")
        self._all_closed: asyncio.Future[None] | None = None
        for entrance in entrances:
            entrance.listening.setblocking(False)
            self._loop.add_reader(entrance.listening, self._accept, entrance)

    def check(self, now: float) -> bool:
        """Refuse the connections that have waited too long.

        To be called about once a second.

        Args:
            now: The event loop's time.

        Returns:
            Whether descriptors have run out since the last call.
        """
        for arrival in self._handshakes.expire(now - self._limits.timeout):
            self._refuse(arrival.peer, Cut.HANDSHAKES)
        self._proxied.expire(now - self._limits.timeout)
        was_exhausted, self._is_exhausted = self._is_exhausted, False
        return was_exhausted

    def stop(self) -> None:
        """Accept no more connections."""
        for entrance in self._entrances:
            if entrance.listening.fileno() >= 0:
                self._loop.remove_reader(entrance.listening)
                entrance.listening.close()
        self._proxied.expire(float("inf"))
        for arrival in self._handshakes.expire(float("inf")):
            self._refuse(arrival.peer, Cut.HANDSHAKES)

    async def wait_closed(self) -> None:
        """Wait until all connections are lost."""
        if self._open:
            self._all_closed = self._loop.create_future()
            await self._all_closed

    async def abort(self) -> None:
        """Abort the TLS handshakes in progress.

        uvloop reports one that is cancelled half-way as a fatal error: they fail because their sockets are
        shut down.
        """
        for peer in self._beginning.values():
            with suppress(OSError):  # it is closed already
                peer.sock.shutdown(socket.SHUT_RDWR)
        await asyncio.gather(*self._beginning, return_exceptions=True)

    # The interface Admission.

    def end_handshake(self, network: Hashable) -> None:
        """Note the end of a handshake, and begin another."""
        self._handshakes.end(network)

    def forget(self) -> None:
        """Note the end of a connection."""
        self._open -= 1
        if not self._open and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    # Steps.

    def _accept(self, entrance: Entrance) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, address = entrance.listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(entrance, error)
                return
            self._open += 1
            # The peer of a Unix socket has no address.
            where = address[:2] if isinstance(address, tuple) else (UNIX_PEER, 0)
            if entrance.has_proxy_header:
                self._await_header(Proxied(sock, where, entrance, self._loop.time()))
            else:
                self._admit(sock, where, entrance)

    def _await_header(self, proxied: Proxied) -> None:
        if self._limits.is_proxy(proxied.address[0]):
            self._proxied.add(proxied)
        else:
            self._refuse_proxied(proxied, Cut.PROXY.reason)

    def _refuse_proxied(self, proxied: Proxied, reason: str) -> None:
        self._cuts.count(Cut.PROXY, proxied.address[0], reason)
        proxied.sock.close()
        self.forget()

    def _admit(self, sock: socket.socket, address: tuple[str, int], entrance: Entrance) -> None:
        if sock.fileno() >= self._limits.last_descriptor:
            self._warn()
            self._use_reserve(Arrival(Peer(sock, address, None, self, is_known=True), entrance))
            return
        counted = None if self._limits.is_proxy(address[0]) else network(address[0])
        peer = Peer(sock, address, counted, self)
        if not self._handshakes.add(Arrival(peer, entrance), counted, self._loop.time()):
            self._refuse(peer, Cut.HANDSHAKES)

    def _begin(self, arrival: Arrival, make_protocol: MakeProtocol | None = None) -> None:
        peer, entrance = arrival
        peer.sock.setblocking(False)
        timeout = None if entrance.context is None else self._limits.timeout
        beginning = self._loop.connect_accepted_socket(
            partial(make_protocol or self._make_protocol, peer),
            peer.sock,
            ssl=entrance.context and entrance.context(),
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=timeout,
        )
        task = self._loop.create_task(beginning)
        self._beginning[task] = peer
        task.add_done_callback(partial(self._on_begun, peer))

    def _on_begun(self, peer: Peer, task: asyncio.Task[Any]) -> None:
        del self._beginning[task]
        if task.cancelled():
            peer.leave()
        elif error := task.exception():
            if isinstance(error, ConnectionAbortedError):  # what uvloop says after the timeout
                self._cuts.count(Cut.SILENT, peer.address)
            if isinstance(error, ssl.SSLCertVerificationError):
                detail = f"its client certificate cannot be trusted: {error.verify_message}"
                self._cuts.count(Cut.CERTIFICATE, peer.address, detail)
            peer.leave()

    def _use_reserve(self, arrival: Arrival) -> None:
        self._cuts.count(Cut.DESCRIPTORS, arrival.peer.address)
        self._reserve.append(arrival.peer)
        if len(self._reserve) > RESERVE_CONNECTIONS:
            with suppress(OSError):  # it is closed already
                self._reserve.popleft().sock.shutdown(socket.SHUT_RDWR)
        self._begin(arrival, self._make_reserve_protocol)

    def _refuse(self, peer: Peer, cut: Cut) -> None:
        self._cuts.count(cut, peer.address)
        peer.sock.close()
        self.forget()

    def _rest(self, entrance: Entrance, error: OSError) -> None:
        """Pause accepting, because the system cannot accept more.

        Waiting connections would wake the event loop again at once.
        """
        logger.warning("cannot accept connections: %s", error)
        self._warn()
        self._loop.remove_reader(entrance.listening)
        self._loop.call_later(REST_SECONDS, self._resume, entrance)

    def _resume(self, entrance: Entrance) -> None:
        if entrance.listening.fileno() >= 0:
            self._loop.add_reader(entrance.listening, self._accept, entrance)

    def _warn(self) -> None:
        self._is_exhausted = True
        now = self._loop.time()
        if now - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = now
            logger.error(
                "no file descriptors are left of %d: new connections get /healthz alone; raise the limit of"
                " open files",
                self._limits.descriptors,
            )
