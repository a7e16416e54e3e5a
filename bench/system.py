"""CPU and memory of processes, and a description of the machine.

Linux keeps a clock for each process: the nanoseconds that its threads have run, ended ones included, in the
kernel or out of it. Any other process may read it (clock_getcpuclockid(3)).
"""

import ctypes
import os
import platform
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PR_SET_TIMERSLACK: Final = 29  # from <linux/prctl.h>
_libc: Final = ctypes.CDLL(None)


def tree(pid: int) -> list[int]:
    """Return a process and all of its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process and its descendants have used."""
    return sum(time.clock_gettime_ns((~each << 3) | 2) for each in tree(pid)) / 1e9  # 2: CPUCLOCK_SCHED


class CpuMeter:
    """Measures the CPU that processes and their descendants use.

    Args:
        pids: The processes, by name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def used(self) -> dict[str, float]:
        """Return the CPU seconds used since the meter was made, by name."""
        return {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}


def memory(pid: int) -> dict[str, int]:
    """Return the ``rss`` and ``pss`` of a process and its descendants.

    They are in bytes.
    """
    total = {"rss": 0, "pss": 0}
    for each in tree(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.lower() in total:
                total[name.lower()] += 1024 * int(value.split()[0])
    return total


def sharpen_sleep() -> None:
    """End sleeps of this thread on time.

    Linux's default is up to 50 µs late.
    """
    _libc.prctl(_PR_SET_TIMERSLACK, 1_000)


def describe() -> dict[str, str]:
    """Return facts about this machine for readers of a run.

    They are by name.
    """
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return {
        "commit": commit(Path(__file__).parent),
        "processor": f"{os.cpu_count()} cores, {model}",
        "memory": f"{pages / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "uvloop": version("uvloop"),
        "websockets": version("websockets"),
    }


def commit(folder: Path) -> str:
    """Return the commit of a checkout, marked if files differ.

    It is "unknown" outside of git.
    """

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        known = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{known}, with changes" if changed else known


def command() -> str:
    """Return this command line, with only the last part of absolute paths."""
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return " ".join(["python -m bench", *words])
