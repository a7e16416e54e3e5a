"""Measurements: functions that yield a server's result for each case."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from statistics import median
from typing import Final

from bench.load.layouts import LAYOUTS, one_topic
from bench.load.publishers import Pushed
from bench.load.receivers import quantiles
from bench.load.rig import Load, Outcome, busy
from bench.load.wire import MarkCounter, Stream
from bench.peers import logfile
from bench.peers.base import FIRST_POSITION, Peer
from bench.peers.fanline import Chat, Fanline, FanlineDialect, LatestDialect
from bench.runner import Case, Lab, Result
from bench.system import CpuMeter, memory

Results = Iterator[Result]

_WARM_UP: Final = Load(rate=200, size=200, seconds=0.5)
_CHAT_WARM_UP: Final = Load(rate=50, size=300, seconds=0.5)

_ACK_WARM_UP_SECONDS: Final = 0.3

# Peak: deliveries a second to begin with, and when a server has fallen behind.
_FIRST_RATE: Final = 20_000
_HALVINGS: Final = 3
_MAX_LAG: Final = 0.25
_MAX_LATE: Final = 0.1

_MISSED: Final = 100
_RESUMES: Final = 20
_DISK_TIMES: Final = 500


def _load(case: Case) -> Load:
    return Load(case.rate, case.size, case.seconds)


def fanout(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure the CPU of a delivery.

    Cases with the same subscribers share a server.
    """
    layout = LAYOUTS[cases[0].topics](cases[0].subscribers)
    with lab.serve(peer) as server:
        lab.rig.connect(server, layout)
        lab.rig.perform(_WARM_UP)
        for case in cases:
            outcome = lab.rig.perform(_load(case))
            yield Result(case, _delivery_figures(server, outcome), list(outcome.warnings()))


def _delivery_figures(server: Peer, outcome: Outcome, more_deliveries: int = 0) -> dict[str, float]:
    delivering, all_of_them = outcome.cpu[server.delivering], sum(outcome.cpu.values())
    delivered, seconds = max(1, outcome.delivered + more_deliveries), outcome.seconds
    return {
        "cpu": delivering / delivered,
        "cpu_all": all_of_them / delivered,
        "cores": delivering / seconds,
        "cores_all": all_of_them / seconds,
        "delivered": outcome.delivered,
        "rate": outcome.delivered / seconds,
        "messages": outcome.published.messages / seconds,
        "lag": outcome.lag,
        "late": outcome.published.late,
        "generator": max(outcome.generator) / seconds,
    } | outcome.waits


def peak(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Find the highest rate of deliveries that a server sustains."""
    for case in cases:
        with ExitStack() as running:
            search = _Search(lab, peer, case, running)
            highest_rate(search.sustains, min(case.rate, _FIRST_RATE / case.subscribers), case.rate)
        yield Result(case, search.figures, search.warnings)


class _Search:
    """Trials of one server, replaced after a rate that is too high."""

    def __init__(self, lab: Lab, peer: type[Peer], case: Case, running: ExitStack) -> None:
        self._lab, self._peer, self._case, self._running = lab, peer, case, running
        self._server: Peer | None = None
        self.figures = {"rate": 0.0}
        self.warnings: list[str] = []

    def sustains(self, rate: float) -> bool:
        """Return whether a rate is sustained."""
        if self._server is None:
            self._server = self._running.enter_context(self._lab.serve(self._peer))
            self._lab.rig.connect(self._server, one_topic(self._case.subscribers))
        outcome = self._lab.rig.perform(Load(rate, self._case.size, self._case.seconds))
        if outcome.is_complete and outcome.lag < _MAX_LAG and outcome.published.late < _MAX_LATE:
            self.figures = _delivery_figures(self._server, outcome)
            return True
        self.warnings = [f"beyond it, {each}" for each in outcome.limits()]
        self._running.close()
        self._server = None
        return False


def highest_rate(sustains: Callable[[float], bool], first: float, limit: float) -> float:
    """Return the highest sustained rate, within a tenth and a limit.

    It is 0 if the first rate is not sustained.
    """
    low, high = 0.0, first
    while sustains(high):
        low, high = high, high * 2
        if high > limit:
            return low
    for _ in range(_HALVINGS if low else 0):
        middle = (low * high) ** 0.5
        if sustains(middle):
            low = middle
        else:
            high = middle
    return low


def durable(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure acknowledged publishing, with a new server for each case.

    So no case has the backlog of the one before.
    """
    for case in cases:
        with lab.serve(peer) as server:
            figures, warnings = _push(lab, server, case)
            yield Result(case, figures, warnings)


def _push(lab: Lab, server: Peer, case: Case) -> tuple[dict[str, float], list[str]]:
    pushers = lab.rig.pushers
    pushers.call("connect", server.publish_at, server.dialect, case.clients, case.size, case.together)
    pushers.call("push", case.window, _ACK_WARM_UP_SECONDS)
    meter = CpuMeter(server.pids)
    pushed: Pushed = pushers.call("push", case.window, case.seconds)
    used = sum(meter.used().values())
    pushers.call("close")
    figures = {
        "rate": pushed.acked / pushed.seconds,
        "cpu_all": used / max(1, pushed.acked),
        "cores_all": used / pushed.seconds,
        "generator": pushed.cpu / pushed.seconds,
    }
    warnings = list(busy(figures["generator"]))
    if pushed.acked < case.clients * case.window:
        warnings.append(f"only {pushed.acked:,} acknowledgements came, not even those of the first messages")
    return figures | pushed.waits, warnings


def disk(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure an fsync, and a transaction of SQLite with one row.

    They are the floor under every acknowledgement.
    """
    folder = lab.folder()
    descriptor = os.open(folder / "file", os.O_WRONLY | os.O_CREAT)

    def append() -> None:
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)

    figures = {f"fsync_{name}": value for name, value in _timed(append).items()}
    os.close(descriptor)
    with closing(sqlite3.connect(folder / "database", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        insert = "INSERT INTO messages (body) VALUES (zeroblob(128))"
        commits = _timed(lambda: connection.execute(insert))
    figures |= {f"commit_{name}": value for name, value in commits.items()}
    yield Result(cases[0], figures)


def _timed(perform: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(_DISK_TIMES):
        began = time.monotonic()
        perform()
        times.append(time.monotonic() - began)
    return quantiles(times)


def idle(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure idle connections, how fast they connect, and one message.

    The message goes to all.
    """
    for case in cases:
        with lab.serve(peer) as server:
            pid, count = server.pids[server.delivering], case.subscribers
            before, meter = memory(pid), CpuMeter(server.pids)
            arrival = lab.rig.connect(server, LAYOUTS[case.topics](count), processes=2)
            connecting = sum(meter.used().values())
            meter = CpuMeter(server.pids)
            time.sleep(case.seconds)
            cores = sum(meter.used().values()) / case.seconds
            figures = {name: (value - before[name]) / count for name, value in memory(pid).items()}
            outcome = lab.rig.perform(Load(1, case.size, 0), patience=5, max_lag=10)
            figures |= {
                "served_rss": (memory(pid)["rss"] - before["rss"]) / count,
                "connections": count / arrival.seconds,
                "cpu": arrival.cpu / count,
                "cpu_all": connecting / count,
                "cores_idle": cores,
                "delivered": outcome.delivered,
            }
            warnings = [*outcome.warnings(), *busy(arrival.generator / arrival.seconds)]
            yield Result(case, figures, warnings)


def reconnect(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure the return of all subscribers after a SIGKILL.

    It ends when they have what they missed.
    """
    for case in cases:
        load, layout = Load(1_000, case.size, _MISSED / 1_000), one_topic(case.subscribers)
        with lab.serve(peer) as server:
            lab.rig.connect(server, layout, processes=2)
            lab.rig.perform(load)
            server.kill(server.delivering)
            if server.keeps:
                lab.rig.publish(load, time.monotonic())
                time.sleep(0.5)
            server.restart(server.delivering)
            started = time.monotonic()
            arrival = lab.rig.connect(server, layout, processes=2, after=FIRST_POSITION + _MISSED)
            missed = _MISSED * case.subscribers if server.keeps else 0
            resumed, finished = lab.rig.receive(load, 5, 60) if missed else (0, 0)
            figures = {
                "seconds": max(arrival.seconds, finished - started),
                "cpu": arrival.cpu / case.subscribers,
                "resumed": resumed,
            }
            lost = [f"{missed - resumed:,} of {missed:,} missed messages did not come"]
            yield Result(case, figures, lost if resumed < missed else [])


def log(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure publishing onto, and resuming from, logs of some lengths."""
    assert issubclass(peer, Fanline)
    for case in cases:
        folder, rows = lab.with_log(case)
        with lab.serve(peer, folder) as server:
            resumes = [_resume(server, rows, number) for number in range(_RESUMES)] if rows else []
            awaited, _ = _push(lab, server, case._replace(window=1))
            figures, warnings = _push(lab, server, case)
        figures |= {name: value for name, value in awaited.items() if name.startswith("p")}
        if resumes:
            figures |= {"resume": median(resumes), "resume_worst": max(resumes)}
        yield Result(case._replace(rows=rows), figures, warnings)


def latest(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure reading the newest message of each topic of a log.

    Each message of the log has a topic of its own.
    """
    for case in cases:
        folder = lab.folder()
        logfile.fill(folder / "data", case.rows, topics=case.rows)
        with lab.serve(peer, folder) as server:
            before = {name: memory(pid)["rss"] for name, pid in server.pids.items()}
            meter, began = CpuMeter(server.pids), time.monotonic()
            _read_latest(server, case.rows)
            seconds, used = time.monotonic() - began, meter.used()
            grown = sum(memory(pid)["rss"] - before[name] for name, pid in server.pids.items())
            figures = {
                "seconds": seconds,
                "cpu": used[server.delivering] / case.rows,
                "cpu_all": sum(used.values()) / case.rows,
                "rss": grown / case.rows,
            }
            yield Result(case, figures)


def _read_latest(server: Peer, count: int) -> None:
    """Subscribe to the newest message of each topic, and read so many."""
    with Stream(server.subscribe_at, server.subscribe_at.context()) as stream:
        LatestDialect().subscribe(stream, ["log.>"])
        messages = MarkCounter(b'"content":')
        while messages.total < count:
            messages.feed(stream.receive())


def _resume(server: Peer, rows: int, number: int) -> float:
    """Return the seconds until a resuming subscriber has its first messages.

    They are the first of those it missed.
    """
    position = (rows - (_MISSED + 1) * logfile.TOPICS) * number // _RESUMES
    with Stream(server.subscribe_at, server.subscribe_at.context()) as stream:
        began = time.monotonic()
        FanlineDialect().subscribe(stream, [logfile.topic(number * 37)], max(0, position))
        for _ in range(_MISSED):
            stream.read_until(b'"content":')
        return time.monotonic() - began


def chat(lab: Lab, peer: type[Peer], cases: Sequence[Case]) -> Results:
    """Measure a chat message to a member, and a member's memory.

    For other peers it is the same of plain subscribers.
    """
    with lab.serve(peer) as server:
        pid, members = server.pids[server.delivering], cases[0].subscribers
        before = memory(pid)["rss"]
        lab.rig.connect(server, one_topic(members))
        time.sleep(cases[0].seconds)  # each member that enters is announced to all
        rss = (memory(pid)["rss"] - before) / members
        lab.rig.perform(_CHAT_WARM_UP)
        for case in cases:
            outcome = lab.rig.perform(_load(case))
            to_publisher = outcome.published.messages if issubclass(peer, Chat) else 0
            figures = _delivery_figures(server, outcome, to_publisher) | {"rss": rss}
            yield Result(case, figures, list(outcome.warnings()))
