"""Memory of processes, as the operating system counts it."""

from pathlib import Path
from typing import NamedTuple

from bench.cpu import tree


class Memory(NamedTuple):
    """Bytes in memory.

    Attributes:
        rss: All that is mapped.
        pss: The same, but of what several processes share, each has its part.
    """

    rss: int
    pss: int

    def since(self, before: "Memory") -> "Memory":
        """Return what has been added."""
        return Memory(self.rss - before.rss, self.pss - before.pss)


def of_tree(pid: int) -> Memory:
    """Return what a process and its children have together."""
    each = [_of_process(each) for each in tree(pid)]
    return Memory(sum(memory.rss for memory in each), sum(memory.pss for memory in each))


def _of_process(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    return Memory(1024 * fields["Rss:"], 1024 * fields["Pss:"])
