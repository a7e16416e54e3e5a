"""What was measured: one sample for each peer, setting and round, in a form that every part shares."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.stats import Spread, spread

Setting = dict[str, str | int | float]
Case = tuple[tuple[str, str | int | float], ...]


class Sample(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        part: Which part of the benchmark.
        peer: Which server.
        setting: What was done to it: the same for all servers that are compared.
        figures: What came of it; seconds, bytes, or what the name says.
        warnings: Why it is to be read with care, if it is.
    """

    part: str
    peer: str
    setting: Setting
    figures: dict[str, float]
    warnings: list[str] = []

    @property
    def case(self) -> Case:
        """The setting, in a form that can be looked up."""
        return tuple(self.setting.items())

    def line(self) -> str:
        """Return it in one line, for those who watch."""
        said = [f"{name}={value}" for name, value in self.setting.items()]
        said += [f"{name}={value:.3g}" for name, value in self.figures.items()]
        return " ".join([self.part, self.peer, *said, *(f"({warning})" for warning in self.warnings)])


class Run(msgspec.Struct, frozen=True):
    """Everything that one command has measured.

    Attributes:
        command: The command.
        machine: What it ran on, in words, by name.
        samples: In the order of their making.
    """

    command: str
    machine: dict[str, str]
    samples: list[Sample]


class Summary:
    """Samples of one part, by setting and peer, over the rounds."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[Case, dict[str, list[Sample]]] = {}
        for sample in samples:
            self._samples.setdefault(sample.case, {}).setdefault(sample.peer, []).append(sample)

    def cases(self) -> Iterator[Setting]:
        """Yield each setting, in the order in which they were measured first."""
        for case in self._samples:
            yield dict(case)

    def peers(self) -> list[str]:
        """Return every peer, in the order in which they were measured first."""
        return list(dict.fromkeys(peer for peers in self._samples.values() for peer in peers))

    def rounds(self, setting: Setting, peer: str) -> Sequence[Sample]:
        """Return the samples of a peer in a setting; there may be none."""
        return self._samples.get(tuple(setting.items()), {}).get(peer, [])

    def figure(self, setting: Setting, peer: str, name: str) -> Spread | None:
        """Return what a figure came to over the rounds, or None if it was not measured."""
        values = [sample.figures[name] for sample in self.rounds(setting, peer) if name in sample.figures]
        return spread(values) if values else None

    def is_doubtful(self, setting: Setting, peer: str) -> bool:
        """Whether there is something to say against a figure of a peer in a setting."""
        return any(sample.warnings for sample in self.rounds(setting, peer))


def save(run: Run, path: Path) -> None:
    """Write a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def load(path: Path) -> Run:
    """Read a run.

    Raises:
        OSError: If the file cannot be read.
        msgspec.DecodeError: If it is none.
    """
    return msgspec.json.decode(path.read_bytes(), type=Run)
