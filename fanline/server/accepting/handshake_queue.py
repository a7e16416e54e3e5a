"""Queue of handshakes: bounded in all and per network. No I/O.

Further connections wait.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeLimits:
    """Limits of the number of handshakes.

    Attributes:
        running: Handshakes in progress, in all.
        running_per_network: Handshakes in progress of one network.
        waiting: Connections that wait until theirs may begin, in all.
        waiting_per_network: Likewise, of one network.
    """

    running: int
    running_per_network: int
    waiting: int
    waiting_per_network: int


class HandshakeQueue(Generic[T]):
    """The handshakes in progress, and the connections that wait; networks take turns.

    A crowd of one network is slowed down, not refused, and delays no other network.

    Args:
        begin: Called with a connection whose handshake may begin.
        limits: How many there may be.
    """

    def __init__(self, begin: Callable[[T], None], limits: HandshakeLimits) -> None:
        self._begin = begin
        self._limits = limits
        self._running = 0
        self._running_of: Counter[Hashable] = Counter()
        self._waiting = 0
        self._waiting_of: dict[Hashable, deque[tuple[float, T]]] = {}
        self._turns: OrderedDict[Hashable, None] = OrderedDict()  # networks with one that waits and may begin

    def add(self, connection: T, network: Hashable, now: float) -> bool:
        """Start a connection's handshake or let it wait; False to refuse it.

        Args:
            connection: The connection.
            network: What it counts for; None if it counts for no network.
            now: The time, in seconds of any monotonic clock.
        """
        if self._running < self._limits.running and self._may_begin(network):
            self._start(connection, network)
            return True
        waiting = self._waiting_of.get(network)
        is_crowded = waiting is not None and len(waiting) >= self._limits.waiting_per_network
        if self._waiting >= self._limits.waiting or is_crowded:
            return False
        if waiting is None:
            waiting = self._waiting_of[network] = deque()
        waiting.append((now, connection))
        self._waiting += 1
        if self._may_begin(network):
            self._turns.setdefault(network)
        return True

    def end(self, network: Hashable) -> None:
        """End a handshake of a network, and begin those that may now."""
        self._running -= 1
        if network is not None:
            self._running_of[network] -= 1
            if not self._running_of[network]:
                del self._running_of[network]
        if network in self._waiting_of:
            self._turns.setdefault(network)
        while self._turns and self._running < self._limits.running:
            self._take_turn()

    def expire(self, before: float) -> list[T]:
        """Remove and return the connections that have waited since before a time."""
        expired = []
        for network in list(self._waiting_of):
            waiting = self._waiting_of[network]
            while waiting and waiting[0][0] < before:
                expired.append(self._next(network))
        return expired

    def _may_begin(self, network: Hashable) -> bool:
        return network is None or self._running_of[network] < self._limits.running_per_network

    def _start(self, connection: T, network: Hashable) -> None:
        self._running += 1
        if network is not None:
            self._running_of[network] += 1
        self._begin(connection)

    def _take_turn(self) -> None:
        network, _ = self._turns.popitem(last=False)
        self._start(self._next(network), network)
        if network in self._waiting_of and self._may_begin(network):
            self._turns[network] = None

    def _next(self, network: Hashable) -> T:
        waiting = self._waiting_of[network]
        _, connection = waiting.popleft()
        self._waiting -= 1
        if not waiting:
            del self._waiting_of[network]
            self._turns.pop(network, None)
        return connection
