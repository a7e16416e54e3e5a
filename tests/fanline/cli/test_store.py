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


def test_each_command_runs_its_program(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A back-up is made, damage is found, and a log of one machine has no journal: exit codes 0, 1 and 2."""
    copy = tmp_path / "copy"
    assert fanline("backup", data, copy) == 0
    assert capfd.readouterr().out == f"{copy}: sound; 1 messages, the newest position is 1\n"
    copy.write_bytes(b"garbage")
    assert fanline("fsck", copy) == 1
    assert "It is not a log, or its beginning is damaged" in capfd.readouterr().out
    assert fanline("journal", "status", data) == fanline("journal", "rebuild", data) == 2
    assert capfd.readouterr().err.count("log.sqlite3: it is no replica in a cluster") == 2
