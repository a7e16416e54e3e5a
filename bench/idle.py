"""Connections that wait: what one takes of memory and CPU, how fast they come, and whether all are served."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench import memory
from bench.cpu import Meter
from bench.crowd import TOPIC, Arrival, Crowd, measure_crowds
from bench.peers.base import Peer
from bench.publishing import Publisher
from bench.receivers import Limits
from bench.samples import Sample, Setting
from bench.setup import Site

_SIZE: Final = 120
_SETTLE_SECONDS: Final = 3.0
_PATIENCE: Final = 5.0
_BUSY: Final = 0.9


def measure(site: Site, peers: Sequence[type[Peer]], crowds: Sequence[int], rounds: int) -> Iterator[Sample]:
    """Return the samples: of each server with each number of subscribers, round after round."""
    return measure_crowds(site, peers, crowds, rounds, lambda *each: _Waiting(*each).sample())


class _Waiting:
    """One crowd at one server."""

    def __init__(self, server: Peer, crowd: Crowd, subscribers: int) -> None:
        self._server = server
        self._crowd = crowd
        self._subscribers = subscribers

    def sample(self) -> Sample:
        """Let them come, wait, and get one message."""
        before = self._memory()
        arrival = self._crowd.arrive()
        meter = Meter(self._server.pids)
        time.sleep(_SETTLE_SECONDS)
        idle = sum(meter.used().values()) / _SETTLE_SECONDS
        waiting = self._memory().since(before)
        delivered, seconds = self._deliver()
        served = self._memory().since(before)
        figures = self._per_connection("", waiting) | self._per_connection("served_", served)
        figures |= {
            "connections": self._subscribers / arrival.seconds,
            "cpu": arrival.cpu / self._subscribers,
            "cores_idle": idle,
            "delivered": delivered,
            "seconds": seconds,
            "generator": arrival.generator / arrival.seconds,
        }
        setting: Setting = {"subscribers": self._subscribers}
        return Sample("idle", self._server.name, setting, figures, list(self._warnings(figures, arrival)))

    def _memory(self) -> memory.Memory:
        """Return what the process has that they are connected to."""
        return memory.of_tree(self._server.pids[self._server.delivering])

    def _per_connection(self, prefix: str, total: memory.Memory) -> dict[str, float]:
        return {
            f"{prefix}rss": total.rss / self._subscribers,
            f"{prefix}pss": total.pss / self._subscribers,
        }

    def _deliver(self) -> tuple[int, float]:
        """Publish one message; return to how many it came, and within how many seconds."""
        publisher = Publisher()
        publisher.connect(self._server.publish_at, self._server.dialect)
        self._crowd.forget()
        start = time.monotonic()
        publisher.publish([TOPIC], _SIZE, 1, 1, start)
        size = self._server.dialect.delivery_size(TOPIC, _SIZE)
        limits = Limits(until=start, patience=_PATIENCE, deadline=start + 2 * _PATIENCE)
        data, finished = self._crowd.receive(size, limits)
        publisher.close()
        return round(data / size), finished - start

    def _warnings(self, figures: Mapping[str, float], arrival: Arrival) -> Iterator[str]:
        if figures["delivered"] != self._subscribers:
            yield f"{figures['delivered']:,.0f} of {self._subscribers:,} got the message"
        if arrival.generator > _BUSY * arrival.seconds:
            yield "the generator was the bottleneck of connecting"
