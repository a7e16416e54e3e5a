"""The measurements themselves, very small, against the real services."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import samples
from bench.samples import Sample

COMMON = ("--seconds", "0.3", "--rounds", "1", "--peers", "fanline")


def bench(folder: Path, *words: str) -> Sample:
    """Run a command that measures one thing, and return what it found."""
    save = folder / "run.json"
    command = [sys.executable, "-m", "bench", *words, *COMMON, "--save", str(save)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (sample,) = samples.load(save).samples
    return sample


@pytest.mark.parametrize(("topics", "delivered"), [("one", 60 * 5), ("own", 60)])
def test_fanout(tmp_path: Path, topics: str, delivered: int) -> None:
    """Every delivery is counted, and its CPU is measured."""
    sample = bench(tmp_path, "fanout", "--subscribers", "5", "--rate", "200", "--topics", topics)
    assert sample.figures["delivered"] == delivered
    assert sample.figures["cpu_all"] > sample.figures["cpu"] > 0


def test_durable(tmp_path: Path) -> None:
    """Acknowledgements are counted, and how long they take is measured."""
    sample = bench(tmp_path, "durable", "--clients", "3")
    assert sample.figures["rate"] > 0
    assert 0 < sample.figures["p50"] <= sample.figures["p99"]


def test_what_is_wrong_is_said() -> None:
    """A server that there is not ends it with one sentence and exit code 2."""
    command = [sys.executable, "-m", "bench", "fanout", "--peers", "redis"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: --peers: redis: there are fanline, ")
