"""Samples: what was measured, one for each peer, setting and round."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

Setting = dict[str, str | int | float]


class Sample(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        part: The part of the benchmark.
        peer: The server.
        setting: The parameters, the same for all servers that are compared.
        figures: The results, by name; in seconds or bytes, if the name does not say otherwise.
        warnings: Reservations about the results.
    """

    part: str
    peer: str
    setting: Setting
    figures: dict[str, float]
    warnings: list[str] = []

    def line(self) -> str:
        """Return the sample as one line of text."""
        words = [f"{name}={value}" for name, value in self.setting.items()]
        words += [f"{name}={value:.3g}" for name, value in self.figures.items()]
        return " ".join([self.part, self.peer, *words, *(f"({warning})" for warning in self.warnings)])


class Run(msgspec.Struct, frozen=True):
    """Everything that one command has measured.

    Attributes:
        command: The command line.
        machine: Facts about the machine and the versions of the servers, by name.
        samples: The samples, in the order of measurement.
    """

    command: str
    machine: dict[str, str]
    samples: list[Sample]

    def save(self, path: Path) -> None:
        """Write the run as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read a run; raise OSError or :exc:`msgspec.DecodeError` if that fails."""
        return msgspec.json.decode(path.read_bytes(), type=cls)


class Spread(NamedTuple):
    """The median, the least and the greatest value of several rounds."""

    median: float
    low: float
    high: float


class Summary:
    """The samples of one part, by setting and peer."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[str, list[Sample]] = {}
        self.settings: list[Setting] = []
        self.peers: list[str] = []
        for sample in samples:
            self._samples.setdefault(f"{sample.setting} {sample.peer}", []).append(sample)
            if sample.setting not in self.settings:
                self.settings.append(sample.setting)
            if sample.peer not in self.peers:
                self.peers.append(sample.peer)

    def rounds(self, setting: Setting, peer: str) -> Sequence[Sample]:
        """Return the samples of a peer in a setting, if any."""
        return self._samples.get(f"{setting} {peer}", [])

    def figure(self, setting: Setting, peer: str, name: str) -> Spread | None:
        """Return a figure over the rounds, or None if not measured."""
        values = [sample.figures[name] for sample in self.rounds(setting, peer) if name in sample.figures]
        return Spread(median(values), min(values), max(values)) if values else None

    def warnings(self, setting: Setting, peer: str) -> list[str]:
        """Return the distinct warnings of all rounds."""
        rounds = self.rounds(setting, peer)
        return list(dict.fromkeys(warning for sample in rounds for warning in sample.warnings))
