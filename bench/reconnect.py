"""The return of all subscribers at once, after their server was killed: until the last has what it missed."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from bench.crowd import TOPIC, Crowd, measure_crowds
from bench.peers.base import FIRST_POSITION, Peer
from bench.publishing import Publisher
from bench.receivers import Limits
from bench.samples import Sample
from bench.setup import Site

_SIZE: Final = 120
_BEFORE: Final = 100
_MISSED: Final = 100
_RATE: Final = 1_000
_PATIENCE: Final = 5.0
_DEADLINE: Final = 60.0


def measure(site: Site, peers: Sequence[type[Peer]], crowds: Sequence[int], rounds: int) -> Iterator[Sample]:
    """Return the samples: of each server with each number of subscribers, round after round."""
    return measure_crowds(site, peers, crowds, rounds, _perform)


def _perform(server: Peer, crowd: Crowd, subscribers: int) -> Sample:
    crowd.arrive()
    _publish(server, _BEFORE)
    delivering = server.delivering
    server.kill(delivering)
    missed = _MISSED if server.keeps else 0
    _publish(server, missed)
    began = time.monotonic()
    server.restart(delivering)
    started = time.monotonic()
    arrival = crowd.come_back(FIRST_POSITION + _BEFORE)
    size = server.dialect.delivery_size(TOPIC, _SIZE)
    limits = Limits(until=time.monotonic(), patience=_PATIENCE, deadline=time.monotonic() + _DEADLINE)
    data, finished = crowd.receive(missed * size, limits)
    figures = {
        "start": started - began,
        "seconds": max(finished, started + arrival.seconds) - started,
        "cpu": arrival.cpu / subscribers,
        "missed": missed * subscribers,
        "resumed": round(data / size),
        "generator": arrival.generator / arrival.seconds,
    }
    lost = figures["missed"] - figures["resumed"]
    warnings = [f"{lost:,.0f} of {figures['missed']:,} missed messages did not come"] if lost else []
    return Sample("reconnect", server.name, {"subscribers": subscribers}, figures, warnings)


def _publish(server: Peer, count: int) -> None:
    """Publish messages, if there are any to be published, and wait until the server has them."""
    if count:
        publisher = Publisher()
        publisher.connect(server.publish_at, server.dialect)
        publisher.publish([TOPIC], _SIZE, _RATE, count, time.monotonic())
        time.sleep(0.5)
        publisher.close()
