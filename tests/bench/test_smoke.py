"""Every part, very small, against the real services."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.plan import DISK, EVENTS, LATEST, POST, PRESENCE, one_case
from bench.runner import Case, Runner, Step
from bench.samples import Run
from tests.forking import forked

ROOT = Path(__file__).resolve().parent.parent.parent
TINY: Any = {"subscribers": 4, "rate": 200, "seconds": 0.2}


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_every_part_measures() -> None:
    """Every delivery is counted, and every acknowledgement timed."""
    steps = [one_case(name, **TINY) for name in ("fanout", "peak", "durable", "idle", "reconnect")]
    steps += [one_case("growth", rows=120_000, seconds=0.1), Step(DISK, [[Case()]], ())]
    samples = Runner(1, ["fanline"], None, Console(quiet=True)).run(steps).samples
    samples += Runner(1, ["chat"], None, Console(quiet=True)).run([one_case("chat", **TINY)]).samples
    others = (
        ("fanline-events", EVENTS),
        ("fanline-post", POST),
        ("fanline-presence", PRESENCE),
        ("fanline", LATEST),
    )
    for name, part in others:
        step = Step(part, [[Case(**TINY, clients=2, rows=500)]], ())
        samples += Runner(1, [name], None, Console(quiet=True)).run([step]).samples
    found = {(sample.part, sample.peer): sample.figures for sample in samples}
    assert found["fanout", "fanline"]["delivered"] == 40 * 4
    assert found["fanout", "fanline"]["cpu_all"] > found["fanout", "fanline"]["cpu"] > 0
    assert found["chat", "chat"]["delivered"] == 40 * 4
    assert found["events", "fanline-events"]["delivered"] == 40 * 4
    assert 0 < found["post", "fanline-post"]["p50"] <= found["post", "fanline-post"]["p99"]
    assert found["peak", "fanline"]["rate"] > 0
    assert found["idle", "fanline"]["delivered"] == 4
    assert found["presence", "fanline-presence"]["delivered"] == 4
    assert found["latest", "fanline"]["cpu_all"] > found["latest", "fanline"]["cpu"] > 0
    assert found["reconnect", "fanline"]["resumed"] == 100 * 4
    assert 0 < found["durable", "fanline"]["p50"] <= found["durable", "fanline"]["p99"]
    assert 0 < found["log", "fanline"]["resume"] <= found["log", "fanline"]["resume_worst"]
    assert 0 < found["disk", "fanline"]["fsync_p50"] <= found["disk", "fanline"]["commit_p99"]


@pytest.mark.long
@pytest.mark.parametrize("others", [(), ("other",)], ids=["one", "two"])
def test_command_measures_checkouts_in_turns(tmp_path: Path, others: tuple[str, ...]) -> None:
    """The samples are saved, and the tables printed; the other checkout is this one."""
    options = ("--topics", "own", "--subscribers", "5", "--rate", "100", "--seconds", "0.2", "--rounds", "1")
    peers = ("--against", str(ROOT)) if others else ("--peers", "fanline")
    done = bench("fanout", *options, *peers, "--save", str(tmp_path / "run.json"))
    assert done.returncode == 0, done.stderr
    samples = Run.load(tmp_path / "run.json").samples
    measured = [(sample.peer, sample.figures["delivered"]) for sample in samples]
    assert measured == [(peer, 20) for peer in ("fanline", *others)]
    assert samples[0].setting == {"topics": "own", "subscribers": 5, "rate": 100, "size": 120}
    assert ("other ÷ fanline" in done.stdout) == bool(others)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fanout", "--peers", "redis"], "bench: --peers: redis: there are fanline, "),
        (["report", "none.json"], "bench: none.json: there is no such file"),
    ],
)
def test_mistake_ends_with_one_sentence(words: list[str], sentence: str) -> None:
    done = forked.run("bench", *words, environment=os.environ)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
