"""Measure how long acknowledgements stop when a cluster process is killed.

``python -m fanline.verify.cluster.kills`` starts a cluster on this machine, kills the leading NATS server and
one of the msgqueues in turn, and prints after each kill the longest wait for an acknowledgement, and when
the NATS servers had a leader.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fanline.client import Publisher
from fanline.errors import ConfigurationError
from fanline.verify.cluster.installation import QUEUES, ClusterInstallation
from fanline.verify.system.installation import COMMANDS
from fanline.verify.verdict.findings import Findings

# Between two messages, which are published whether or not those before them have been acknowledged.
INTERVAL: Final = 0.02

# Before a kill acknowledgements must flow for so long, and after it the process stays away for so long.
CALM_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 15.0

# What was still waiting then is waited for so long.
AFTER_SECONDS: Final = 3.0

# Seconds after which a message without an acknowledgement is an error.
PATIENCE: Final = 60.0


class AckWaits:
    """Publishes at a steady rate, and measures the waits for acknowledgements.

    Args:
        publisher: How messages are published.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._longest = 0.0

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._publish())
                await asyncio.sleep(INTERVAL)

    async def longest_during(self, seconds: float) -> float:
        """Return the longest wait for an acknowledgement in the next seconds."""
        self._longest = 0.0
        await asyncio.sleep(seconds)
        return self._longest

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._publisher.publish("kills", None, timeout=PATIENCE)
        self._longest = max(self._longest, loop.time() - began)


async def measure(folder: Path, count: int, report: Callable[[str], None]) -> None:
    """Kill the leading NATS server and msgqueues in turn, reporting each wait.

    Args:
        folder: Where the cluster keeps everything.
        count: How often each is killed.
        report: Called with a line for each kill.

    Raises:
        ConfigurationError: If the cluster does not start.
    """
    made = ClusterInstallation(
        folder, commands=COMMANDS, rng=random.Random(0), findings=Findings()  # noqa: S311 - guards no secret
    )  # fmt: skip
    async with made as cluster:
        place = cluster.place
        async with Publisher(
            place.publisher_url, user=place.user, password=place.password, tls=place.tls, window=10_000
        ) as publisher:
            waits = AckWaits(publisher)
            publishing = asyncio.create_task(waits.run())
            try:
                for number in range(count):
                    await _kill(cluster, waits, cluster.leader, report)
                    await _kill(cluster, waits, _queue(number), report)
            finally:
                publishing.cancel()
                await asyncio.wait([publishing])


def _queue(number: int) -> Callable[[], Awaitable[str]]:
    async def choose() -> str:
        return QUEUES[number % len(QUEUES)]

    return choose


async def _kill(
    cluster: ClusterInstallation,
    waits: AckWaits,
    choose: Callable[[], Awaitable[str]],
    report: Callable[[str], None],
) -> None:
    calm = await waits.longest_during(CALM_SECONDS)
    name = await choose()
    await cluster.services[name].kill()
    electing = asyncio.create_task(_time(cluster.leader()))
    try:
        longest = await waits.longest_during(AWAY_SECONDS)
        led = f"{electing.result():.2f} s" if electing.done() else f"more than {AWAY_SECONDS:.0f} s"
    finally:
        electing.cancel()
    await cluster.start(name)
    after = await waits.longest_during(AFTER_SECONDS)
    report(
        f"{name}: {max(longest, after):.2f} s without an acknowledgement, {calm:.2f} s before;"
        f" a leader after {led}"
    )


async def _time(work: Awaitable[object]) -> float:
    """Return how many seconds something takes."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await work
    return loop.time() - began


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5, help="how often each kind is killed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fanline-kills-") as folder:
        try:
            asyncio.run(measure(Path(folder), arguments.count, _say))
        except ConfigurationError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
