"""Thousands of subscribers, connected by several processes at once: one could not keep a server busy."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, Self

from bench.cpu import Meter
from bench.peers.base import Peer
from bench.receivers import Count, Limits, Receivers
from bench.samples import Sample
from bench.setup import Site
from bench.workers import Worker

TOPIC: Final = "bench.0"

_PROCESSES: Final = 2
_PAUSE: Final = 0.01


class Arrival(NamedTuple):
    """How connecting went.

    Attributes:
        seconds: Until the last was subscribed.
        cpu: Seconds of CPU of the process that they are connected to.
        generator: Seconds of CPU of the busiest process of the generator.
    """

    seconds: float
    cpu: float
    generator: float


class Crowd:
    """Subscribers of one topic, while a ``with`` block runs.

    Args:
        server: What they connect to.
        subscribers: How many; an even number.
    """

    def __init__(self, server: Peer, subscribers: int) -> None:
        self._server = server
        self._part = subscribers // _PROCESSES
        self._running = ExitStack()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._workers = [starting.enter_context(Worker(Receivers)) for _ in range(_PROCESSES)]
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def arrive(self) -> Arrival:
        """Connect all of them, as fast as it goes."""
        return self._timed("connect", [(TOPIC,)] * self._part)

    def come_back(self, position: int) -> Arrival:
        """Connect all of them again, as fast as it goes, to get everything after a position."""
        return self._timed("come_back", TOPIC, position)

    def forget(self) -> None:
        """Count from nothing again."""
        self._call("forget")

    def receive(self, each: int, limits: Limits) -> tuple[int, float]:
        """Wait until each has received so many bytes.

        Returns:
            How many bytes came to all of them, and when the last came.
        """
        counts: list[Count] = self._call("receive", each * self._part, _PAUSE, limits)
        return sum(count.data for count in counts), max(count.finished for count in counts)

    def _timed(self, method: str, *args: object) -> Arrival:
        server, began = self._server, time.monotonic()
        first = server.delivering
        meter = Meter({first: server.pids[first]})
        cpu = self._call(method, server.subscribe_at, server.dialect, *args)
        return Arrival(time.monotonic() - began, meter.used()[first], max(cpu))

    def _call(self, method: str, *args: object) -> list[Any]:
        for worker in self._workers:
            worker.ask(method, *args)
        return [worker.answer() for worker in self._workers]


def measure_crowds(
    site: Site,
    peers: Sequence[type[Peer]],
    crowds: Sequence[int],
    rounds: int,
    measure: Callable[[Peer, Crowd, int], Sample],
) -> Iterator[Sample]:
    """Yield what is measured of each server and a crowd of each size, round after round.

    Args:
        site: Where to run the servers.
        peers: The servers.
        crowds: How many subscribers.
        rounds: How often.
        measure: Makes one sample, of a crowd that has not connected yet.
    """
    for _ in range(rounds):
        for subscribers in crowds:
            for peer in peers:
                with peer(site.place(), site.certificates) as server, Crowd(server, subscribers) as crowd:
                    yield measure(server, crowd, subscribers)
