"""The three services as real processes, to be killed and started again."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from fanline.server.child_process import ChildProcess, environment_of
from fanline.settings import READY_FD_VARIABLE
from tests.forking import forked
from tests.stubs import DEADLINE

# The number that a service writes its port to when it listens.
READY_FILE = 3


async def spawn(
    module: str, environment: Mapping[str, str], on_line: Callable[[bytes], None], *arguments: str
) -> ChildProcess:
    """Start a service as :meth:`~fanline.server.child_process.ChildProcess.spawn` does, but sooner."""
    reader, writer = os.pipe()
    process = await forked.start(
        module,
        *arguments,
        environment={**environment, READY_FD_VARIABLE: str(READY_FILE)},
        stderr=asyncio.subprocess.STDOUT,
        more_files={READY_FILE: writer},
        new_session=True,
    )
    os.close(writer)
    return ChildProcess(process, reader, on_line)  # type: ignore[arg-type]


def free_ports(count: int) -> list[int]:
    """Return ports without a listener."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class ServiceProcess:
    """One service, run as ``python -m NAME``; it keeps the port of its first start.

    Args:
        name: The service.
        settings: Its settings, by name; the port is set here.

    Attributes:
        port: Where it listens; known once it has started.
        log: The lines of its log so far.
    """

    def __init__(self, name: str, **settings: object) -> None:
        self.name = name
        self.port = 0
        self.log: list[bytes] = []
        self._settings = settings
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"wss://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        environment = environment_of(self._settings | {f"{self.name}_port": self.port})
        self._child = await spawn(self.name, environment, self.log.append)
        async with asyncio.timeout(DEADLINE):
            port = await self._child.listening()
            if port is None:
                await self._child.wait()
                raise AssertionError(b"\n".join(self.log).decode())
        self.port = port

    async def kill(self) -> None:
        """Kill it with SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Stop it with SIGTERM, and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._child is not None
        self._child.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            return await self._child.wait()


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
        """All of them, msgqueue first."""
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
