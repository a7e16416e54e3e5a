"""Those who publish and wait for acknowledgements: many clients, in one thread."""

import itertools
import select
import time
from typing import Final, NamedTuple

from bench.peers.acked import ACK_MARK, ERROR_MARK, AckedDialect
from bench.receivers import QUANTILES
from bench.stats import quantile
from bench.wire import Address, MarkCounter, Refused, Stream

_PATIENCE: Final = 5.0


class Pushed(NamedTuple):
    """What came of it.

    Attributes:
        acked: Messages acknowledged.
        seconds: How long it took.
        waits: Quantiles of the seconds from sending to the acknowledgement, by name; only of clients that
            wait for each.
        cpu: Seconds of CPU that it took.
    """

    acked: int
    seconds: float
    waits: dict[str, float]
    cpu: float


class _Client:
    """One connection, and what it is waiting for."""

    def __init__(self, stream: Stream, frame: bytes, together: int) -> None:
        self.stream = stream
        self.sent_at = 0.0
        self._frame = frame
        self._together = together
        self._on_the_way = 0
        self._acks = MarkCounter(ACK_MARK)

    def fill(self, window: int) -> None:
        """Send as many frames as there is room for, until so many messages are on the way."""
        frames = (window - self._on_the_way) // self._together
        if frames:
            self._on_the_way += frames * self._together
            self.sent_at = time.monotonic()
            self.stream.send(self._frame * frames)

    def take_acks(self) -> int:
        """Return how many acknowledgements have come; at least a part of one must be there."""
        data = self.stream.receive()
        if ERROR_MARK in data:
            raise Refused(data.decode(errors="replace"))
        acked = self._acks.feed(data)
        self._on_the_way -= acked
        return acked


class Pushers:
    """Clients that each keep a number of messages on the way."""

    def __init__(self) -> None:
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count()

    def connect(
        self, address: Address, dialect: AckedDialect, clients: int, size: int, together: int
    ) -> None:
        """Open the connections of clients.

        Args:
            address: Where to publish.
            dialect: How.
            clients: How many.
            size: Bytes of the content of each message.
            together: Messages to a frame.
        """
        context = address.context()
        for _ in range(clients):
            name = f"{next(self._numbers):06}"
            stream = Stream(address, context)
            dialect.prepare_acked(stream, name)
            frame = dialect.acked_publication(name, size, together)
            self._clients[stream.socket.fileno()] = _Client(stream, frame, together)

    def push(self, window: int, seconds: float) -> Pushed:
        """Publish: whatever is acknowledged makes room for as many new messages.

        Args:
            window: Messages on the way, for each client.
            seconds: How long; longer if not even what was on the way at first is acknowledged by then.
        """
        began, used = time.monotonic(), time.process_time()
        end, latest = began + seconds, began + seconds + _PATIENCE
        first = window * len(self._clients)
        acked, waits = 0, list[float]()
        with select.epoll() as epoll:
            for number, client in self._clients.items():
                epoll.register(number, select.EPOLLIN)
                client.fill(window)
            while (now := time.monotonic()) < end or (acked < first and now < latest):
                for number, _ in epoll.poll(_PATIENCE):
                    client = self._clients[number]
                    acked += client.take_acks()
                    if window == 1 and client.sent_at > began:
                        waits.append(time.monotonic() - client.sent_at)
                    client.fill(window)
        waits.sort()
        quantiles = {name: quantile(waits, share) for name, share in QUANTILES.items()} if waits else {}
        return Pushed(acked, now - began, quantiles, time.process_time() - used)

    def close(self) -> None:
        """Close all of them."""
        for client in self._clients.values():
            client.stream.close()
        self._clients.clear()
