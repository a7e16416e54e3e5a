"""Durable publishing: messages acknowledged once they are stored, by how many clients and how they wait."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bench.cpu import Meter
from bench.peers.base import Peer
from bench.pushers import Pushed, Pushers
from bench.samples import Sample, Setting
from bench.setup import Site
from bench.workers import Worker

_WARM_UP_SECONDS: Final = 0.3
_BUSY: Final = 0.9


class Case(NamedTuple):
    """Who publishes, and how.

    Attributes:
        clients: How many.
        window: Messages that each has on the way.
        together: Messages to a frame.
        size: Bytes of the content of each.
        seconds: How long.
    """

    clients: int
    window: int
    together: int = 1
    size: int = 128
    seconds: float = 3.0

    @property
    def setting(self) -> Setting:
        """What a sample says of it."""
        return {"clients": self.clients, "window": self.window, "together": self.together, "size": self.size}


def measure(site: Site, peers: Sequence[type[Peer]], cases: Sequence[Case], rounds: int) -> Iterator[Sample]:
    """Yield a sample of each server for each case, round after round.

    Each is a server of its own, so that none has the backlog of the case before.
    """
    with Worker(Pushers) as pushers:
        for _ in range(rounds):
            for case in cases:
                for peer in peers:
                    with peer(site.place(), site.certificates) as server:
                        yield perform(server, pushers, case)


def perform(server: Peer, pushers: Worker, case: Case) -> Sample:
    """Publish for a while, and return what came of it."""
    address = server.publish_at
    pushers.call("connect", address, server.dialect, case.clients, case.size, case.together)
    pushers.call("push", case.window, _WARM_UP_SECONDS)
    meter = Meter(server.pids)
    pushed: Pushed = pushers.call("push", case.window, case.seconds)
    used = sum(meter.used().values())
    pushers.call("close")
    figures = {
        "rate": pushed.acked / pushed.seconds,
        "cpu_all": used / max(1, pushed.acked),
        "cores_all": used / pushed.seconds,
        "generator": pushed.cpu / pushed.seconds,
    }
    warnings = ["the generator was the bottleneck"] if figures["generator"] > _BUSY else []
    if pushed.acked < case.clients * case.window:
        warnings.append(
            f"only {pushed.acked:,} acknowledgements came, fewer than there were messages on the way"
        )
    return Sample("durable", server.name, case.setting, figures | pushed.waits, warnings)
