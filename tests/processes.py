"""The three services as real processes, to be killed and started again."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Self

from tests.stubs import DEADLINE

_LISTENING = re.compile(rb"listening on https://[^:]+:(\d+)")


class ServiceProcess:
    """One service, run as ``python -m NAME``; it keeps the port of its first start.

    Args:
        name: Which service.
        settings: Its settings, by name; the port is set here.

    Attributes:
        port: Where it listens; known once it has started.
        log: What it has written so far.
    """

    def __init__(self, name: str, **settings: object) -> None:
        self.name = name
        self.port = 0
        self.log: list[bytes] = []
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"wss://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FANLINE_")}
        settings = self._settings | {f"{self.name}_port": self.port}
        for key, value in settings.items():
            environment[f"FANLINE_{key.upper()}"] = str(value)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.name, env=environment, stderr=asyncio.subprocess.PIPE
        )
        listening = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read_log(listening))
        async with asyncio.timeout(DEADLINE):
            self.port = await listening

    async def kill(self) -> None:
        """Kill it with SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Stop it with SIGTERM, and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            await self._reading
            return await self._process.wait()

    async def _read_log(self, listening: "asyncio.Future[int]") -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line)
            if (found := _LISTENING.search(line)) and not listening.done():
                listening.set_result(int(found[1]))
        if not listening.done():
            listening.set_exception(AssertionError(b"".join(self.log).decode()))


class Pipeline:
    """Msgqueue, publisher and subscriber, each a process of its own.

    Args:
        folder: Where the log is kept.
        cert_dir: The certificates.
    """

    def __init__(self, folder: Path, cert_dir: Path, **settings: object) -> None:
        self._settings = {"cert_dir": cert_dir, "data_dir": folder / "data"} | settings
        self.msgqueue = ServiceProcess("msgqueue", **self._settings)
        self.publisher: ServiceProcess
        self.subscriber: ServiceProcess

    @property
    def services(self) -> tuple[ServiceProcess, ...]:
        """All of them, the queue first."""
        return self.msgqueue, self.publisher, self.subscriber

    async def __aenter__(self) -> Self:
        await self.msgqueue.start()
        settings = self._settings | {"queue_url": self.msgqueue.url}
        self.publisher = ServiceProcess("publisher", **settings)
        self.subscriber = ServiceProcess("subscriber", **settings)
        await asyncio.gather(self.publisher.start(), self.subscriber.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(service.kill() for service in self.services))
