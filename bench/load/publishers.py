"""Publishers: one that keeps a rate, and many that wait for acknowledgements."""

import itertools
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from bench.load.receivers import quantile, quantiles
from bench.load.wire import Address, MarkCounter, Refused, Stream
from bench.peers.base import ERROR_MARK, STAMP_DIGITS, Dialect
from bench.system import sharpen_sleep

_DISCARD_SECONDS: Final = 0.02
_PATIENCE: Final = 5.0


def schedule(rate: float, count: int, start: float) -> Iterator[float]:
    """Yield the moment of each of ``count`` messages, evenly spaced.

    A server may join messages that it has for a connection at the same time. A generator that sends in
    bunches would make that cheaper than it is.
    """
    for number in range(count):
        yield start + number / rate


def paced(rate: float, count: int, start: float) -> Iterator[tuple[float, float]]:
    """Wait for each scheduled moment, and yield it with its delay.

    The delay is in seconds. A late message is yielded at once, so that a pause is made up for.
    """
    for moment in schedule(rate, count, start):
        while (left := moment - time.monotonic()) > 0:
            time.sleep(left)
        yield moment, -left


class Published(NamedTuple):
    """Messages published.

    Attributes:
        messages: Number of messages.
        checksum: Sum of their stamps.
        seconds: From the first scheduled moment until the last message was sent.
        late: 99th percentile of the seconds between scheduled and sent.
        cpu: CPU seconds of publishing.
    """

    messages: int
    checksum: int
    seconds: float
    late: float
    cpu: float


class Publisher:
    """A connection that publishes at a given rate."""

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._buffer = bytearray(1 << 20)

    def connect(self, address: Address, dialect: Dialect) -> None:
        """Replace the connection by a new one."""
        sharpen_sleep()
        self.close()
        self._dialect = dialect
        self._stream = Stream(address, address.context())
        dialect.prepare_publisher(self._stream)

    def publish(self, topics: Sequence[str], size: int, rate: float, count: int, start: float) -> Published:
        """Publish ``count`` messages at a rate, on each topic in turn.

        Args:
            topics: The topics.
            size: Bytes of a message as it is delivered.
            rate: Messages a second.
            count: Number of messages.
            start: The scheduled moment of the first message.
        """
        assert self._stream is not None
        used = time.process_time()
        templates = [self._dialect.publication(topic, size) for topic in topics]
        send, turns = self._stream.socket.sendall, len(templates)
        lateness: list[float] = []
        checksum, discarded = 0, start
        for number, (moment, late) in enumerate(paced(rate, count, start)):
            before, after = templates[number % turns]
            stamp = int(moment * 1e6)
            checksum += stamp
            send(b"%b%0*d%b" % (before, STAMP_DIGITS, stamp, after))
            lateness.append(late)
            if moment > discarded + _DISCARD_SECONDS:
                self._discard_answers()
                discarded = moment
        seconds = time.monotonic() - start
        lateness.sort()
        return Published(count, checksum, seconds, quantile(lateness, 0.99), time.process_time() - used)

    def close(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _discard_answers(self) -> None:
        """Read the server's answers without decrypting them."""
        assert self._stream is not None
        with suppress(BlockingIOError):
            socket.socket.recv_into(self._stream.socket, self._buffer, 0, socket.MSG_DONTWAIT)


class Pushed(NamedTuple):
    """Messages published and acknowledged.

    Attributes:
        acked: Messages acknowledged.
        seconds: Duration.
        waits: Quantiles of the seconds from sending to the acknowledgement; only with a window of 1.
        cpu: CPU seconds of the generator.
    """

    acked: int
    seconds: float
    waits: dict[str, float]
    cpu: float


class _Client:
    """A connection, and its messages that are not acknowledged yet."""

    def __init__(self, stream: Stream, dialect: Dialect, frame: bytes, together: int) -> None:
        self.stream = stream
        self.sent_at = 0.0
        self._frame = frame
        self._together = together
        self._unacked = 0
        self._acks = MarkCounter(dialect.ack_mark)

    def fill(self, window: int) -> None:
        """Send frames until ``window`` messages are not acknowledged."""
        frames = (window - self._unacked) // self._together
        if frames:
            self._unacked += frames * self._together
            self.sent_at = time.monotonic()
            self.stream.send(self._frame * frames)

    def take_acks(self) -> int:
        """Read once, and return the number of acknowledgements."""
        data = self.stream.receive()
        if ERROR_MARK in data:
            raise Refused(data.decode(errors="replace"))
        acked = self._acks.feed(data)
        self._unacked -= acked
        return acked


class Pushers:
    """Connections that each keep a window of unacknowledged messages full."""

    def __init__(self) -> None:
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count()

    def connect(self, address: Address, dialect: Dialect, clients: int, size: int, together: int) -> None:
        """Open connections that publish contents of ``size`` bytes, ``together`` in one frame."""
        context = address.context()
        for _ in range(clients):
            name = f"{next(self._numbers):06}"
            stream = Stream(address, context)
            dialect.prepare_publisher(stream, name)
            frame = dialect.acked_publication(name, size, together)
            self._clients[stream.socket.fileno()] = _Client(stream, dialect, frame, together)

    def push(self, window: int, seconds: float) -> Pushed:
        """Publish for some seconds, at least until the first window's ack."""
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
        return Pushed(acked, now - began, quantiles(waits), time.process_time() - used)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.stream.close()
        self._clients.clear()
