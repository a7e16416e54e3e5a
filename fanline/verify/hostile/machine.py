"""Load by other programs, for whose delays no service is blamed."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, Self


class CpuTimes(NamedTuple):
    """Clock ticks since the machine was started, of all processors together.

    Attributes:
        total: All that there were.
        busy: Those that were used.
        own: Those of some processes.
    """

    total: int
    busy: int
    own: int

    @classmethod
    def read(cls, pids: Collection[int], proc: Path = Path("/proc")) -> Self:
        """Read the times of the machine and of some processes.

        A process that has ended has none.
        """
        ticks = [int(each) for each in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        return cls(sum(ticks), sum(ticks) - idle, sum(_ticks_of(proc / str(pid) / "stat") for pid in pids))

    def share_of_others(self, before: Self) -> float:
        """Return the share (0 to 1) that other processes used since."""
        total = self.total - before.total
        others = (self.busy - before.busy) - (self.own - before.own)
        return min(1.0, max(0.0, others / total)) if total else 0.0


def _ticks_of(path: Path) -> int:
    try:
        fields = path.read_text().rpartition(")")[2].split()  # the name before may have blanks
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
