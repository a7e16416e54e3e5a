"""``python -m msgqueue.tools.backup``: a copy of a log in use is whole, sound, and can take its place."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from msgqueue.tools import backup
from msgqueue.tools.backup import DONE, FAILED, REFUSED
from msgqueue.tools.fsck import INTERRUPTED
from tests.msgqueue.file_sizes import files_of_at_most
from tests.msgqueue.store.sqlite.conftest import appending, make_log, open_store, read_all
from tests.msgqueue.store.store_model import new

FILE, WAL = "log.sqlite3", "log.sqlite3-wal"

Backup = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture
def run(folder: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> Backup:
    """Back the log up, expect an exit code, and return what was said."""

    def back_up(code: int, to: Path = target) -> str:
        assert backup.main([str(folder), str(to)]) == code
        out, err = capsys.readouterr()
        return out + err

    return back_up


async def test_copies_a_log_that_is_being_written(folder: Path, tmp_path: Path) -> None:
    """Copies made while another process appends without a pause are sound, and beginnings of the log."""
    copies = [tmp_path / f"copy{n}" for n in range(3)]
    acknowledged = []
    with appending(folder, "x") as (child, output):
        for copy in copies:
            lines = [output.readline() for _ in range(800)]
            acknowledged.append(int(lines[-1].split()[0]))
            copy.mkdir()
            _, report = backup.make(folder, copy, pages=3)
            assert not report.findings
        assert child.poll() is None
    whole = await records_in(folder)
    for copy, least in zip(copies, acknowledged, strict=True):
        copied = await records_in(copy)
        assert len(copied) >= least
        assert copied == whole[: len(copied)]


async def records_in(folder: Path) -> list[object]:
    store = await open_store(folder)
    records = await read_all(store)
    await store.close()
    return list(records)


async def test_a_restored_log_goes_on(folder: Path, target: Path, run: Backup) -> None:
    """In an empty folder a back-up serves what it has, and knows positions, consumers and ids (promise 3)."""
    records = await make_log(folder)
    assert f"{target}: sound; 300 messages, the newest position is 300" in run(DONE)
    assert target.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(folder)
    folder.mkdir()
    target.rename(folder / FILE)
    store = await open_store(folder)
    assert await read_all(store) == records
    assert await store.cursors() == {"default": 7}
    assert await store.append([new(id="7"), new(id="later")]) == [(8, True), (301, False)]
    await store.close()


async def test_a_restored_log_is_another_one(folder: Path, target: Path, run: Backup) -> None:
    """Its positions may mean other messages from now on: so its epoch is new, also in the old folder."""
    store = await open_store(folder)
    first = store.epoch
    await store.close()
    run(DONE)
    store = await open_store(folder)
    assert store.epoch == first
    await store.close()
    target.rename(folder / FILE)
    store = await open_store(folder)
    second = store.epoch
    await store.close()
    assert second not in ("", first)
    store = await open_store(folder)
    assert store.epoch == second
    await store.close()


async def test_lets_the_writer_go_on(folder: Path, run: Backup) -> None:
    """A back-up needs no lock: the log stays open, and takes messages before and after."""
    store = await open_store(folder)
    await store.append([new()])
    assert "sound; 1 messages" in run(DONE)
    await store.append([new()])
    await store.close()


async def test_overwrites_nothing(folder: Path, target: Path, run: Backup) -> None:
    """Existing files are kept, and so is an unfinished backup of another process."""
    await make_log(folder)
    names = ("copy/log.sqlite3", "copy/log.sqlite3-wal", "copy/log.sqlite3-shm", "copy/log.sqlite3-part")
    for name in names:
        target.mkdir()
        (target.parent / name).write_text("precious")
        assert name in run(REFUSED)
        assert (target.parent / name).read_text() == "precious"
        shutil.rmtree(target)
    target.write_text("precious")
    assert "is there already, and is not overwritten" in run(REFUSED)
    assert target.read_text() == "precious"


def test_refuses_what_is_no_store(folder: Path, target: Path, run: Backup) -> None:
    """Where there is no log there is nothing to copy, and nothing is made."""
    assert f"{folder}: there is no log" in run(REFUSED)
    assert not folder.exists()
    assert not target.exists()


async def test_refuses_a_folder_that_is_not_there(folder: Path, target: Path, run: Backup) -> None:
    """A target that cannot be made is said to be wrong."""
    await make_log(folder)
    assert "No such file or directory" in run(REFUSED, target / "deep")


async def test_keeps_no_damaged_copy(folder: Path, target: Path, run: Backup) -> None:
    """A log that is damaged is no back-up, and the operator hears of it now."""
    await make_log(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute("DELETE FROM messages WHERE seq = 100")
    said = run(FAILED)
    assert "Gaps where messages are missing that were not trimmed (1): 100" in said
    assert "what is damaged is the log itself; the copy was not kept" in said
    assert {path.name for path in target.parent.iterdir()} == {"data"}


async def test_copies_nothing_of_a_damaged_wal(folder: Path, target: Path, run: Backup) -> None:
    """Commits that SQLite would pass over are not left out in silence, nor are the traces of them removed."""
    store = await open_store(folder)
    for n in range(5):
        await store.append([new(id=f"{n}")])
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    await store.close()
    left[WAL] = left[WAL][: len(left[WAL]) // 2]
    for name, content in left.items():
        (folder / name).write_bytes(content)
    assert "it is damaged: restore it from a back-up (of the " in run(FAILED)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == left
    assert not target.exists()


async def test_leaves_nothing_when_interrupted(
    folder: Path, target: Path, run: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the back-up without a traceback, and what was copied so far is removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    await make_log(folder)
    monkeypatch.setattr(backup, "check", interrupt)
    assert run(INTERRUPTED) == ""
    assert {path.name for path in target.parent.iterdir()} == {"data"}


async def test_says_when_there_is_no_room(folder: Path, target: Path, run: Backup) -> None:
    """A copy that does not fit is one sentence, and is removed."""
    await make_log(folder)
    with files_of_at_most(40_000):
        said = run(FAILED)
    assert said.startswith(f"fanline backup: {target}-part: the disk ")
    assert said.count("\n") == 1
    assert {path.name for path in target.parent.iterdir()} == {"data"}
