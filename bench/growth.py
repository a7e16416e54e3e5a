"""How the cost grows with what is there already: the length of the log, and the number of processes."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from bench import durable, logfile
from bench.fanout import Point, measure_one
from bench.peers.base import Peer
from bench.peers.fanline import Fanline, FanlineDialect, TwoWorkers
from bench.pushers import Pushers
from bench.rig import Load, Rig
from bench.samples import Sample
from bench.setup import Site
from bench.wire import Stream
from bench.workers import Worker

_PIPELINED: Final = durable.Case(clients=1, window=1_000, seconds=2.0)
_WAITING: Final = durable.Case(clients=1, window=1, seconds=2.0)

# Messages that a subscriber who comes back has missed, of one topic among a thousand.
_MISSED: Final = 100
_RESUMES: Final = 20


def measure_log(site: Site, logs: Sequence[int | Path], rounds: int) -> Iterator[Sample]:
    """Yield what publishing and resuming cost with each log, round after round.

    Args:
        site: Where to.
        logs: Each the length of one to be made, or the folder of one that was made, which grows by this.
        rounds: How often.
    """
    for log in logs:
        place = site.place()
        data = place / "data"
        if isinstance(log, Path):
            rows = logfile.rounded_length(log)
            data.symlink_to(log.resolve())
        elif rows := log:
            logfile.fill(data, rows)
        for _ in range(rounds):
            with Fanline(place, site.certificates) as server, Worker(Pushers) as pushers:
                yield _with_log(server, pushers, rows)


def _with_log(server: Fanline, pushers: Worker, rows: int) -> Sample:
    resumes = [_resume(server, rows, number) for number in range(_RESUMES)] if rows else []
    waiting = durable.perform(server, pushers, _WAITING).figures
    pipelined = durable.perform(server, pushers, _PIPELINED).figures
    figures = {
        "rate": pipelined["rate"],
        "cpu_all": pipelined["cpu_all"],
        "p50": waiting["p50"],
        "p99": waiting["p99"],
    }
    if resumes:
        figures |= {"resume": median(resumes), "resume_worst": max(resumes)}
    return Sample("log", server.name, {"rows": rows}, figures)


def _resume(server: Fanline, rows: int, number: int) -> float:
    """Return the seconds until a subscriber who comes back has the first of what it missed."""
    position = (rows - (_MISSED + 1) * logfile.TOPICS) * number // _RESUMES
    topic = logfile.topic(number * 37)
    dialect = FanlineDialect()
    with Stream(server.subscribe_at, server.subscribe_at.context()) as stream:
        began = time.monotonic()
        dialect.resume(stream, topic, position)
        for _ in range(_MISSED):
            stream.read_until(b'"content":')
        return time.monotonic() - began


def measure_workers(site: Site, load: Load, subscribers: int, rounds: int) -> Iterator[Sample]:
    """Yield what a delivery costs with one process of each edge and with two, round after round."""
    point = Point("one", subscribers, load)
    peers: tuple[type[Peer], ...] = (Fanline, TwoWorkers)
    with Rig() as rig:
        for _ in range(rounds):
            for peer in peers:
                for sample in measure_one(site, rig, peer, [point]):
                    yield msgspec.structs.replace(sample, part="workers")
