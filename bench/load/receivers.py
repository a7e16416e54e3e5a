"""Subscribers: many connections that only count, and one that checks every message.

The counting connections are read every few milliseconds, when much has come. That costs the generator least,
and a server cannot tell. Delivery times are measured by the checking connection, which is read at once.
"""

import gc
import math
import os
import re
import select
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple

from bench.load.wire import RECORD_HEADER, Address, MarkCounter, RecordCounter, Refused, Stream
from bench.peers.base import STAMP_DIGITS, Dialect
from bench.system import sharpen_sleep

_BUFFER_BYTES: Final = 1 << 20
_MAX_PAUSE: Final = 0.02
_STAMP: Final = re.compile(rb'"(?:content|message)":"(\d{%d})' % STAMP_DIGITS)
_STAMP_LENGTH: Final = len('"content":"') + STAMP_DIGITS

# Connections from one loopback address: it has 28,000 ports.
_PER_SOURCE: Final = 5_000
_CONNECTING_THREADS: Final = 16

# After so many connections, those that are open send a keep-alive frame: a slow machine takes long for all.
_KEPT_ALIVE: Final = 2_000

# After an overload the rest arrives late. It is awaited, so that it is not counted as part of the next load.
_BACKLOG_SECONDS: Final = 30.0
_BACKLOG_SILENCE: Final = 1.5

_QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def quantile(in_order: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` do not exceed.

    ``in_order`` is sorted. Without values the result is NaN.
    """
    return in_order[max(0, math.ceil(share * len(in_order)) - 1)] if in_order else math.nan


def quantiles(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and p99.9 of some values; nothing without values."""
    values.sort()
    return {name: quantile(values, share) for name, share in _QUANTILES.items()} if values else {}


class Limits(NamedTuple):
    """Limits of the wait for expected data.

    Moments are of the monotonic clock, and durations in seconds.

    Attributes:
        until: Before this moment silence means nothing.
        patience: Seconds of silence after it that mean that no more will come.
        deadline: The moment at which the rest is given up.
    """

    until: float
    patience: float
    deadline: float

    def left(self, last: float) -> float:
        """Return the seconds to wait after the last data's moment."""
        return min(max(last, self.until) + self.patience, self.deadline) - time.monotonic()


def _backlog_limits() -> Limits:
    now = time.monotonic()
    return Limits(now, _BACKLOG_SILENCE, now + _BACKLOG_SECONDS)


class Count(NamedTuple):
    """Messages that the counting connections received.

    Attributes:
        data: Bytes of data, or messages where these are counted by a mark.
        records: TLS records.
        finished: Moment of the last data.
        cpu: CPU seconds of counting.
    """

    data: int
    records: int
    finished: float
    cpu: float


class Receivers:
    """Counting connections in one thread."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._counters: dict[int, RecordCounter | MarkCounter] = {}
        self._epoll = select.epoll()
        self._buffer = bytearray(RECORD_HEADER + _BUFFER_BYTES)
        self._target = memoryview(self._buffer)[RECORD_HEADER:]
        self._keepalive = b""
        self._expected = 0

    def connect(
        self, address: Address, dialect: Dialect, subscriptions: Sequence[Sequence[str]], after: int | None
    ) -> float:
        """Replace all connections by one for each element of ``subscriptions``.

        Several are made at a time.

        Returns:
            CPU seconds of connecting.
        """
        used, context = time.process_time(), address.context()
        self.close()
        self._keepalive = dialect.keepalive

        def open_one(number: int, topics: Sequence[str]) -> Stream:
            stream = Stream(address, context, source=1 + number // _PER_SOURCE)
            dialect.subscribe(stream, topics, after)
            return stream

        with ThreadPoolExecutor(_CONNECTING_THREADS) as pool:
            opened = pool.map(open_one, range(len(subscriptions)), subscriptions)
            for count, stream in enumerate(opened, start=1):
                self._add(stream, dialect)
                if count % _KEPT_ALIVE == 0:
                    self._keep_alive()
        gc.freeze()
        return time.process_time() - used

    def forget(self) -> None:
        """Wait for the last load's late data, and count from zero.

        Keep-alive frames are sent as well.
        """
        self.receive(self._expected, _MAX_PAUSE, _backlog_limits())
        self._take()  # pings
        self._expected = 0
        for counter in self._counters.values():
            counter.total = counter.records = 0
        self._keep_alive()

    def _keep_alive(self) -> None:
        if self._keepalive:
            for stream in self._streams.values():
                stream.send(self._keepalive)

    def receive(self, expected: int, pause: float, limits: Limits) -> Count:
        """Count until ``expected`` bytes are there or the limits are reached.

        The connections are read every ``pause`` seconds at the latest.
        """
        used, last = time.process_time(), time.monotonic()
        self._expected = expected
        data = self._total()
        while data < expected and limits.left(last) > 0:
            time.sleep(min(pause, _MAX_PAUSE))
            if self._take():
                data, last = self._total(), time.monotonic()
        records = sum(counter.records for counter in self._counters.values())
        return Count(data, records, last, time.process_time() - used)

    def close(self) -> None:
        """Close all connections."""
        for stream in self._streams.values():
            stream.close()  # that removes it from epoll
        self._streams.clear()
        self._counters.clear()
        self._expected = 0

    def _total(self) -> int:
        return sum(counter.total for counter in self._counters.values())

    def _add(self, stream: Stream, dialect: Dialect) -> None:
        number = stream.socket.fileno()
        self._streams[number] = stream
        if dialect.mark is None:
            self._counters[number] = RecordCounter(dialect.ignored)
            self._counters[number].total = stream.unread
        else:
            self._counters[number] = MarkCounter(dialect.mark)
            stream.socket.setblocking(False)
        self._epoll.register(number, select.EPOLLIN)

    def _take(self) -> bool:
        """Read once from each connection with data; return whether any had."""
        events = self._epoll.poll(0, max(1, len(self._streams)))
        for number, _ in events:
            try:
                self._take_one(number)
            except (Refused, OSError):
                self._epoll.unregister(number)  # cut by the server: the count will show it
        return bool(events)

    def _take_one(self, number: int) -> None:
        counter = self._counters[number]
        if isinstance(counter, MarkCounter):
            with suppress(ssl.SSLWantReadError):
                while True:  # one TLS record at a time
                    counter.feed(self._streams[number].receive())
        elif size := os.readv(number, [self._target]):
            counter.feed(self._buffer, size)
        else:
            raise Refused("the server has closed the connection")


class Watch(NamedTuple):
    """Messages that the checking connection received.

    Attributes:
        messages: Number of messages.
        checksum: Sum of their stamps.
        in_order: Whether no stamp was less than the one before.
        finished: Moment of the last message.
        waits: Quantiles of the seconds from the moment a message was scheduled to its arrival.
        cpu: CPU seconds of checking.
    """

    messages: int
    checksum: int
    in_order: bool
    finished: float
    waits: dict[str, float]
    cpu: float


class Watcher:
    """The checking connection: read at once, decrypted, and checked."""

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._keepalive = b""
        self._missing = 0

    def connect(self, address: Address, dialect: Dialect, topics: Sequence[str], after: int | None) -> None:
        """Replace the connection by a new one that subscribes to these topics."""
        sharpen_sleep()
        self.close()
        self._stream = Stream(address, address.context())
        dialect.subscribe(self._stream, topics, after)
        self._keepalive = dialect.keepalive

    def forget(self) -> None:
        """Wait for the last load's late messages, and send keep-alive."""
        assert self._stream is not None
        self.watch(self._missing, _backlog_limits())
        if self._keepalive:
            self._stream.send(self._keepalive)

    def watch(self, expected: int, limits: Limits) -> Watch:
        """Check messages until ``expected`` are there or the limits are reached."""
        assert self._stream is not None
        used, now = time.process_time(), time.monotonic()
        stamps: list[int] = []
        waits: list[float] = []
        rest = b""
        while len(stamps) < expected and (left := limits.left(now)) > 0:
            self._stream.socket.settimeout(left)
            try:
                data = rest + self._stream.receive()
            except TimeoutError:
                break
            now = time.monotonic()
            found = [int(stamp) for stamp in _STAMP.findall(data)]
            stamps += found
            waits += [now - stamp / 1e6 for stamp in found]
            rest = data[-_STAMP_LENGTH + 1 :]  # too short for a whole stamp
        self._missing = expected - len(stamps)
        is_sorted = stamps == sorted(stamps)
        cpu = time.process_time() - used
        return Watch(len(stamps), sum(stamps), is_sorted, now, quantiles(waits), cpu)

    def close(self) -> None:
        """Close the connection."""
        self._missing = 0
        if self._stream is not None:
            self._stream.close()
            self._stream = None
