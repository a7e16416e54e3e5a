"""Fan-out: the CPU of a delivery, by number of subscribers, messages a second, and size."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from bench.layouts import LAYOUTS
from bench.peers.base import Peer
from bench.rig import Load, Outcome, Rig
from bench.samples import Sample, Setting
from bench.setup import Site

_WARM_UP: Final = Load(rate=200, size=200, seconds=0.5)


class Point(NamedTuple):
    """One point of the grid.

    Attributes:
        layout: Who subscribes to what; see :data:`bench.layouts.LAYOUTS`.
        subscribers: How many.
        load: What is published.
    """

    layout: str
    subscribers: int
    load: Load

    @property
    def setting(self) -> Setting:
        """What a sample says of it."""
        return {
            "topics": self.layout,
            "subscribers": self.subscribers,
            "rate": self.load.rate,
            "size": self.load.size,
        }


def measure(
    site: Site, peers: Sequence[type[Peer]], points: Sequence[Point], rounds: int
) -> Iterator[Sample]:
    """Yield a sample of each server at each point, round after round.

    In a round the servers take turns, so that what disturbs the machine for a while disturbs all of them.
    Points that follow each other and have the same subscribers share their connections.
    """
    with Rig() as rig:
        for _ in range(rounds):
            for _, group in groupby(points, lambda point: (point.layout, point.subscribers)):
                same = list(group)
                for peer in peers:
                    yield from measure_one(site, rig, peer, same)


def measure_one(site: Site, rig: Rig, peer: type[Peer], points: Sequence[Point]) -> Iterator[Sample]:
    """Yield a sample of one server at each of some points that have the same subscribers."""
    layout = LAYOUTS[points[0].layout](points[0].subscribers)
    with peer(site.place(), site.certificates) as server:
        rig.connect(server, layout)
        rig.perform(_WARM_UP)
        for point in points:
            yield sample(server, point, rig.perform(point.load))
        rig.disconnect()


def sample(server: Peer, point: Point, outcome: Outcome) -> Sample:
    """Return what is kept of an outcome."""
    first = outcome.cpu[server.delivering]
    everything = sum(outcome.cpu.values())
    delivered, seconds = max(1, outcome.delivered), outcome.seconds
    figures = {
        "cpu": first / delivered,
        "cpu_all": everything / delivered,
        "cores": first / seconds,
        "cores_all": everything / seconds,
        "delivered": outcome.delivered,
        "rate": outcome.delivered / seconds,
        "records": outcome.counted.records / delivered,
        "lag": outcome.lag,
        "late": outcome.published.late,
        "generator": max(outcome.generator) / seconds,
        "generator_all": sum(outcome.generator) / seconds,
    }
    return Sample("fanout", server.name, point.setting, figures | outcome.waits, list(outcome.warnings()))
