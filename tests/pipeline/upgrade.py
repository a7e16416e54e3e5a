"""Run services of this version next to those of another, in every combination: a program, not a test.

::

    git worktree add /tmp/before COMMIT
    make -C /tmp/before
    .venv/bin/python -m tests.pipeline.upgrade /tmp/before

The log passes from version to version: what each combination stores, the next ones read.
"""

import asyncio
import itertools
import os
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import certs
from fanline import Disconnected, History, Publisher, Subscriber, client_context
from fanline.client import check_ready
from tests.processes import free_ports
from tests.stubs import DEADLINE, PASSWORD, USER
from tests.tree import ROOT

SERVICES: Final = ("msgqueue", "publisher", "subscriber")
MESSAGES: Final = 100


@asynccontextmanager
async def running(service: str, code: Path, folder: Path, ports: dict[str, int]) -> AsyncIterator[None]:
    """Run a service of the code in a folder until the end of the block; it is stopped by SIGTERM."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FANLINE_")} | {
        "PYTHONPATH": str(code),
        "FANLINE_CERT_DIR": str(folder / "certs"),
        "FANLINE_DATA_DIR": str(folder / "data"),
        "FANLINE_TOKEN_KEY_FILE": str(folder / "token.key"),
        "FANLINE_QUEUE_URL": f"wss://localhost:{ports['msgqueue']}",
        f"FANLINE_{service.upper()}_PORT": str(ports[service]),
    }
    command = (str(code / ".venv/bin/python"), "-m", service)
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=code)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        assert await process.wait() == 0


async def exchange(folder: Path, ports: dict[str, int], before: int) -> None:
    """Publish messages; receive them live, again from the beginning, and as history."""
    tls = client_context(folder / "certs")
    for port in ports.values():
        await until_ready(f"wss://localhost:{port}", tls)
    publisher_url, subscriber_url = (f"wss://localhost:{ports[name]}" for name in SERVICES[1:])
    login: dict[str, Any] = {"user": USER, "password": PASSWORD}
    async with (
        Publisher(publisher_url, tls=tls, **login) as publisher,
        Subscriber("upgrade", url=subscriber_url, tls=tls, **login) as live,
        Subscriber("upgrade", url=subscriber_url, tls=tls, after=0, **login) as resumed,
        History(subscriber_url, tls=tls, **login) as history,
    ):
        await live.subscribe("upgrade")
        acks = await asyncio.gather(*(publisher.publish("upgrade", before + n) for n in range(MESSAGES)))
        assert [ack.seq for ack in acks] == sorted(ack.seq for ack in acks)
        assert [(await anext(live)).value() for _ in acks] == list(range(before, before + MESSAGES))
        everything = list(range(before + MESSAGES))
        assert [(await anext(resumed)).value() for _ in everything] == everything
        page = await history.page("upgrade", last=MESSAGES)
        assert [message.value() for message in page.messages] == everything[-MESSAGES:]


async def until_ready(url: str, tls: ssl.SSLContext) -> None:
    while True:
        with suppress(Disconnected):
            await check_ready(url, tls=tls)
            return
        await asyncio.sleep(0.1)


async def main(other: Path) -> None:
    """Try every combination, from the other version alone to this one alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certs.ensure(folder / "certs")
        # The other msgqueue first: the format of the log may be newer afterwards.
        for number, codes in enumerate(itertools.product((other, ROOT), repeat=len(SERVICES))):
            ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
            async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE):
                for service, code in zip(SERVICES, codes, strict=True):
                    await stack.enter_async_context(running(service, code, folder, ports))
                await exchange(folder, ports, number * MESSAGES)
            versions = ", ".join(
                f"{service} {'this' if code == ROOT else 'other'}"
                for service, code in zip(SERVICES, codes, strict=True)
            )
            print(f"works: {versions}", flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve()))
