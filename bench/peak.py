"""The highest rate of deliveries that a server sustains: found by raising the load until it falls behind."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

from bench.layouts import one_topic
from bench.peers.base import Peer
from bench.rig import Load, Outcome, Rig
from bench.samples import Sample, Setting
from bench.setup import Site

# Deliveries a second to begin with: few enough for every server.
_FIRST: Final = 20_000
_STEP: Final = 2.0
_HALVINGS: Final = 3
_MOST_STEPS: Final = 14

# A server keeps up if the last delivery comes so soon after the last message, and the messages were taken.
_MOST_LAG: Final = 0.25
_MOST_LATE: Final = 0.1


class Case(NamedTuple):
    """What is held constant while the rate is raised."""

    subscribers: int
    size: int
    seconds: float

    @property
    def setting(self) -> Setting:
        """What a sample says of it."""
        return {"subscribers": self.subscribers, "size": self.size}


def highest(sustains: Callable[[float], bool], first: float) -> float:
    """Return the highest rate that is sustained, to within a tenth; 0 if the first is not.

    Args:
        sustains: Tries a rate.
        first: Where to begin.
    """
    low, high = 0.0, first
    for _ in range(_MOST_STEPS):
        if not sustains(high):
            break
        low, high = high, high * _STEP
    else:
        return low
    for _ in range(_HALVINGS if low else 0):
        middle = (low * high) ** 0.5
        if sustains(middle):
            low = middle
        else:
            high = middle
    return low


def measure(site: Site, peers: Sequence[type[Peer]], cases: Sequence[Case], rounds: int) -> Iterator[Sample]:
    """Yield a sample of each server for each case, round after round."""
    with Rig() as rig:
        for _ in range(rounds):
            for case in cases:
                for peer in peers:
                    yield _Search(site, rig, peer, case).sample()


class _Search:
    """The search for the highest rate of one server."""

    def __init__(self, site: Site, rig: Rig, peer: type[Peer], case: Case) -> None:
        self._site = site
        self._rig = rig
        self._peer = peer
        self._case = case
        self._running = ExitStack()
        self._server: Peer | None = None
        self._figures: dict[str, float] = {"rate": 0.0}
        self._warnings: list[str] = []

    def sample(self) -> Sample:
        """Search, and return what was found."""
        with self._running:
            highest(self._sustains, _FIRST / self._case.subscribers)
        return Sample("peak", self._peer.name, self._case.setting, self._figures, self._warnings)

    def _sustains(self, rate: float) -> bool:
        """Try a rate."""
        server = self._server = self._server or self._start()
        outcome = self._rig.perform(Load(rate, self._case.size, self._case.seconds))
        if _keeps_up(outcome):
            self._figures = _figures(server, outcome)
            return True
        self._warnings = [f"beyond it, {each}" for each in outcome.limits()]
        self._running.close()  # the next rate is not to be tried with the backlog of this one
        self._server = None
        return False

    def _start(self) -> Peer:
        server = self._running.enter_context(self._peer(self._site.place(), self._site.certificates))
        self._running.callback(self._rig.disconnect)
        self._rig.connect(server, one_topic(self._case.subscribers))
        return server


def _keeps_up(outcome: Outcome) -> bool:
    return outcome.is_complete and outcome.lag < _MOST_LAG and outcome.published.late < _MOST_LATE


def _figures(server: Peer, outcome: Outcome) -> dict[str, float]:
    used = outcome.cpu[server.delivering]
    return {
        "rate": outcome.delivered / outcome.seconds,
        "messages": outcome.published.messages / outcome.seconds,
        "cpu": used / outcome.delivered,
        "cores": used / outcome.seconds,
        "cores_all": sum(outcome.cpu.values()) / outcome.seconds,
        "generator": max(outcome.generator) / outcome.seconds,
        "p99": outcome.waits["p99"],
    }
