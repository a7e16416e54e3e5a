"""Those who receive: many connections that only count, and one that looks at everything.

The counting ones are read late, every few milliseconds, when much has come: that costs the generator least,
and a server cannot tell. How late messages are is measured by the other one, which reads at once.
"""

import gc
import os
import re
import select
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

from bench import cpu
from bench.peers.base import STAMP_DIGITS, Dialect
from bench.stats import quantile
from bench.wire import RECORD_HEADER, Address, MarkCounter, RecordCounter, Refused, Stream

_ROOM: Final = 1 << 20
_MOST_PAUSE: Final = 0.02
_STAMP: Final = re.compile(rb'"(?:content|message)":"(\d{%d})' % STAMP_DIGITS)
_STAMP_LENGTH: Final = len('"content":"') + STAMP_DIGITS

# Connections from one loopback address: it has 28,000 ports.
_PER_SOURCE: Final = 5_000

# Of a load that was too much, the rest comes late: it is waited for up to so many seconds, and so many of
# silence, so that it is not taken for part of the next.
_MOST_BACKLOG: Final = 30.0
_PATIENCE: Final = 1.5

# Connections that are being opened at the same time.
_AT_A_TIME: Final = 16

QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


class Limits(NamedTuple):
    """How long to wait for what is expected; all of the monotonic clock.

    Attributes:
        until: Up to this moment silence means nothing.
        patience: Seconds of silence after that which mean that no more will come.
        deadline: The moment at which the rest is given up.
    """

    until: float
    patience: float
    deadline: float

    def left(self, last: float) -> float:
        """Return the seconds to wait from now on, if something came last at that moment."""
        return min(max(last, self.until) + self.patience, self.deadline) - time.monotonic()


def _for_the_rest() -> Limits:
    """Return how long to wait for what is left of an earlier load."""
    now = time.monotonic()
    return Limits(until=now, patience=_PATIENCE, deadline=now + _MOST_BACKLOG)


class Count(NamedTuple):
    """What came to the counting receivers.

    Attributes:
        data: Bytes of data, without what does not count.
        records: TLS records.
        finished: When the last of it came, in seconds of the monotonic clock.
        cpu: Seconds of CPU that counting took.
    """

    data: int
    records: int
    finished: float
    cpu: float


class Receivers:
    """Connections that count, in one thread."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._counters: dict[int, RecordCounter | MarkCounter] = {}
        self._epoll = select.epoll()
        self._room = bytearray(RECORD_HEADER + _ROOM)
        self._target = memoryview(self._room)[RECORD_HEADER:]
        self._sign_of_life = b""
        self._expected = 0

    def connect(self, address: Address, dialect: Dialect, subscriptions: Sequence[Sequence[str]]) -> float:
        """Open a connection for each element, and subscribe it to those topics.

        Returns:
            The seconds of CPU that it took.
        """
        used = time.process_time()
        self._open(address, dialect, [partial(dialect.subscribe, topics=topics) for topics in subscriptions])
        gc.freeze()
        return time.process_time() - used

    def come_back(self, address: Address, dialect: Dialect, topic: str, position: int) -> float:
        """Open every connection anew, and ask for what was missed.

        Args:
            address: Where to.
            dialect: How to speak there.
            topic: What each is subscribed to.
            position: How far each had got.

        Returns:
            The seconds of CPU that it took.
        """
        used = time.process_time()
        resume = partial(dialect.resume, topic=topic, position=position)
        steps = [resume] * len(self._streams)
        self.close()
        self._open(address, dialect, steps)
        return time.process_time() - used

    def forget(self) -> None:
        """Let what is still due come, count from nothing again, and show the server signs of life."""
        self.receive(self._expected, _MOST_PAUSE, _for_the_rest())
        self._take()  # pings
        self._expected = 0
        for number, counter in self._counters.items():
            counter.total = counter.records = 0
            if self._sign_of_life:
                self._streams[number].send(self._sign_of_life)

    def receive(self, expected: int, pause: float, limits: Limits) -> Count:
        """Count until everything is there, or nothing more comes.

        Args:
            expected: Bytes of data to wait for.
            pause: Seconds between two looks at the connections, at most.
            limits: How long to wait.
        """
        used, last = time.process_time(), time.monotonic()
        self._expected = expected
        data = self._total()
        while data < expected and limits.left(last) > 0:
            time.sleep(min(pause, _MOST_PAUSE))
            if self._take():
                data, last = self._total(), time.monotonic()
        records = sum(counter.records for counter in self._counters.values())
        return Count(data, records, last, time.process_time() - used)

    def close(self) -> None:
        """Close all of them."""
        for stream in self._streams.values():
            stream.close()  # epoll forgets it with that
        self._streams.clear()
        self._counters.clear()
        self._expected = 0

    def _total(self) -> int:
        return sum(counter.total for counter in self._counters.values())

    def _open(self, address: Address, dialect: Dialect, steps: Sequence[Callable[[Stream], None]]) -> None:
        """Open a connection for each step, several at a time, and let the step make a subscriber of it."""
        context = address.context()

        def open_one(number: int, step: Callable[[Stream], None]) -> Stream:
            stream = Stream(address, context, source=1 + number // _PER_SOURCE)
            step(stream)
            return stream

        self._sign_of_life = dialect.sign_of_life()
        first = len(self._streams)
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            for stream in pool.map(open_one, range(first, first + len(steps)), steps):
                self._keep(stream, dialect)

    def _keep(self, stream: Stream, dialect: Dialect) -> None:
        """Count from now on what comes, and what is there."""
        number = stream.socket.fileno()
        self._streams[number] = stream
        if dialect.mark is None:
            self._counters[number] = RecordCounter(dialect.trifles)
            self._counters[number].total = stream.unread
        else:
            self._counters[number] = MarkCounter(dialect.mark)
        self._epoll.register(number, select.EPOLLIN)

    def _take(self) -> bool:
        """Read once from each connection that has something, and return whether any had."""
        events = self._epoll.poll(0, max(1, len(self._streams)))
        for number, _ in events:
            try:
                self._take_one(number)
            except (Refused, OSError):
                self._epoll.unregister(number)  # the server has cut it: it will be missed in the count
        return bool(events)

    def _take_one(self, number: int) -> None:
        counter = self._counters[number]
        if isinstance(counter, MarkCounter):
            counter.feed(self._streams[number].receive())
        elif size := os.readv(number, [self._target]):
            counter.feed(self._room, size)
        else:
            raise Refused("the server has closed the connection")


class Watch(NamedTuple):
    """What came to the one that looks at everything.

    Attributes:
        messages: How many.
        checksum: The sum of their stamps.
        in_order: Whether their stamps never went back.
        finished: When the last of it came, in seconds of the monotonic clock.
        waits: Quantiles of the seconds from the moment a message was due to its arrival, by name.
        cpu: Seconds of CPU that looking took.
    """

    messages: int
    checksum: int
    in_order: bool
    finished: float
    waits: dict[str, float]
    cpu: float


class Watcher:
    """A connection that is read at once, decrypted, and checked."""

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._sign_of_life = b""
        self._missing = 0

    def connect(self, address: Address, dialect: Dialect, topics: Sequence[str]) -> None:
        """Open it, and subscribe it to these topics."""
        cpu.sharpen_sleep()
        self.close()
        self._stream = Stream(address, address.context())
        dialect.subscribe(self._stream, topics)
        self._sign_of_life = dialect.sign_of_life()

    def forget(self) -> None:
        """Let what is still due come, and show the server that its client is alive."""
        assert self._stream is not None
        self.watch(self._missing, _for_the_rest())
        if self._sign_of_life:
            self._stream.send(self._sign_of_life)

    def watch(self, expected: int, limits: Limits) -> Watch:
        """Look at what comes until everything is there, or nothing more comes.

        Args:
            expected: Messages to wait for.
            limits: How long to wait.
        """
        assert self._stream is not None
        used, now = time.process_time(), time.monotonic()
        stamps: list[int] = []
        waits: list[float] = []
        rest = b""
        while len(stamps) < expected and (left := limits.left(now)) > 0:
            self._stream.socket.settimeout(left)
            try:
                data = self._stream.receive()
            except TimeoutError:
                break
            now = time.monotonic()
            data = rest + data
            found = [int(stamp) for stamp in _STAMP.findall(data)]
            stamps += found
            waits += [now - stamp / 1e6 for stamp in found]
            rest = data[-_STAMP_LENGTH + 1 :]  # too short for a stamp that was counted
        self._missing = expected - len(stamps)
        return Watch(
            messages=len(stamps),
            checksum=sum(stamps),
            in_order=stamps == sorted(stamps),
            finished=now,
            waits=_quantiles(waits),
            cpu=time.process_time() - used,
        )

    def close(self) -> None:
        """Close it."""
        self._missing = 0
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _quantiles(waits: list[float]) -> dict[str, float]:
    waits.sort()
    return {name: quantile(waits, share) for name, share in QUANTILES.items()}
