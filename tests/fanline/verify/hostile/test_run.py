"""A hostile client within all limits, and a well-behaved one."""

import tempfile
from pathlib import Path

import pytest

from fanline.verify.hostile.attacks import ATTACKS
from fanline.verify.hostile.run import HostileRun


@pytest.mark.long
async def test_attacks_on_processes_harm_no_other_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During every attack a well-behaved client gets all messages, in order, in bounded memory (line 47).

    How long it waits is for `fanline verify --hostile` to judge, on a quiet machine.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = await HostileRun(duration=0.1 * (1 + len(ATTACKS)), old_messages=500).perform()
    assert [phase.attack for phase in report.phases] == ["", *ATTACKS]
    assert report.published == report.received > len(ATTACKS)
    assert [trouble for trouble in report.troubles if "p99" not in trouble] == []
