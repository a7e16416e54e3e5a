"""A service as a program: its exit codes, its log, and how it tells that it listens."""

import asyncio
import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.server import Service, run_program
from fanline.server.process import (
    TRIM_BYTES,
    FreedMemory,
    notify_systemd,
    read_resident,
    report_ready,
    trim_heap,
    worker_settings,
)
from fanline.setting_sources import read
from subscriber.settings import SubscriberSettings
from tests.conftest import until
from tests.fanline.server.conftest import Echo


@pytest.mark.usefixtures("own_log")
def test_main_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A wrong setting is one sentence on standard error, and exit code 2 (line 3)."""
    monkeypatch.setenv("WS_CERT_DIR", f"{tmp_path}/")
    with pytest.raises(SystemExit) as ended:
        run_program(SubscriberSettings, "An echo.", partial(Service.start, Echo().open), [])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "server.crt") in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.usefixtures("own_log")
def test_main_ends_with_0_after_sigterm(cert_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGTERM stops a service cleanly: ``main`` returns."""

    async def start_and_signal(settings: SubscriberSettings) -> Service:
        service = await Service.start(Echo().open, settings)
        signal.raise_signal(signal.SIGTERM)
        return service

    run_program(
        SubscriberSettings,
        "An echo.",
        start_and_signal,
        ["--subscriber-port", "0", "--cert-dir", str(cert_dir)],
    )
    assert "stopped" in capfd.readouterr().err


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_other_signals_end_nothing(
    cert_dir: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """Signals at which other programs reload are logged; they killed a service without a close frame."""

    async def start_and_signal(settings: SubscriberSettings) -> Service:
        service = await Service.start(Echo().open, settings)
        signal.raise_signal(number)
        asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGTERM)
        return service

    run_program(
        SubscriberSettings,
        "An echo.",
        start_and_signal,
        ["--subscriber-port", "0", "--cert-dir", str(cert_dir)],
    )
    said = capfd.readouterr().err
    assert f"{number.name}: ignored" in said
    assert "stopped" in said


@pytest.mark.usefixtures("own_log")
def test_sighup_reads_the_settings_again(
    cert_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A changed file of settings counts; a mistake in it ends nothing (line 53)."""
    config = tmp_path / "fanline.toml"
    config.write_text("subscriber_port = 0\n")

    def change(text: str) -> None:
        config.write_text(text)
        signal.raise_signal(signal.SIGHUP)

    async def operate(service: Service) -> None:
        change("subscriber_port = 0\nmax_connections_per_user = 7\n")
        await until(lambda: service.settings.max_connections_per_user == 7)
        change("nonsense = 1\n")
        signal.raise_signal(signal.SIGTERM)

    operating: list[asyncio.Task[None]] = []

    async def start(settings: SubscriberSettings) -> Service:
        service = await Service.start(Echo().open, settings)
        operating.append(asyncio.create_task(operate(service)))
        return service

    flags = ["--config", str(config), "--cert-dir", str(cert_dir)]
    run_program(SubscriberSettings, "An echo.", start, flags)
    said = capfd.readouterr().err
    assert "read the settings again; changed: max_connections_per_user" in said
    assert "nonsense: no such setting; --help lists what there is; the settings from before remain" in said
    assert "stopped" in said


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool) -> None:
    """The state arrives at the socket that systemd names, in the file system or not."""
    name = f"fanline-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}" if is_abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
        report_ready(8080)
        notify_systemd("STOPPING=1")
        assert [listening.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_nothing_listens_for_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service runs on without systemd, and when systemd does not listen."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    notify_systemd("READY=1")


def test_the_port_is_written_to_the_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, in a line; then the descriptor is closed."""
    reader, writer = os.pipe()
    monkeypatch.setenv("FANLINE_READY_FD", str(writer))
    report_ready(4711)
    report_ready(4712)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "4711\n"


@pytest.mark.parametrize("descriptor", ["9999", "one"])
def test_a_wrong_descriptor_is_named(monkeypatch: pytest.MonkeyPatch, descriptor: str) -> None:
    """The parent would wait in vain."""
    monkeypatch.setenv("FANLINE_READY_FD", descriptor)
    with pytest.raises(ConfigurationError, match=r"^FANLINE_READY_FD: "):
        report_ready(4711)


def test_each_worker_has_a_port_for_its_metrics() -> None:
    """Workers share the port of the service; the metrics of each are at a port of its own (line 56)."""
    settings = read(SubscriberSettings, subscriber_metrics_port=9090, workers=3)
    found = [worker_settings(settings, 8082, number) for number in range(3)]
    assert [(each.port, each.metrics_port) for each in found] == [(8082, 9090), (8082, 9091), (8082, 9092)]
    assert worker_settings(read(SubscriberSettings), 8082, 1).metrics_port is None


def test_freed_memory_is_returned_after_growth() -> None:
    """A process that has grown returns what is free at every look, and one that has not does nothing."""
    sizes = [100, 100 + TRIM_BYTES, 100 + TRIM_BYTES, 500 + TRIM_BYTES, 50, 51 + TRIM_BYTES, 50]
    trims = 0

    def trim() -> None:
        nonlocal trims
        trims += 1

    memory = FreedMemory(lambda: sizes.pop(0), trim)
    memory.look()
    assert trims == 0
    memory.look()
    assert trims == 1
    memory.look()
    assert trims == 2
    assert not sizes


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_memory_between_what_is_in_use_is_returned() -> None:
    """Memory that the C library keeps after a burst, because something after it is in use, is freed."""
    burst = [os.urandom(64) * 1_000 for _ in range(500)]
    in_use = burst[::20]
    del burst
    before = read_resident()
    trim_heap()
    assert read_resident() < before - 10_000_000
    assert in_use
