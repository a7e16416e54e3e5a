"""The file of a log: kills, locks, folders, and errors in words."""

import asyncio
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError, StoreError
from fanline.protocol import decode_message
from msgqueue.store.base import Bounds
from msgqueue.store.sqlite import file as sqlite_file
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.store.sqlite.file import translated
from tests.msgqueue.store.sqlite.conftest import FILE, append_until_killed, open_store, read_all
from tests.msgqueue.store.store_model import new

# Kills.


async def test_loses_nothing_when_killed(folder: Path) -> None:
    """Whenever the process is killed, all it has acknowledged is there, once, in its place (promises 1-3)."""
    acknowledged: dict[int, str] = {}
    for run in range(6):
        acknowledged |= append_until_killed(folder, run=str(run), lines=10 + 150 * run)
        store = await open_store(folder)
        records = await read_all(store)
        await store.close()
        ids = {record.seq: decode_message(record.body).id for record in records}
        assert acknowledged.items() <= ids.items()
        assert len(set(ids.values())) == len(records)
        assert list(ids) == sorted(ids)


async def test_knows_what_was_stored_unacknowledged(folder: Path) -> None:
    """Messages in flight when a process is killed can be sent again, and are stored once (promise 3)."""
    append_until_killed(folder, run="x", lines=500)
    store = await SqliteStore.open(folder, dedupe_window=600)
    again = [f"x.{batch}.{n}" for batch in range(200) for n in range(1 + batch % 40)]
    await store.append([new(id=id_) for id_ in again])
    ids = [decode_message(record.body).id for record in await read_all(store)]
    await store.close()
    assert sorted(ids, key=str) == sorted(again)


def test_settings_are_durable(folder: Path) -> None:
    """Each commit is brought to disk before it is done (promise 1)."""
    file = sqlite_file.LogFile(folder)
    file.prepare()
    with closing(file.connect()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
    file.close()


# The folder.


async def test_refuses_a_folder_in_use(store: SqliteStore, folder: Path) -> None:
    """A second opener is told which folder is in use, and keeps nothing open; the first goes on."""
    descriptors = os.listdir("/dev/fd")
    with pytest.raises(ConfigurationError, match=f"data_dir {folder}: another msgqueue has it open"):
        await open_store(folder)
    assert os.listdir("/dev/fd") == descriptors
    await store.append([new()])


async def test_frees_the_folder(folder: Path) -> None:
    """A closed log can be opened again, and has left nothing but its file."""
    for _ in range(2):
        store = await open_store(folder)
        await store.append([new()])
        await store.close()
    assert {path.name for path in folder.iterdir()} == {FILE, "log.lock"}


async def test_frees_the_folder_when_it_cannot_open(folder: Path) -> None:
    """A damaged log can be opened once it is repaired."""
    folder.mkdir()
    (folder / FILE).write_bytes(b"x")
    with pytest.raises(ConfigurationError):
        await open_store(folder)
    (folder / FILE).unlink()
    await (await open_store(folder)).close()


async def test_frees_the_folder_when_cancelled(folder: Path) -> None:
    """Cancelling the opening leaves nothing open."""
    opening = asyncio.create_task(open_store(folder))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await (await open_store(folder)).close()


async def test_makes_a_private_folder(store: SqliteStore, folder: Path) -> None:
    """Only the owner can read the messages."""
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_begins_again_where_it_was_interrupted(folder: Path) -> None:
    """A log that was being created when the process died is created again."""
    folder.mkdir()
    (folder / f"{FILE}-new").write_bytes(b"half a log")
    store = await open_store(folder)
    assert await store.bounds() == Bounds(1, 0)
    await store.close()


async def test_refuses_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """A folder that cannot be one is a wrong setting."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"data_dir .*file/data: Not a directory"):
        await open_store(tmp_path / "file" / "data")


async def test_refuses_a_folder_that_cannot_be_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks is a wrong setting."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigurationError, match=f"data_dir {folder}: No locks available"):
        await open_store(folder)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "the user "),
        (sqlite3.SQLITE_CANTOPEN, "the user "),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk reports an error"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "it is damaged"),
        (sqlite3.SQLITE_NOTADB, "it is not a database"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another program has locked it"),
        (sqlite3.SQLITE_LOCKED, "another program has locked it"),
        (sqlite3.SQLITE_NOMEM, "there is not enough memory"),
        (sqlite3.SQLITE_MISUSE, "SQLite failed"),
    ],
)
def test_puts_errors_into_words(code: int, words: str) -> None:
    """Every error of SQLite becomes a sentence that names the file."""
    error = sqlite3.OperationalError("details")
    error.sqlite_errorcode = code
    with pytest.raises(StoreError) as caught, translated(Path("/data") / FILE):
        raise error
    assert str(caught.value).startswith(f"/data/{FILE}: {words}")
    assert str(caught.value).endswith("(details)")


@pytest.mark.parametrize(
    "error_class",
    [
        sqlite3.DatabaseError,
        sqlite3.DataError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.InternalError,
        sqlite3.NotSupportedError,
        sqlite3.OperationalError,
        sqlite3.ProgrammingError,
        OSError,
    ],
)
def test_lets_no_foreign_error_through(error_class: type[Exception]) -> None:
    """Whatever goes wrong with the file is one kind of error."""
    with pytest.raises(StoreError), translated(Path(FILE)):
        raise error_class(5, "no")


async def test_refuses_an_old_sqlite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose SQLite lacks what is needed is told so at the start, not at the first trim."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(ConfigurationError, match=r"needs 3\.33\.0 or newer"):
        await open_store(folder)
