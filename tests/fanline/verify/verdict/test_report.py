"""The output of ``fanline verify``, during a run and at its end."""

import asyncio
import io
import random
import ssl
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from fanline.tasks import running_task
from fanline.verify import progress
from fanline.verify.clients.load import Load
from fanline.verify.clients.workload import Workload
from fanline.verify.faults import Injector
from fanline.verify.options import Options
from fanline.verify.plan import Fault
from fanline.verify.run import Run
from fanline.verify.system.installation import Installation, Place
from fanline.verify.verdict.findings import Breach, Findings
from fanline.verify.verdict.report import Report, text, violations
from tests.conftest import until
from tests.stubs import DEADLINE

PLACE = Place("wss://pub:1", "wss://sub:2", "alice", "secret", ssl.create_default_context(), 10)


def report(findings: Findings, folder: str | None = None) -> Report:
    return Report(
        ok=not findings,
        seed=7,
        command=Options(7).command,
        seconds=60.0,
        published=36_000,
        acked=35_999,
        repeats=12,
        delivered=200_000,
        rate=600.0,
        faults={"kill": {"publisher": 2, "everything": 1}, "cut": {"clients-publisher": 4}},
        reconnects=99,
        longest_ack_wait=3.21,
        longest_delivery_wait=4.56,
        violations=violations(findings),
        folder=folder,
    )


def test_a_good_report() -> None:
    """It has all figures, the verdict, and how to repeat it."""
    said = text(report(Findings()))
    for part in (
        "36,000 messages in 60 s, 600 a second",
        "35,999, and 12 of them again on purpose",
        "kill           3 (everything 1, publisher 2)",
        "faults           7",
        "longest outage   3.2 s for an ack, 4.6 s for a delivery",
        "Every promise was kept.",
        "fanline verify --seed 7 --duration 60",
    ):
        assert part in said
    assert "Logs" not in said


def test_a_bad_report() -> None:
    """It names each kind of violation with its promise and the first examples, the most frequent first."""
    findings = Findings()
    findings.add(Breach.SILENT_GAP, "reader: 41")
    for number in range(1_000):
        findings.add(Breach.LOST, f"message {number}")
    said = text(report(findings, folder="/tmp/kept"))
    assert "1,001 violations:" in said
    assert said.index("lost: 1,000 x acknowledged, and not in the log (promise 1") < said.index(
        "silent-gap: 1 x"
    )
    assert "    message 4\n    …\n" in said
    assert "message 5" not in said
    assert "    reader: 41\nTo repeat it" in said
    assert said.endswith("in /tmp/kept")


def test_json() -> None:
    """Programs get the same, under the names of the fields."""
    findings = Findings()
    findings.add(Breach.LOST, "message 1")
    read = msgspec.json.decode(msgspec.json.encode(report(findings)))
    assert read["ok"] is False
    assert read["faults"]["kill"] == {"publisher": 2, "everything": 1}
    (violation,) = read["violations"]
    assert violation == {
        "kind": "lost", "meaning": Breach.LOST.meaning, "count": 1, "examples": ["message 1"]
    }  # fmt: skip


def test_the_command_repeats_the_run_and_keeps_the_secret() -> None:
    """Every option that matters is in it; of the login, nothing is."""
    options = Options(7, duration=9, publishers=2, subscribers=3, rate=50, faults=False, place=PLACE)
    assert options.command == (
        "fanline verify --seed 7 --duration 9 --publishers 2 --subscribers 3 --rate 50 --no-faults "
        "--publisher-url wss://pub:1 --subscriber-url wss://sub:2"
    )
    assert "--every 3" in Options(7, every=3).command
    assert "secret" not in repr(options)


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_progress(is_terminal: bool) -> None:
    """Live on a terminal, otherwise line by line: the phase, the figures, and there also what fails now."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, width=200)
    run = Run(Options(7))
    installation = Installation(Path(), commands={}, rng=random.Random(7), findings=Findings())
    run.injector = Injector(installation, [])
    run.injector.counts[Fault.KILL, "msgqueue"] = 3
    run.injector.current.append("kill msgqueue")
    async with running_task(progress.show(run, console)), asyncio.timeout(DEADLINE):
        await until(lambda: "starting" in shown.getvalue())
        run.load = Load(PLACE, Workload("t", 1), seed=7, publishers=1, rate=1)
        run.load.sent[0].hand_over(0)
        run.phase = "running"
        await until(lambda: "1 published" in shown.getvalue())
    assert "3 faults" in shown.getvalue()
    assert ("now: kill msgqueue" in shown.getvalue()) is is_terminal
