"""The parts, and which cases each command measures: in full, and quickly."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Final, NamedTuple

from bench import parts
from bench.runner import Case, Part, Step

_FANLINE: Final = ("fanline",)
_PAIR: Final = ("fanline", "nats")
_LIVE: Final = ("fanline", "nats", "mosquitto", "naive", "centrifugo")
_STORING: Final = ("fanline", "jetstream-always", "jetstream")

_POINT: Final = ("topics", "subscribers", "rate", "size")
_ACKED: Final = ("clients", "window", "together", "size")

FANOUT: Final = Part("fanout", parts.fanout, _LIVE, _POINT)
PEAK: Final = Part("peak", parts.peak, _LIVE, ("subscribers", "size"))
DISK: Final = Part("disk", parts.disk, _FANLINE, ())
DURABLE: Final = Part("durable", parts.durable, (*_STORING, "centrifugo"), _ACKED)
LATENCY: Final = Part("latency", parts.fanout, _STORING, ("rate", "size"))
IDLE: Final = Part("idle", parts.idle, _LIVE, ("subscribers",))
RECONNECT: Final = Part("reconnect", parts.reconnect, _LIVE, ("subscribers",))
LOG: Final = Part("log", parts.log, _FANLINE, ("rows",))
WORKERS: Final = Part("workers", parts.fanout, ("fanline", "fanline, 2 workers"), _POINT)
EVENTS: Final = Part("events", parts.fanout, ("fanline", "fanline-events"), _POINT)
STREAMS: Final = Part("streams", parts.idle, ("fanline", "fanline-events"), ("subscribers",))
POST: Final = Part(
    "post", parts.durable, ("fanline", "fanline-post", "jetstream-always"), ("clients", "size")
)
PRESENCE: Final = Part("presence", parts.idle, ("fanline", "fanline-presence"), ("topics", "subscribers"))
LATEST: Final = Part("latest", parts.latest, _FANLINE, ("rows",))
CHAT: Final = Part("chat", parts.chat, ("fanline", "chat"), ("subscribers", "rate", "size"))

# The limits of the grid: beyond them the machine or the generator would be measured.
MAX_DELIVERIES: Final = 1_000_000
MAX_BYTES: Final = 600_000_000


class Scope(NamedTuple):
    """Extent of the measurements.

    Attributes:
        is_quick: Whether to measure little, to see that everything works.
        log: The folder of a long log to measure as well.
    """

    is_quick: bool = False
    log: Path | None = None


def grid() -> list[Case]:
    """Return the cases of fan-out that this machine should bear."""
    return [
        Case("one", subscribers, rate, size, 1.2)
        for subscribers, size, rate in product(
            (1, 10, 100, 1_000), (100, 1_024, 16_384), (10, 100, 500, 1_000, 5_000)
        )
        if subscribers * rate <= MAX_DELIVERIES and subscribers * rate * size <= MAX_BYTES
    ]


def _together(cases: Sequence[Case]) -> list[list[Case]]:
    """Return groups of neighboring cases with the same subscribers."""
    return [list(group) for _, group in groupby(cases, lambda case: (case.topics, case.subscribers))]


def _alone(*cases: Case) -> list[list[Case]]:
    return [[case] for case in cases]


def _fanout(scope: Scope) -> Iterator[Step]:
    if scope.is_quick:
        yield Step(FANOUT, _alone(*(Case(subscribers=each, seconds=1) for each in (10, 100, 1_000))), _PAIR)
        return
    common = [Case("one", *each, 100, 1.2) for each in product((10, 100, 1_000), (100, 500))]
    yield Step(FANOUT, _together(common), _LIVE)
    yield Step(FANOUT, _together([case for case in grid() if case not in common]), _PAIR, 1)
    others = [Case("own", topics, 1_000, 120, 3) for topics in (100, 1_000, 10_000)]
    others += [Case(layout, 1_000, 500) for layout in ("random", "wild")]
    yield Step(FANOUT, _alone(*others), _PAIR, 1)


def _peak(scope: Scope) -> Iterator[Step]:
    crowds = (200,) if scope.is_quick else (100, 1_000)
    cases = [DEFAULTS["peak"]._replace(subscribers=each) for each in crowds]
    yield Step(PEAK, _alone(*cases), _PAIR, 1)


def _durable(scope: Scope) -> Iterator[Step]:
    seconds = 1.0 if scope.is_quick else 3.0
    ways = [(1, 1, 1), (1, 1_000, 1), (1, 1_000, 100), (100, 1, 1), (100, 100, 1)]
    cases = [
        Case(clients=clients, window=window, together=together, size=128, seconds=seconds)
        for clients, window, together in ways
    ]
    yield Step(DISK, _alone(Case()), _FANLINE)
    yield Step(DURABLE, _alone(*cases), _STORING)


def _latency(scope: Scope) -> Iterator[Step]:
    full = Case(rate=10, seconds=6), Case(rate=1_000, seconds=3), Case(rate=20_000, seconds=3)
    quick = Case(rate=1_000, seconds=1)
    cases = [case._replace(subscribers=1) for case in ([quick] if scope.is_quick else full)]
    yield Step(LATENCY, _alone(*cases), _STORING)


def _idle(scope: Scope) -> Iterator[Step]:
    if scope.is_quick:
        yield Step(IDLE, _alone(DEFAULTS["idle"]), _PAIR)
        return
    yield Step(IDLE, _alone(DEFAULTS["idle"]._replace(subscribers=2_000)), _LIVE, 1)
    yield Step(IDLE, _alone(DEFAULTS["idle"]._replace(subscribers=10_000)), _PAIR, 2)


def _reconnect(scope: Scope) -> Iterator[Step]:
    yield Step(RECONNECT, _alone(Case(subscribers=1_000 if scope.is_quick else 5_000)), _PAIR, 2)


def _growth(scope: Scope) -> Iterator[Step]:
    rows = (0, 1_000_000) if scope.is_quick else (0, 1_000_000, 10_000_000)
    cases = [DEFAULTS["growth"]._replace(rows=each) for each in rows]
    cases += [DEFAULTS["growth"]._replace(log=scope.log)] if scope.log else []
    yield Step(LOG, _alone(*cases), _FANLINE, 1)
    yield Step(WORKERS, _alone(Case(subscribers=1_000, seconds=1 if scope.is_quick else 2)), WORKERS.peers)


def _chat(scope: Scope) -> Iterator[Step]:
    members = (100,) if scope.is_quick else (100, 500)
    cases = [
        Case("one", each, rate, 300, 1 if scope.is_quick else 2) for each in members for rate in (10, 100)
    ]
    yield Step(CHAT, _together(cases), CHAT.peers, 1)


def _http(scope: Scope) -> Iterator[Step]:
    seconds, streams = (1.0, 500) if scope.is_quick else (3.0, 2_000)
    points = [(100, 500), (1_000, 100)] if scope.is_quick else product((100, 1_000), (100, 500))
    cases = [Case("one", subscribers, rate, seconds=seconds) for subscribers, rate in points]
    yield Step(EVENTS, _alone(*cases), EVENTS.peers)
    yield Step(STREAMS, _alone(DEFAULTS["idle"]._replace(subscribers=streams)), STREAMS.peers)
    posts = [Case(clients=clients, size=128, seconds=seconds) for clients in (1, 100)]
    yield Step(POST, _alone(*posts), POST.peers)


def _presence(scope: Scope) -> Iterator[Step]:
    present, rows = (200, 2_000) if scope.is_quick else (10_000, 100_000)
    cases = [DEFAULTS["idle"]._replace(topics=topics, subscribers=present) for topics in ("one", "own")]
    yield Step(PRESENCE, _alone(*cases), PRESENCE.peers, 1)
    yield Step(LATEST, _alone(Case(rows=rows)), _FANLINE)


def _compare(scope: Scope) -> Iterator[Step]:
    seconds, crowd = (0.5, 200) if scope.is_quick else (3.0, 2_000)
    yield Step(FANOUT, _alone(*(Case(subscribers=each, seconds=seconds) for each in (100, 1_000))), _FANLINE)
    acked = [Case(clients=1, window=window, size=128, seconds=seconds) for window in (1, 1_000)]
    yield Step(DURABLE, _alone(*acked), _FANLINE)
    yield Step(IDLE, _alone(Case(subscribers=crowd, seconds=seconds)), _FANLINE)


def _all(scope: Scope) -> Iterator[Step]:
    for name, plan in PLANS.items():
        if name not in ("all", "compare"):
            yield from plan(scope)


PLANS: Final[dict[str, Callable[[Scope], Iterator[Step]]]] = {
    "fanout": _fanout,
    "peak": _peak,
    "durable": _durable,
    "latency": _latency,
    "idle": _idle,
    "reconnect": _reconnect,
    "growth": _growth,
    "chat": _chat,
    "http": _http,
    "presence": _presence,
    "compare": _compare,
    "all": _all,
}

# The case that the options of a command change, and its part.
PARTS: Final = {
    "fanout": FANOUT, "peak": PEAK, "durable": DURABLE, "latency": LATENCY, "idle": IDLE,
    "reconnect": RECONNECT, "growth": LOG, "chat": CHAT,
}  # fmt: skip
DEFAULTS: Final = {
    "fanout": Case(),
    "peak": Case(rate=100_000, seconds=1.5),
    "durable": Case(seconds=3, size=128),
    "latency": Case(subscribers=1, rate=1_000, seconds=3),
    "idle": Case(subscribers=1_000, seconds=3),
    "reconnect": Case(subscribers=1_000),
    "growth": Case(window=1_000, size=128),
    "chat": Case(rate=100, size=300),
}


def one_case(command: str, **given: object) -> Step:
    """Return the step of a command's default case with some fields replaced."""
    part, case = PARTS[command], DEFAULTS[command]._replace(**given)  # type: ignore[arg-type]
    return Step(part, _alone(case), part.peers)
