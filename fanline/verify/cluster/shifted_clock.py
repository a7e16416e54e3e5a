"""Runs a program whose time of day is wrong.

``python -m fanline.verify.cluster.shifted_clock FILE MODULE …``: the file has the difference in seconds, and
may be changed while the program runs. Only what Python says is the time of day is wrong: what measures how
long something takes is not.
"""

import mmap
import runpy
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_SECONDS: Final = struct.Struct("=d")


def shift(path: Path, seconds: float) -> None:
    """Set how many seconds ahead the clock of a file is."""
    data = _SECONDS.pack(seconds)
    with path.open("r+b" if path.exists() else "w+b", buffering=0) as file:
        file.write(data)


def command_of(path: Path, command: Sequence[str]) -> list[str]:
    """Return a command that runs a module of Python with that clock."""
    start = command.index("-m")
    return [*command[: start + 1], __name__, str(path), *command[start + 1 :]]


def shifted(path: Path, clock: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that is ahead by what a file says."""
    with path.open("rb") as file:
        difference = mmap.mmap(file.fileno(), _SECONDS.size, access=mmap.ACCESS_READ)

    def now() -> float:
        seconds: float = _SECONDS.unpack(difference[: _SECONDS.size])[0]
        return clock() + seconds

    return now


def main() -> None:
    """Run the program."""
    _, path, module, *rest = sys.argv
    time.time = shifted(Path(path), time.time)
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
