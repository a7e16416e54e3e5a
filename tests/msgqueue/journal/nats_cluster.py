"""Three NATS servers with JetStream on this machine."""

import asyncio
import os
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Final

from bench.peers.process import free_port
from fanline.verify.cluster import nats_servers
from fanline.verify.cluster.nats_servers import SERVER_COUNT, NatsPorts

START_SECONDS: Final = 60

PASSWORD: Final = "secret"


class NatsCluster:
    """Three servers, which a test may kill and start again.

    Args:
        folder: Where they keep their data.
        certs: Folder of the certificates.
        tls: Verifies the servers.
        unsynced: Numbers of those that do not sync what they acknowledge.
    """

    def __init__(
        self, folder: Path, certs: Path, tls: ssl.SSLContext, unsynced: tuple[int, ...] = ()
    ) -> None:
        self.tls = tls
        self._folder = folder
        self._certs = certs
        self._unsynced = unsynced
        self._ports = [NatsPorts(free_port(), free_port(), free_port()) for _ in range(SERVER_COUNT)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(each.url for each in self._ports)

    @property
    def monitor_urls(self) -> tuple[str, ...]:
        return tuple(each.monitor_url for each in self._ports)

    def start(self, number: int) -> None:
        """Start a server."""
        configuration = nats_servers.write_configuration(
            self._folder, self._certs, self._ports, number, is_synced=number not in self._unsynced
        )
        self._processes[number] = subprocess.Popen(
            nats_servers.command_of(self._folder, configuration),
            env=nats_servers.environment_of(os.environ, PASSWORD),
        )

    async def start_all(self) -> None:
        """Start all servers, and wait until they have a leader for what is to be created."""
        for number in range(SERVER_COUNT):
            self.start(number)
        async with asyncio.timeout(START_SECONDS):
            await nats_servers.wait_for_servers(self._ports, self.tls, least=SERVER_COUNT)

    def kill(self, number: int) -> None:
        """Kill a server at once."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def freeze(self, number: int) -> None:
        """Stop a server without ending it, until it is thawed."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Wake a frozen server."""
        self._processes[number].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill all that run."""
        for number in tuple(self._processes):
            self.kill(number)

    async def leader(self, stream: str) -> int:
        """Return the number of the server that leads a stream."""
        async with asyncio.timeout(START_SECONDS):
            return await nats_servers.leader_of(self._ports, self.tls, stream)
