"""What is measured by default, and about how long it takes: in full, and quickly."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from bench import chat, disk, durable, fanout, growth, idle, latency, peak, reconnect
from bench.peers.base import Peer
from bench.rig import Load
from bench.samples import Sample
from bench.setup import Site, choose

SUBSCRIBERS: Final = (1, 10, 100, 1_000)
RATES: Final = (10, 100, 500, 1_000, 5_000)
SIZES: Final = (100, 1_024, 16_384)

# Beyond either, it is the machine that is measured, or the generator.
MOST_DELIVERIES: Final = 1_000_000
MOST_BYTES: Final = 600_000_000

# Those points of the grid at which all servers are measured, also the slower ones.
_COMMON_SUBSCRIBERS: Final = (10, 100, 1_000)
_COMMON_RATES: Final = (100, 500)

# Seconds that it takes to start a server, and to connect a thousand subscribers to it.
_START: Final = 3.0
_CONNECT: Final = 2.0

_STORING: Final = ("fanline", "jetstream-always", "jetstream")


class Options(NamedTuple):
    """How to measure.

    Attributes:
        rounds: How often each measurement is made.
        is_quick: Whether to see only that all works, and roughly where things are.
        peers: Which servers, where a part has more.
        log: The folder of a large log to measure with as well, if there is one.
    """

    rounds: int
    is_quick: bool
    peers: Sequence[str]
    log: Path | None = None

    @property
    def fewer(self) -> "Options":
        """The same with a round less, for what takes long."""
        return self._replace(rounds=max(1, self.rounds - 1))

    def among(self, *names: str) -> list[type[Peer]]:
        """Return those of these servers that are wanted and can be run here."""
        return choose([name for name in names if name in self.peers])[0]


class Step(NamedTuple):
    """A stretch of a run.

    Attributes:
        samples: How many samples it yields.
        seconds: How long it takes, about.
        measure: Does it.
    """

    samples: int
    seconds: float
    measure: Callable[[Site], Iterator[Sample]]


def grid(seconds: float) -> list[fanout.Point]:
    """Return the points of the grid that this machine can be expected to bear, by subscribers."""
    return [
        fanout.Point("one", subscribers, Load(rate, size, seconds))
        for subscribers, size, rate in product(SUBSCRIBERS, SIZES, RATES)
        if is_bearable(subscribers, rate, size)
    ]


def is_bearable(subscribers: int, rate: float, size: int) -> bool:
    """Whether a point is within the limits."""
    return subscribers * rate <= MOST_DELIVERIES and subscribers * rate * size <= MOST_BYTES


def fan_out(options: Options) -> list[Step]:
    """Return the grid, the points at which all servers are measured, and the other layouts of topics."""
    seconds = 1.0 if options.is_quick else 1.2
    if options.is_quick:
        points = [fanout.Point("one", each, Load(500, 120, seconds)) for each in (10, 100, 1_000)]
        return [fan_out_step(options, ("fanline", "nats"), points)]
    common = [
        fanout.Point("one", subscribers, Load(rate, 100, seconds))
        for subscribers, rate in product(_COMMON_SUBSCRIBERS, _COMMON_RATES)
    ]
    rest = [point for point in grid(seconds) if point not in common]
    others = [fanout.Point("own", topics, Load(1_000, 120, 3.0)) for topics in (100, 1_000, 10_000)]
    others += [fanout.Point(layout, 1_000, Load(500, 120, 2.0)) for layout in ("random", "wild")]
    return [
        fan_out_step(options, ("fanline", "nats", "mosquitto", "naive"), common),
        fan_out_step(options.fewer, ("fanline", "nats"), rest),
        fan_out_step(options.fewer, ("fanline", "nats"), others),
    ]


def fan_out_step(options: Options, names: Sequence[str], points: Sequence[fanout.Point]) -> Step:
    """Return the measurement of some servers at some points."""
    peers = options.among(*names)
    sessions = {(point.layout, point.subscribers) for point in points}
    once = sum(_START + _CONNECT * subscribers / 1_000 for _, subscribers in sessions)
    once += sum(point.load.seconds + 0.3 for point in points)
    return Step(
        len(points) * len(peers) * options.rounds,
        once * len(peers) * options.rounds,
        lambda site: fanout.measure(site, peers, points, options.rounds),
    )


def highest(options: Options) -> list[Step]:
    """Return the search for the highest rate."""
    crowds = (200,) if options.is_quick else (100, 1_000)
    cases = [peak.Case(subscribers, 120, 1.0 if options.is_quick else 1.5) for subscribers in crowds]
    return [peak_step(options.fewer, cases)]


def peak_step(options: Options, cases: Sequence[peak.Case]) -> Step:
    """Return the search for the highest rate in some cases."""
    peers, rounds = options.among("fanline", "nats"), options.rounds
    once = sum(8 * case.seconds + 3 * (_START + 5 + _CONNECT * case.subscribers / 1_000) for case in cases)
    return Step(
        len(cases) * len(peers) * rounds,
        once * len(peers) * rounds,
        lambda site: peak.measure(site, peers, cases, rounds),
    )


def durable_publishing(options: Options) -> list[Step]:
    """Return the floor that the disk sets, and every way to wait for acknowledgements."""
    seconds = 1.0 if options.is_quick else 3.0
    cases = [
        durable.Case(clients=1, window=1, seconds=seconds),
        durable.Case(clients=1, window=1_000, seconds=seconds),
        durable.Case(clients=1, window=1_000, together=100, seconds=seconds),
        durable.Case(clients=100, window=1, seconds=seconds),
        durable.Case(clients=100, window=100, seconds=seconds),
    ]
    floor = Step(2 * options.rounds, 1.0 * options.rounds, lambda site: disk.measure(site, options.rounds))
    return [floor, durable_step(options, cases)]


def durable_step(options: Options, cases: Sequence[durable.Case]) -> Step:
    """Return the measurement of durable publishing in some cases."""
    peers = options.among(*_STORING)
    once = sum(case.seconds + _START for case in cases)
    return Step(
        len(cases) * len(peers) * options.rounds,
        once * len(peers) * options.rounds,
        lambda site: durable.measure(site, peers, cases, options.rounds),
    )


def end_to_end(options: Options) -> list[Step]:
    """Return the time from publishing to delivery, at three rates."""
    if options.is_quick:
        return [latency_step(options, [Load(1_000, 120, 1.0)])]
    return [latency_step(options, [Load(10, 120, 6.0), Load(1_000, 120, 3.0), Load(20_000, 120, 3.0)])]


def latency_step(options: Options, loads: Sequence[Load]) -> Step:
    """Return the time from publishing to delivery under some loads."""
    peers = options.among(*_STORING)
    once = sum(load.seconds + _START + 2.0 for load in loads)
    return Step(
        len(loads) * len(peers) * options.rounds,
        once * len(peers) * options.rounds,
        lambda site: latency.measure(site, peers, loads, options.rounds),
    )


def waiting(options: Options) -> list[Step]:
    """Return what connections take that wait; with Mosquitto only few, for it takes them in slowly."""
    if options.is_quick:
        return [idle_step(options, ("fanline", "nats"), [1_000])]
    every = ("fanline", "nats", "mosquitto", "naive")
    return [
        idle_step(options.fewer, every, [2_000]),
        idle_step(options.fewer.fewer, ("fanline", "nats"), [10_000]),
    ]


def idle_step(options: Options, names: Sequence[str], crowds: Sequence[int]) -> Step:
    """Return what some servers take for some numbers of connections."""
    peers, rounds = options.among(*names), options.rounds
    once = sum(_START + 4 + 2 * _CONNECT * crowd / 1_000 for crowd in crowds)
    return Step(
        len(crowds) * len(peers) * rounds,
        once * len(peers) * rounds,
        lambda site: idle.measure(site, peers, crowds, rounds),
    )


def coming_back(options: Options) -> list[Step]:
    """Return how long it takes all subscribers to come back."""
    return [reconnect_step(options.fewer.fewer, [1_000 if options.is_quick else 5_000])]


def reconnect_step(options: Options, crowds: Sequence[int]) -> Step:
    """Return the same for some numbers of subscribers."""
    peers, rounds = options.among("fanline", "nats"), options.rounds
    once = sum(2 * _START + 5 * _CONNECT * crowd / 1_000 for crowd in crowds)
    return Step(
        len(crowds) * len(peers) * rounds,
        once * len(peers) * rounds,
        lambda site: reconnect.measure(site, peers, crowds, rounds),
    )


def growing(options: Options) -> list[Step]:
    """Return how the cost grows with the log, and with more processes."""
    lengths = [0, 1_000_000] if options.is_quick else [0, 1_000_000, 10_000_000]
    return [log_step(options.fewer, lengths), workers_step(options)]


def log_step(options: Options, lengths: Sequence[int]) -> Step:
    """Return what publishing and resuming cost with logs of some lengths, and with one that is there."""
    logs: list[int | Path] = [*lengths, *([options.log] if options.log else [])]
    filling = sum(rows / 200_000 for rows in lengths)
    return Step(
        len(logs) * options.rounds,
        filling + len(logs) * options.rounds * (_START + 6.0),
        lambda site: growth.measure_log(site, logs, options.rounds),
    )


def workers_step(options: Options) -> Step:
    """Return what a delivery costs with one process of each edge and with two."""
    load, subscribers = Load(500, 120, 1.0 if options.is_quick else 2.0), 1_000
    return Step(
        2 * options.rounds,
        2 * options.rounds * (_START + _CONNECT + load.seconds + 1.0),
        lambda site: growth.measure_workers(site, load, subscribers, options.rounds),
    )


def chatting(options: Options) -> list[Step]:
    """Return what chat takes, beside the pipeline alone."""
    crowds = (100,) if options.is_quick else (100, 500)  # each who enters is told to all
    loads = [Load(rate, 300, 1.0 if options.is_quick else 2.0) for rate in (10, 100)]
    return [chat_step(options.fewer, crowds, loads)]


def chat_step(options: Options, crowds: Sequence[int], loads: Sequence[Load]) -> Step:
    """Return what chat takes for some numbers of members and some loads."""
    each = sum(load.seconds + 0.3 for load in loads) + _START + 4.0
    once = sum(each + 3 * _CONNECT * crowd / 1_000 for crowd in crowds)
    return Step(
        2 * len(crowds) * len(loads) * options.rounds,
        2 * once * options.rounds,
        lambda site: chat.measure(site, crowds, loads, options.rounds),
    )


PARTS: Final[dict[str, Callable[[Options], list[Step]]]] = {
    "fanout": fan_out,
    "peak": highest,
    "durable": durable_publishing,
    "latency": end_to_end,
    "idle": waiting,
    "reconnect": coming_back,
    "growth": growing,
    "chat": chatting,
}
