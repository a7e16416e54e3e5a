"""End to end: from the moment a message is due until a subscriber has it, stored on the way."""

from collections.abc import Iterator, Sequence
from typing import Final

from bench.layouts import one_topic
from bench.peers.base import Peer
from bench.rig import Load, Outcome, Rig
from bench.samples import Sample, Setting
from bench.setup import Site

_WARM_UP: Final = Load(rate=200, size=200, seconds=0.5)


def measure(site: Site, peers: Sequence[type[Peer]], loads: Sequence[Load], rounds: int) -> Iterator[Sample]:
    """Yield a sample of each server under each load, round after round."""
    with Rig() as rig:
        for _ in range(rounds):
            for load in loads:
                for peer in peers:
                    with peer(site.place(), site.certificates) as server:
                        rig.connect(server, one_topic(1))
                        rig.perform(_WARM_UP)
                        yield _sample(peer.name, load, rig.perform(load))
                        rig.disconnect()


def _sample(peer: str, load: Load, outcome: Outcome) -> Sample:
    setting: Setting = {"rate": load.rate, "size": load.size}
    figures = {
        "delivered": outcome.delivered,
        "cores_all": sum(outcome.cpu.values()) / outcome.seconds,
        "late": outcome.published.late,
        "generator": max(outcome.generator) / outcome.seconds,
    }
    return Sample("latency", peer, setting, figures | outcome.waits, list(outcome.warnings()))
