"""The rig: drives subscribers and publishers, and combines their measurements.

They have their own processes.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple, Self

from bench.load.layouts import Layout
from bench.load.publishers import Published, Publisher, Pushers
from bench.load.receivers import Count, Limits, Receivers, Watch, Watcher
from bench.load.worker import Worker
from bench.peers.base import Peer
from bench.system import CpuMeter

# Seconds from telling all processes about a load until its first message.
_LEAD_SECONDS: Final = 0.1

# After so many seconds without a delivery, missing ones are lost; the rest is given up after so much lag.
_PATIENCE: Final = 1.5
_MAX_LAG: Final = 5.0

# The counting connections are read so often that each holds about so many bytes, at most.
_WAITING_BYTES: Final = 64_000

# What makes a measurement doubtful: this share of a core, or of the machine; and so late to publish.
_BUSY: Final = 0.9
_FULL: Final = 0.95
_LATE_SECONDS: Final = 0.005


class Load(NamedTuple):
    """A load: messages a second, bytes of each as delivered, and seconds."""

    rate: float
    size: int
    seconds: float

    @property
    def messages(self) -> int:
        """The number of messages."""
        return max(1, round(self.rate * self.seconds))


class Arrival(NamedTuple):
    """Result of connecting.

    Attributes:
        seconds: Until the last connection was subscribed.
        cpu: CPU seconds of the server process that holds the connections.
        generator: CPU seconds of the busiest process of the generator.
    """

    seconds: float
    cpu: float
    generator: float


class Outcome(NamedTuple):
    """Result of a load.

    Attributes:
        expected: Deliveries that the load requires.
        delivered: Deliveries that were made.
        published: What was published.
        counts: What the counting connections received, for each process.
        watched: What the checking connection received.
        cpu: CPU seconds of the server's processes, by name.
        seconds: From the first message until the last delivery, or until the rest was given up.
        lag: From the last message until then.
    """

    expected: int
    delivered: int
    published: Published
    counts: list[Count]
    watched: Watch
    cpu: dict[str, float]
    seconds: float
    lag: float

    @property
    def is_complete(self) -> bool:
        """Return whether every delivery was made."""
        return self.delivered == self.expected

    @property
    def generator(self) -> list[float]:
        """CPU seconds of each process of the generator."""
        return [*(count.cpu for count in self.counts), self.watched.cpu, self.published.cpu]

    @property
    def waits(self) -> dict[str, float]:
        """Quantiles of the delivery time; nothing unless every delivery was made."""
        return self.watched.waits if self.is_complete else {}

    def warnings(self) -> Iterator[str]:
        """Yield the reservations about this outcome."""
        watched, published = self.watched, self.published
        if not self.is_complete:
            yield f"{self.delivered:,} of {self.expected:,} deliveries arrived"
        elif not watched.in_order:
            yield "messages were delivered out of order"
        elif watched.messages == published.messages and watched.checksum != published.checksum:
            yield "what was delivered is not what was published"
        if published.late > _LATE_SECONDS:
            yield f"messages were sent {1000 * published.late:.0f} ms late"
        yield from self.limits()

    def limits(self) -> Iterator[str]:
        """Yield the limits reached other than the server's own speed."""
        yield from busy(max(self.generator) / self.seconds)
        if sum(self.generator) + sum(self.cpu.values()) > _FULL * self.seconds * (os.cpu_count() or 1):
            yield "the machine was full"


def busy(share: float) -> Iterator[str]:
    """Yield a warning if the generator used nearly all of a core.

    ``share`` is that of one of its processes.
    """
    if share > _BUSY:
        yield "the generator was the bottleneck"


class Rig:
    """Processes of the load generator, each started when first needed."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._workers: dict[str, Worker] = {}
        self._receivers: list[Worker] = []
        self._peer: Peer
        self._layout: Layout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def pushers(self) -> Worker:
        """The worker of :class:`Pushers`."""
        return self._worker("pushers", Pushers)

    def connect(self, peer: Peer, layout: Layout, *, processes: int = 1, after: int | None = None) -> Arrival:
        """Replace all connections by new ones; the first subscriber checks messages.

        Args:
            peer: The server.
            layout: The subscriptions.
            processes: How many processes hold the other subscribers.
            after: The position after which to resume; None for live messages alone.
        """
        self._peer, self._layout = peer, layout
        watcher, publisher = self._worker("watcher", Watcher), self._worker("publisher", Publisher)
        self._receivers = [self._worker(f"receivers {number}", Receivers) for number in range(processes)]
        publisher.call("connect", peer.publish_at, peer.dialect)
        began, meter = time.monotonic(), CpuMeter({"": peer.pids[peer.delivering]})
        for number, receivers in enumerate(self._receivers):
            part = layout.subscriptions[1 + number :: processes]
            receivers.ask("connect", peer.subscribe_at, peer.dialect, part, after)
        generator = max(receivers.answer() for receivers in self._receivers)
        watcher.call("connect", peer.subscribe_at, peer.dialect, layout.subscriptions[0], after)
        arrival = Arrival(time.monotonic() - began, meter.used()[""], generator)
        time.sleep(peer.dialect.settling)
        return arrival

    def disconnect(self) -> None:
        """Close every connection."""
        for worker in self._workers.values():
            worker.call("close")

    def perform(self, load: Load, patience: float = _PATIENCE, max_lag: float = _MAX_LAG) -> Outcome:
        """Publish a load, and wait for every delivery.

        The rest is given up after a while.
        """
        for worker in (self._workers["watcher"], *self._receivers):
            worker.call("forget")
        meter, start = CpuMeter(self._peer.pids), time.monotonic() + _LEAD_SECONDS
        end = start + load.seconds
        expected = self._listen(load, Limits(end, patience, end + max_lag))
        published = self.publish(load, start)
        delivered, finished, counts, watched = self._heard(load)
        cpu, now = meter.used(), time.monotonic()
        seconds = (finished if delivered == expected else now) - start
        lag = seconds - published.seconds
        return Outcome(expected, delivered, published, counts, watched, cpu, seconds, lag)

    def publish(self, load: Load, start: float) -> Published:
        """Publish a load from a moment on."""
        arguments = self._layout.topics, load.size, load.rate, load.messages, start
        published: Published = self._workers["publisher"].call("publish", *arguments)
        return published

    def receive(self, load: Load, patience: float, seconds: float) -> tuple[int, float]:
        """Wait for the deliveries of a load that was published before.

        Returns:
            The number of deliveries, and the moment of the last.
        """
        now = time.monotonic()
        self._listen(load, Limits(now, patience, now + seconds))
        return self._heard(load)[:2]

    def _listen(self, load: Load, limits: Limits) -> int:
        """Start to wait for a load's deliveries, and return their number."""
        layout, processes = self._layout, len(self._receivers)
        size, pause = self._delivery_size(load), _WAITING_BYTES / (load.rate * load.size)
        expected = layout.deliveries(layout.subscriptions[:1], load.messages)
        self._workers["watcher"].ask("watch", expected, limits)
        for number, receivers in enumerate(self._receivers):
            part = layout.deliveries(layout.subscriptions[1 + number :: processes], load.messages)
            receivers.ask("receive", part * size, pause, limits)
            expected += part
        return expected

    def _heard(self, load: Load) -> tuple[int, float, list[Count], Watch]:
        """Return the number of deliveries, the last one's moment, and details."""
        counts: list[Count] = [receivers.answer() for receivers in self._receivers]
        watched: Watch = self._workers["watcher"].answer()
        delivered = watched.messages + round(sum(count.data for count in counts) / self._delivery_size(load))
        return delivered, max(watched.finished, *(count.finished for count in counts)), counts, watched

    def _delivery_size(self, load: Load) -> int:
        """Return what one delivery adds to a counter."""
        dialect = self._peer.dialect
        return 1 if dialect.mark else dialect.delivery_size(self._layout.topics[0], load.size)

    def _worker(self, name: str, make: Callable[[], object]) -> Worker:
        if name not in self._workers:
            self._workers[name] = self._running.enter_context(Worker(make))
        return self._workers[name]
