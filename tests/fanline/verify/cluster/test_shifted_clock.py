"""A clock that is wrong."""

import subprocess
import time
from pathlib import Path

from fanline.server.child_process import module_command
from fanline.verify.cluster.shifted_clock import command_of, shift, shifted

YEAR = 365 * 86_400.0


def test_a_clock_follows_its_file(tmp_path: Path) -> None:
    """It is ahead by what the file says, or behind, and changes with it."""
    file = tmp_path / "clock"
    shift(file, 0.0)
    now = shifted(file, lambda: 100.0)
    assert now() == 100
    for seconds in (3_600.0, -3_600.0, 0.0):
        shift(file, seconds)
        assert now() == 100 + seconds


def test_a_program_is_told_the_wrong_time(tmp_path: Path) -> None:
    """A module that is run with a clock a year ahead sees that, and its own arguments."""
    file = tmp_path / "clock"
    shift(file, YEAR)
    (tmp_path / "tell.py").write_text("import sys, time\nprint(time.time(), sys.argv[1:])\n")
    command = [part for part in module_command("tell", "a", "b") if part != "-P"]
    done = subprocess.run(
        command_of(file, command),
        cwd=tmp_path,
        env={"PYTHONPATH": "."},
        check=True,
        capture_output=True,
        text=True,
    )
    told, _, arguments = done.stdout.partition(" ")
    assert float(told) > time.time() + YEAR / 2
    assert arguments == "['a', 'b']\n"
