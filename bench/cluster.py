"""Measurement of a cluster next to JetStream with one message each.

::

    python -m bench.cluster

It starts ``fanline up --cluster`` in a temporary folder. JetStream is measured on the same NATS servers: a
stream of three replicas, which sync before they acknowledge.
"""

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop
from nats.aio.client import Client

from fanline import Publisher, client_context
from fanline.server.child_process import environment_of
from fanline.tasks import running_task

LONE_MESSAGES: Final = 500
PIPELINED_MESSAGES: Final = 40_000
WINDOW: Final = 4_000
CONTENT: Final = "x" * 100
SERVICES: Final = ("msgqueue", "publisher", "subscriber", "chat")

Publish = Callable[[], Awaitable[object]]


async def lone(publish: Publish, count: int = LONE_MESSAGES) -> str:
    """Publish messages one after the other; return how long acks took."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await publish()
        taken.append(time.perf_counter() - began)
    cuts = statistics.quantiles(taken, n=100)
    return f"ack of a lone message: {cuts[49] * 1000:.1f} ms p50, {cuts[98] * 1000:.1f} ms p99"


async def pipelined(publish: Publish, count: int = PIPELINED_MESSAGES) -> str:
    """Publish messages many at a time; return how fast acks came."""
    numbers = iter(range(count))

    async def one_by_one() -> None:
        for _ in numbers:
            await publish()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(WINDOW):
            tasks.create_task(one_by_one())
    return f"{WINDOW:,} at a time: {count / (time.perf_counter() - began):,.0f} a second"


async def measure_fanline(url: str, folder: Path) -> None:
    """Measure the cluster, by one client."""
    tls = client_context(folder / "var/certs")
    async with Publisher(url, user="hello", password="test", tls=tls, window=WINDOW) as publisher:

        async def publish() -> object:
            return await publisher.publish("bench", CONTENT)

        await publish()
        for how in (lone, pipelined):
            sys.stdout.write(f"fanline    {await how(publish)}\n")


async def measure_jetstream(folder: Path) -> None:
    """Measure JetStream on the NATS servers of the cluster, by one client."""
    found = re.search(
        r'^listen: "127\.0\.0\.1:(\d+)"', (folder / "var/cluster/n0.conf").read_text(), re.MULTILINE
    )
    assert found is not None
    client = Client()
    await client.connect(
        [f"tls://localhost:{found[1]}"],
        tls=client_context(folder / "var/certs"),
        tls_handshake_first=True,
        user="fanline",
        password=(folder / "var/cluster/nats-password").read_text().strip(),
    )
    stream = client.jetstream(timeout=30)
    await stream.add_stream(name="BENCH", subjects=["bench"], num_replicas=3)

    async def publish() -> object:
        return await stream.publish("bench", CONTENT.encode())

    for how in (lone, pipelined):
        sys.stdout.write(f"jetstream  {await how(publish)}\n")
    await client.close()


async def started(process: asyncio.subprocess.Process) -> str:
    """Wait until all services listen, and return where to publish."""
    assert process.stdout is not None
    said = ""
    while "Now kill any one" not in said:
        line = (await process.stdout.readline()).decode()
        if not line:
            raise SystemExit(f"the cluster has not started:\n{said}")
        said += line
    urls: list[str] = re.findall(r"(wss://\S+)/publish", said)
    return urls[0]


async def run(folder: Path) -> None:
    """Start a cluster, measure it, and stop it."""
    ports = [flag for service in SERVICES for flag in (f"--{service}-port", "0")]
    program = Path(sys.executable).with_name("fanline")
    process = await asyncio.create_subprocess_exec(
        program,
        "up",
        "--cluster",
        *ports,
        cwd=folder,
        env=environment_of({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        url = await started(process)
        async with running_task(_drain(process)):
            await measure_fanline(url, folder)
            await measure_jetstream(folder)
    finally:
        process.terminate()
        await process.communicate()


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async for _ in process.stdout:
        pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="fanline-bench-") as name:
        uvloop.run(run(Path(name)))
