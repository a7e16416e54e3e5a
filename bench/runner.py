"""The runner: measures each step in rounds, and shows the progress.

The servers take turns.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple, Self

from rich.console import Console

from bench import system
from bench.load.rig import Rig
from bench.peers import logfile
from bench.peers.base import Peer
from bench.peers.centrifugo import Centrifugo
from bench.peers.fanline import Chat, Fanline, FanlineEvents, FanlinePost, FanlinePresence, TwoWorkers
from bench.peers.mosquitto import Mosquitto
from bench.peers.naive import Naive
from bench.peers.nats import JetStreamAlways, JetStreamDefault, Nats
from bench.samples import Run, Sample, Setting
from fanline.errors import ConfigurationError
from fanline.server.process import raise_file_limit

_ALL: Final[tuple[type[Peer], ...]] = (
    Fanline, Nats, Mosquitto, Naive, Centrifugo, JetStreamAlways, JetStreamDefault,
    FanlineEvents, FanlinePost, FanlinePresence, TwoWorkers, Chat,
)  # fmt: skip


class Case(NamedTuple):
    """The parameters of a measurement; each part uses some of them.

    Attributes:
        topics: The name of a layout.
        subscribers: Number of subscribers, or of members of a room.
        rate: Messages a second.
        size: Bytes of a message as delivered; in ``durable``, of its content.
        seconds: Duration.
        clients: Number of connections that publish.
        window: Unacknowledged messages of each of them.
        together: Messages to a frame.
        rows: Messages in the log.
        log: The folder of an existing log.
    """

    topics: str = "one"
    subscribers: int = 100
    rate: float = 500
    size: int = 120
    seconds: float = 2.0
    clients: int = 1
    window: int = 1
    together: int = 1
    rows: int = 0
    log: Path | None = None


class Result(NamedTuple):
    """The figures of a case, and reservations about them."""

    case: Case
    figures: dict[str, float]
    warnings: Sequence[str] = ()


class Lab:
    """A temporary folder, certificates and the load generator, inside a ``with`` block."""

    def __init__(self) -> None:
        self.rig = Rig()
        self._root = Path(mkdtemp(prefix="fanline-bench-"))
        self._certificates = self._root / "certs"
        self._folders = 0
        self._logs: dict[int, Path] = {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "certs", "make", "--dir", str(self._certificates)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.__exit__()
        shutil.rmtree(self._root)

    def folder(self) -> Path:
        """Return a new folder, after earlier servers' data is on disk."""
        os.sync()
        self._folders += 1
        folder = self._root / str(self._folders)
        folder.mkdir()
        return folder

    def serve(self, peer: type[Peer], folder: Path | None = None) -> AbstractContextManager[Peer]:
        """Return a server for a block, by default in a new folder."""
        return peer(folder or self.folder(), self._certificates)

    def with_log(self, case: Case) -> tuple[Path, int]:
        """Return a folder with the log of a case, and its length.

        The log is filled at its first use.
        """
        folder, rows = self.folder(), case.rows
        if case.log is not None:
            rows = logfile.rounded_length(case.log)
            (folder / "data").symlink_to(case.log.resolve())
        elif rows:
            if rows not in self._logs:
                self._logs[rows] = self.folder()
                logfile.fill(self._logs[rows] / "data", rows)
            folder = self._logs[rows]
        return folder, rows


Measure = Callable[[Lab, type[Peer], Sequence[Case]], Iterator[Result]]


class Part(NamedTuple):
    """A part of the benchmark.

    Attributes:
        name: Its name.
        measure: Yields a result of a server for each of some cases that share it.
        peers: The names of the servers that can be measured.
        shown: The fields of a case that are its setting.
    """

    name: str
    measure: Measure
    peers: tuple[str, ...]
    shown: tuple[str, ...]

    def setting(self, case: Case) -> Setting:
        """Return the setting of a case."""
        return {name: getattr(case, name) for name in self.shown}


class Step(NamedTuple):
    """Some cases of a part.

    Attributes:
        part: The part.
        groups: Cases that may share a server.
        peers: The names of the servers.
        fewer: How many rounds less than asked for, for what takes long.
    """

    part: Part
    groups: Sequence[Sequence[Case]]
    peers: Sequence[str]
    fewer: int = 0


class Runner:
    """Runs steps.

    Args:
        rounds: How often each case is measured.
        peers: The names of the servers to measure; None for those of each step.
        against: Another source tree of this project, measured as ``other``.
        console: Where progress is shown.

    Raises:
        ConfigurationError: If there is no server of a name.
    """

    def __init__(
        self, rounds: int, peers: Sequence[str] | None, against: Path | None, console: Console
    ) -> None:
        self._known = {peer.name: peer for peer in _ALL}
        if against is not None:
            members = {"name": "other", "checkout": against.resolve()}
            self._known["other"] = type("Other", (Fanline,), members)
            peers = peers or ["fanline", "other"]
        unknown = [name for name in peers or () if name not in self._known]
        if unknown:
            raise ConfigurationError(f"--peers: {', '.join(unknown)}: there are {', '.join(self._known)}")
        self._rounds = rounds
        self._peers = peers
        self._console = console

    def run(self, steps: Sequence[Step]) -> Run:
        """Measure every step, without servers that cannot run here.

        A sentence names each of these.
        """
        raise_file_limit()
        wanted = dict.fromkeys(name for step in steps for name in self._of(step))
        missing = {name: reason for name in wanted if (reason := self._known[name].missing())}
        for reason in dict.fromkeys(missing.values()):
            self._console.print(reason)
        present = [name for name in wanted if name not in missing]
        versions = {name: self._known[name].version() for name in present}
        run = Run(system.command(), system.describe() | versions | missing, [])
        total = sum(
            self._rounds_of(step) * len([name for name in self._of(step) if name in present]) * len(group)
            for step in steps
            for group in step.groups
        )
        self._console.print(f"{total} measurements; Ctrl-C ends it")
        began = time.monotonic()
        with Lab() as lab:
            for step in steps:
                for sample in self._measure(lab, step, present):
                    run.samples.append(sample)
                    done, seconds = len(run.samples), time.monotonic() - began
                    left = seconds / done * (total - done)
                    progress = f"{done}/{total}, {seconds:.0f} s, about {left:.0f} s left"
                    self._console.print(f"[{progress}] {sample.line()}", markup=False)
        return run

    def _measure(self, lab: Lab, step: Step, present: Sequence[str]) -> Iterator[Sample]:
        """Yield samples, in each round of all servers in turn.

        So a disturbance meets all of them.
        """
        names = [name for name in self._of(step) if name in present]
        for _ in range(self._rounds_of(step)):
            for group in step.groups:
                for name in names:
                    for result in step.part.measure(lab, self._known[name], group):
                        setting = step.part.setting(result.case)
                        yield Sample(step.part.name, name, setting, result.figures, list(result.warnings))

    def _of(self, step: Step) -> list[str]:
        """Return the names of the servers that a step measures."""
        if self._peers is None:
            return list(step.peers)
        return [name for name in self._peers if name in step.part.peers or name == "other"]

    def _rounds_of(self, step: Step) -> int:
        return max(1, self._rounds - step.fewer)
