"""A service as a program: its exit codes and its log."""

import logging
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fanline.server import Service, run_program
from subscriber.settings import SubscriberSettings
from tests.fanline.server.conftest import Echo


@pytest.fixture
def _own_log() -> Iterator[None]:
    """Put the log back as it was after a test that configures it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_own_log")
def test_main_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is configured wrongly is one sentence on standard error, and exit code 2 (line 3)."""
    monkeypatch.setenv("WS_CERT_DIR", f"{tmp_path}/")
    with pytest.raises(SystemExit) as ended:
        run_program(SubscriberSettings, "An echo.", partial(Service.start, Echo().open), [])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "server.crt") in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.usefixtures("_own_log")
def test_main_ends_with_0_after_sigterm(cert_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "stopped" in capsys.readouterr().err
