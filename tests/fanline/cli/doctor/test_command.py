"""``fanline doctor`` as a command, where nothing runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanline.cli.main import app

SERVICES = ("chat", "publisher", "msgqueue", "subscriber")


@pytest.fixture(autouse=True)
def installation(cert_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation of which no service runs."""
    for service in SERVICES:
        monkeypatch.setenv(f"FANLINE_{service.upper()}_PORT", "0")
    for name in ("queue", "publisher", "subscriber", "chat"):
        monkeypatch.setenv(f"FANLINE_{name.upper()}_URL", "wss://localhost:1")
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))
    monkeypatch.setenv("FANLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FANLINE_TOKEN_KEY_FILE", str(tmp_path / "token.key"))


def test_warnings_do_not_count_as_failure() -> None:
    """With nothing but warnings the exit code is 0; programs get JSON."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(result.output)
    assert result.exit_code == 0, result.output
    assert {"certificates", "tokens", "users", "limits", "disk", "services"} <= {
        each["check"] for each in found
    }
    assert {each["level"] for each in found} <= {"ok", "warning"}


def test_a_problem_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each problem has a sentence and an advice, and makes the exit code 1."""
    monkeypatch.setenv("FANLINE_CERT_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "PROBLEM  certificates" in result.output
    assert "→ " in result.output
    monkeypatch.setenv("FANLINE_PING_INTERVAL", "often")
    result = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, "ping_interval" in result.output) == (1, True)
