"""Every part, very small, against the real services."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.plan import DISK, WORKERS, one_case
from bench.runner import Case, Runner, Step
from bench.samples import Run

ROOT = Path(__file__).resolve().parent.parent.parent
TINY: Any = {"subscribers": 4, "rate": 200, "seconds": 0.2}


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("step", "peer", "figure", "least"),
    [
        (one_case("fanout", **TINY), "fanline", "delivered", 40 * 4),
        (one_case("peak", **TINY), "fanline", "rate", 1),
        (one_case("durable", **TINY), "fanline", "p50", 1e-6),
        (one_case("idle", **TINY), "fanline", "delivered", 4),
        (one_case("reconnect", **TINY), "fanline", "resumed", 100 * 4),
        (one_case("growth", rows=200_000, seconds=0.1), "fanline", "resume", 1e-6),
        (one_case("chat", **TINY), "chat", "delivered", 40 * 4),
        (Step(WORKERS, [[Case(**TINY)]], ()), "fanline, 2 workers", "delivered", 40 * 4),
        (Step(DISK, [[Case()]], ()), "fanline", "commit_p50", 1e-6),
    ],
    ids=lambda value: value.part.name if isinstance(value, Step) else "",
)
def test_part_measures(step: Step, peer: str, figure: str, least: float) -> None:
    """Every delivery is counted, and every acknowledgement timed."""
    (sample,) = Runner(1, [peer], None, Console(quiet=True)).run([step]).samples
    assert sample.figures[figure] >= least
    assert sample.figures.get("cpu_all", 0) >= sample.figures.get("cpu", 0) >= 0
    assert not [warning for warning in sample.warnings if "arrived" in warning]


def test_other_checkout_takes_turns() -> None:
    """With another source tree, here this one, the two are measured in turns."""
    runner = Runner(1, None, ROOT, Console(quiet=True))
    samples = runner.run([one_case("fanout", **TINY)]).samples
    assert [(sample.peer, sample.figures["delivered"]) for sample in samples] == [
        ("fanline", 160),
        ("other", 160),
    ]


def test_command_saves_what_it_measures(tmp_path: Path) -> None:
    options = ("--topics", "own", "--subscribers", "5", "--rate", "100", "--seconds", "0.2")
    done = bench(
        "fanout", *options, "--rounds", "1", "--peers", "fanline", "--save", str(tmp_path / "run.json")
    )
    assert done.returncode == 0, done.stderr
    (sample,) = Run.load(tmp_path / "run.json").samples
    assert sample.setting == {"topics": "own", "subscribers": 5, "rate": 100, "size": 120}
    assert sample.figures["delivered"] == 20
    assert "**CPU of a delivery**" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fanout", "--peers", "redis"], "bench: --peers: redis: there are fanline, "),
        (["report", "none.json"], "bench: none.json: there is no such file"),
    ],
)
def test_mistake_ends_with_one_sentence(words: list[str], sentence: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
