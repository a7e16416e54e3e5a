"""The load generator: one process that counts, one that looks, one that publishes, and who conducts them."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple, Self

from bench.cpu import Meter
from bench.layouts import Layout
from bench.peers.base import Peer
from bench.publishing import Published, Publisher
from bench.receivers import Count, Limits, Receivers, Watch, Watcher
from bench.workers import Worker

# From the moment everybody is told until the first message is due.
_LEAD_SECONDS: Final = 0.1

# Without any delivery for so long, what is missing is lost; and after so long, whoever has not kept up is not
# waited for.
_PATIENCE: Final = 1.5
_MOST_LAG: Final = 5.0

# The counting connections are looked at often enough for so many bytes to wait at one of them, at most.
_WAITING_BYTES: Final = 64_000

# What makes a measurement doubtful: this share of a core, or of the machine; and so late to publish.
_BUSY: Final = 0.9
_FULL: Final = 0.95
_LATE_SECONDS: Final = 0.005


class Load(NamedTuple):
    """What is published.

    Attributes:
        rate: Messages a second.
        size: Bytes of each, as delivered.
        seconds: How long.
    """

    rate: float
    size: int
    seconds: float

    @property
    def messages(self) -> int:
        """How many messages that makes."""
        return max(1, round(self.rate * self.seconds))


class Outcome(NamedTuple):
    """What became of a load.

    Attributes:
        expected: Deliveries that were due.
        delivered: Those that were made.
        published: What was published.
        counted: What was counted.
        watched: What was looked at.
        cpu: Seconds of CPU of the server's processes, by name.
        seconds: From the first message until the last delivery, or until the rest was given up.
        lag: The same from the last message on.
    """

    expected: int
    delivered: int
    published: Published
    counted: Count
    watched: Watch
    cpu: dict[str, float]
    seconds: float
    lag: float

    @property
    def is_complete(self) -> bool:
        """Whether everything arrived."""
        return self.delivered == self.expected

    @property
    def is_right(self) -> bool:
        """Whether the one that looks, if everything was for it, saw exactly what was published."""
        return self.watched.checksum == self.published.checksum

    @property
    def generator(self) -> tuple[float, ...]:
        """Seconds of CPU of each process of the generator."""
        return self.counted.cpu, self.watched.cpu, self.published.cpu

    @property
    def waits(self) -> dict[str, float]:
        """Quantiles of how long deliveries took; none unless all of them were made."""
        return self.watched.waits if self.is_complete else {}

    def warnings(self) -> Iterator[str]:
        """Yield why it is to be read with care."""
        if not self.is_complete:
            yield f"{self.delivered:,} of {self.expected:,} deliveries arrived"
        elif not self.watched.in_order:
            yield "messages were delivered out of order"
        elif self.watched.messages == self.published.messages and not self.is_right:
            yield "what was delivered is not what was published"
        if self.published.late > _LATE_SECONDS:
            yield f"messages were sent {1000 * self.published.late:.0f} ms late"
        yield from self.limits()

    def limits(self) -> Iterator[str]:
        """Yield what there was too little of, besides the server's own speed."""
        if max(self.generator) > _BUSY * self.seconds:
            yield "the generator was the bottleneck"
        if sum(self.generator) + sum(self.cpu.values()) > _FULL * self.seconds * (os.cpu_count() or 1):
            yield "the machine was full"


class Rig:
    """The processes of the load generator, while a ``with`` block runs."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._receivers: Worker
        self._watcher: Worker
        self._publisher: Worker
        self._peer: Peer
        self._layout: Layout

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._receivers = starting.enter_context(Worker(Receivers))
            self._watcher = starting.enter_context(Worker(Watcher))
            self._publisher = starting.enter_context(Worker(Publisher))
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def connect(self, peer: Peer, layout: Layout) -> None:
        """Connect everybody to a server, the first subscriber as the one that looks."""
        self._peer, self._layout = peer, layout
        self._watcher.ask("connect", peer.subscribe_at, peer.dialect, layout.subscriptions[0])
        self._publisher.ask("connect", peer.publish_at, peer.dialect)
        self._receivers.call("connect", peer.subscribe_at, peer.dialect, layout.subscriptions[1:])
        self._watcher.answer()
        self._publisher.answer()
        time.sleep(peer.dialect.settling)

    def disconnect(self) -> None:
        """Close every connection."""
        for worker in (self._publisher, self._watcher, self._receivers):
            worker.call("close")

    def perform(self, load: Load) -> Outcome:
        """Publish, and wait until everything has arrived or no more comes."""
        self._watcher.ask("forget")
        self._receivers.call("forget")
        self._watcher.answer()
        layout, size = self._layout, self._peer.dialect.delivery_size(self._layout.topics[0], load.size)
        watched = layout.deliveries(layout.subscriptions[:1], load.messages)
        counted = layout.deliveries(layout.subscriptions[1:], load.messages)
        meter, start = Meter(self._peer.pids), time.monotonic() + _LEAD_SECONDS
        end = start + load.seconds
        limits = Limits(until=end, patience=_PATIENCE, deadline=end + _MOST_LAG)
        self._watcher.ask("watch", watched, limits)
        self._receivers.ask("receive", counted * size, _WAITING_BYTES / (load.rate * load.size), limits)
        self._publisher.ask("publish", layout.topics, load.size, load.rate, load.messages, start)
        published = self._publisher.answer()
        count, watch = self._receivers.answer(), self._watcher.answer()
        cpu, now = meter.used(), time.monotonic()
        expected, delivered = watched + counted, watch.messages + round(count.data / size)
        finished = max(count.finished, watch.finished) if delivered == expected else now
        return Outcome(
            expected=expected,
            delivered=delivered,
            published=published,
            counted=count,
            watched=watch,
            cpu=cpu,
            seconds=finished - start,
            lag=finished - start - published.seconds,
        )
