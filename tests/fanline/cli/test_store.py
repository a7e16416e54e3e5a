"""``fanline fsck``, ``backup`` and ``journal``: exit codes and words are those of the programs they run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanline.cli.main import app
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.store_model import new


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A data folder with a log of one message."""
    folder = tmp_path / "data"
    store = await SqliteStore.open(folder, dedupe_window=600)
    await store.append([new()])
    await store.close()
    return folder


def fanline(*words: object) -> int:
    return CliRunner().invoke(app, [str(word) for word in words]).exit_code


def test_backup_then_fsck(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A back-up is made and found sound; it is not overwritten."""
    copy = tmp_path / "copy"
    assert fanline("backup", data, copy) == 0
    assert fanline("fsck", copy) == 0
    assert capfd.readouterr().out == f"{copy}: sound; 1 messages, the newest position is 1\n" * 2
    assert fanline("backup", data, copy) == 2
    assert capfd.readouterr().err.startswith(f"fanline backup: {copy}: it is there already")


def test_fsck_of_a_damaged_log(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damage is exit code 1, and put into words."""
    (data / "log.sqlite3").write_bytes(b"garbage")
    assert fanline("fsck", data) == 1
    assert "It is not a log, or its beginning is damaged" in capfd.readouterr().out


def test_fsck_of_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder without a log is exit code 2, and one sentence."""
    assert fanline("fsck", tmp_path) == 2
    assert capfd.readouterr().err == f"fanline fsck: {tmp_path}/log.sqlite3: there is no log\n"


def test_a_log_of_one_machine_has_no_journal(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its status cannot be told, and it is left as it is."""
    assert fanline("journal", "status", data) == fanline("journal", "rebuild", data) == 2
    assert capfd.readouterr().err.count("log.sqlite3: it is no replica in a cluster") == 2
