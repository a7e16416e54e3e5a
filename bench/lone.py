"""Measurement of an installation with one message at a time.

It gives memory, the CPU of a message, and the time of its ack.

::

    python -m bench.lone PID --publisher wss://localhost:8081 --ca var/certs/ca.crt

PID is ``fanline serve``, or ``fanline up`` with its children. One message a time, MESSAGES in all.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fanline import Publisher, client_context

MESSAGES: Final = 1_000
PAUSE: Final = 0.002
TICKS: Final = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def memory(pids: list[int]) -> int:
    """Return the resident memory of processes in KiB.

    Shared memory counts in each.
    """
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have taken."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


async def measure(pid: int, url: str, ca: Path) -> str:
    """Publish messages one after the other, and return what that has cost."""
    pids = list(family(pid))
    idle, taken = memory(pids), []
    async with Publisher(url, user="hello", password="test", tls=client_context(ca.parent)) as publisher:
        await publisher.publish("lone", 0)
        before = cpu(pids)
        for number in range(MESSAGES):
            begun = time.perf_counter()
            await publisher.publish("lone", number)
            taken.append(time.perf_counter() - begun)
            await asyncio.sleep(PAUSE)
        used = cpu(pids) - before
    median, *_ = statistics.quantiles(taken, n=2)
    p99 = statistics.quantiles(taken, n=100)[98]
    return (
        f"{len(pids)} processes, {idle / 1024:.0f} MiB; a lone message: {used / MESSAGES * 1e6:.0f} us of"
        f" CPU, ack after {median * 1e3:.2f} ms (p50), {p99 * 1e3:.2f} ms (p99)"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.lone")
    parser.add_argument("pid", type=int)
    parser.add_argument("--publisher", default="wss://localhost:8081")
    parser.add_argument("--ca", type=Path, default=Path("var/certs/ca.crt"))
    given = parser.parse_args()
    print(asyncio.run(measure(given.pid, given.publisher, given.ca)))


if __name__ == "__main__":
    main()
