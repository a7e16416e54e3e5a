"""The load of other programs on this machine."""

from pathlib import Path

import pytest

from fanline.verify.hostile.machine import CpuTimes


def write(proc: Path, total: str, own: str) -> None:
    (proc / "stat").write_text(f"cpu  {total} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    (proc / "7").mkdir(exist_ok=True)
    (proc / "7" / "stat").write_text(f"7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 {own} 0 0")


def test_what_other_programs_use_is_told_from_what_these_use(tmp_path: Path) -> None:
    """Of all that is used but by the given processes; waiting for a disk uses nothing."""
    write(tmp_path, "100 0 50 800 50 0 0 0", "20 10")
    before = CpuTimes.read([7, 8], tmp_path)
    write(tmp_path, "130 10 60 840 60 0 0 0", "35 15")
    assert CpuTimes.read([7, 8], tmp_path).share_of_others(before) == pytest.approx(0.3)
    assert before.share_of_others(before) == 0
