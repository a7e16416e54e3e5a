"""The systemd units: what they run starts, says that it is ready, and stops."""

import asyncio
import os
import shlex
import signal
import socket
import sys
from configparser import ConfigParser
from contextlib import suppress
from pathlib import Path

import pytest

from fanline.errors import EXIT_CONFIGURATION
from fanline.setting_sources import ENV_PREFIX, SERVICES
from fanline.settings import Settings
from tests.stubs import DEADLINE

FOLDER = Path(__file__).resolve().parents[2] / "deploy/systemd"
UNITS = sorted(FOLDER.glob("*.service"))

INSTALLED_IN = "/opt/fanline/.venv/bin/"


def service_section(unit: Path) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return dict(parser["Service"])


def test_each_service_has_a_unit() -> None:
    """One for each service, and one for all of them in one process (line 55)."""
    assert {unit.stem for unit in UNITS} == {"fanline", *(f"fanline-{service}" for service in SERVICES)}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_mistake_of_the_operator_is_not_tried_again(unit: Path) -> None:
    """systemd starts a service again unless it ended because of its configuration, and lets it finish."""
    section = service_section(unit)
    assert section["Restart"] == "always"
    assert section["RestartPreventExitStatus"] == str(EXIT_CONFIGURATION)
    parts = len(SERVICES) if unit.stem == "fanline" else 1
    assert float(section["TimeoutStopSec"]) > parts * Settings.model_fields["drain_timeout"].default


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
async def test_the_command_becomes_ready_and_stops(unit: Path, tmp_path: Path, cert_dir: Path) -> None:
    """Run as systemd runs it, it reports readiness, then signs of life, and SIGTERM ends it (line 55).

    Workers give their signs of life together.
    """
    section = service_section(unit)
    assert section["Type"] == "notify"
    assert int(section["WatchdogSec"]) > Settings.model_fields["drain_timeout"].default
    (tmp_path / "var").mkdir()
    (tmp_path / "var/certs").symlink_to(cert_dir)
    config = tmp_path / "fanline.toml"
    workers = 2 if unit.stem in ("fanline-publisher", "fanline-subscriber") else 1
    ports = "".join(f"{service}_port = 0\n" for service in SERVICES)
    config.write_text(f"{ports}workers = {workers}\n")
    (variable, _) = section["Environment"].split("=")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        command = section["ExecStart"].replace(INSTALLED_IN, f"{Path(sys.executable).parent}/")
        of_systemd = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            cwd=tmp_path,
            env={**inherited, **of_systemd, variable: str(config)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                loop = asyncio.get_running_loop()
                assert await loop.sock_recv(manager, 100) == b"READY=1"
                for _ in range(2):
                    assert await loop.sock_recv(manager, 100) == b"WATCHDOG=1"
                process.send_signal(signal.SIGTERM)
                while await loop.sock_recv(manager, 100) != b"STOPPING=1":
                    pass
                assert await process.wait() == 0
        finally:
            with suppress(ProcessLookupError):
                process.kill()
