"""Chat: the CPU of a message to a member, and the memory of one, beside those of a plain subscriber."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from bench import memory
from bench.layouts import one_topic
from bench.peers.base import Peer
from bench.peers.chat import Chat
from bench.peers.fanline import Fanline
from bench.rig import Load, Outcome, Rig
from bench.samples import Sample, Setting
from bench.setup import Site

_WARM_UP: Final = Load(rate=50, size=300, seconds=0.5)

# When many come into a room, all who are there are told of each.
_SETTLE_SECONDS: Final = 2.0

_SERVERS: Final[tuple[type[Peer], ...]] = (Fanline, Chat)


def measure(site: Site, crowds: Sequence[int], loads: Sequence[Load], rounds: int) -> Iterator[Sample]:
    """Yield a sample of chat, and one of the pipeline alone, for each crowd and load, round after round."""
    with Rig() as rig:
        for _ in range(rounds):
            for members in crowds:
                for peer in _SERVERS:
                    with peer(site.place(), site.certificates) as server:
                        yield from _measure_one(rig, server, members, loads)


def _measure_one(rig: Rig, server: Peer, members: int, loads: Sequence[Load]) -> Iterator[Sample]:
    before = memory.of_tree(server.pids[server.delivering])
    rig.connect(server, one_topic(members))
    time.sleep(_SETTLE_SECONDS)
    each = memory.of_tree(server.pids[server.delivering]).since(before).rss / members
    rig.perform(_WARM_UP)
    for load in loads:
        yield _sample(server, members, load, rig.perform(load), each)
    rig.disconnect()


def _sample(server: Peer, members: int, load: Load, outcome: Outcome, each: float) -> Sample:
    setting: Setting = {"members": members, "rate": load.rate, "size": load.size}
    delivered = outcome.delivered
    if isinstance(server, Chat):
        delivered += outcome.published.messages  # who says something hears it as well
    figures = {
        "cpu": outcome.cpu[server.delivering] / max(1, delivered),
        "cpu_all": sum(outcome.cpu.values()) / max(1, delivered),
        "rss": each,
        "generator": max(outcome.generator) / outcome.seconds,
    }
    return Sample("chat", server.name, setting, figures | outcome.waits, list(outcome.warnings()))
