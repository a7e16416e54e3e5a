"""Damaged files: refused, or read around and told."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError, StoreError
from fanline.protocol import GapRange, Page, Record
from msgqueue.store.base import Bounds
from msgqueue.store.sqlite.engine import LogFiles, SqliteStore
from msgqueue.store.sqlite.file import CHECKED_WHOLE, VERSION, LogFile, translated
from tests.msgqueue.store.sqlite.conftest import (
    FILE,
    append_until_killed,
    damage,
    make_log,
    open_store,
    read_all,
)
from tests.msgqueue.store.store_model import new


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"garbage" * 10_000, b"SQLite format 3\0" + bytes(8000)]
)
async def test_refuses_garbage(folder: Path, content: bytes) -> None:
    """A file that is no database, not even an empty one, is never taken for a new log."""
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{FILE}: it is (damaged|not a database)"):
        await open_store(folder)


class ReadOnlyFile(LogFile):
    """A log on a disk that cannot be written to."""

    def connect(self, cache_kib: int = 0) -> sqlite3.Connection:
        connection = super().connect(cache_kib)
        connection.execute("PRAGMA query_only = ON")
        return connection


def test_refuses_what_it_cannot_write(folder: Path) -> None:
    """A log that can be read but not written does not start."""
    with (
        closing(ReadOnlyFile(folder)) as file,
        pytest.raises(StoreError, match="cannot write to it"),
        translated(file.path),
    ):
        file.prepare()


async def test_refuses_another_database(folder: Path) -> None:
    """A database that is something else is left alone."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="its header is not that of a log"):
        await open_store(folder)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", "a newer msgqueue wrote it"),
        ("PRAGMA user_version = 0", "its header is not that of a log"),
        ("PRAGMA application_id = 7", "its header is not that of a log"),
        ("DROP INDEX messages_by_topic", "its tables are not those of a log"),
        ("DELETE FROM log", "what it knew of trimmed messages is lost"),
    ],
)
async def test_refuses_what_is_not_a_log(folder: Path, statement: str, words: str) -> None:
    """A log whose frame is not as it should be does not start."""
    await make_log(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute(statement)
    with pytest.raises(ConfigurationError, match=words):
        await open_store(folder)


@pytest.mark.parametrize("checked_whole", [0, CHECKED_WHOLE])
@pytest.mark.parametrize("kept", [1, 99, 100, 4096, 10_000, 40_960, -4096])
async def test_refuses_a_truncated_file(folder: Path, kept: int, checked_whole: int) -> None:
    """A log of which an end is missing does not start, not even a large one."""
    await make_log(folder)
    os.truncate(folder / FILE, kept if kept > 0 else (folder / FILE).stat().st_size + kept)
    with pytest.raises(ConfigurationError, match=FILE):
        await open_store(folder, checked_whole=checked_whole)


async def test_refuses_what_is_left_of_a_lost_log(folder: Path) -> None:
    """Where the file is gone and its WAL is there, no new log is begun."""
    append_until_killed(folder, run="x", lines=50)
    (folder / FILE).unlink()
    with pytest.raises(ConfigurationError, match=f"it is missing, but {FILE}-wal is there"):
        await open_store(folder)


@pytest.mark.parametrize("checked_whole", [0, CHECKED_WHOLE])
async def test_finds_flipped_bytes(folder: Path, checked_whole: int) -> None:
    """Wherever a byte is changed, the log does not start, or says it is damaged, or gives what was stored."""
    stored = await make_log(folder)
    sound = (folder / FILE).read_bytes()
    places = [*range(0, 100, 5), *range(100, len(sound), len(sound) // 40)]
    for place in places:
        changed = bytearray(sound)
        changed[place] ^= 0x41
        (folder / FILE).write_bytes(changed)
        assert await read_or_refuse(folder, checked_whole) in (None, stored), place
    (folder / FILE).write_bytes(sound[:-1])
    assert await read_or_refuse(folder, checked_whole) in (None, stored)


async def read_or_refuse(folder: Path, checked_whole: int) -> list[Record] | None:
    """Return what a log holds, read in every way; None if it is found to be damaged."""
    try:
        store = await open_store(folder, checked_whole=checked_whole)
    except ConfigurationError:
        return None
    try:
        await store.append([new("t.1", id="1"), new("t.2")])
        await store.read_back(301, patterns=["t.*"])
        await store.trimmed(["*.1"])
        await store.cursors()
        await store.set_cursor("other", 1)
        records = [
            await store.read(0, patterns=patterns) for patterns in (None, [f"t.{n}" for n in range(7)])
        ]
        await store.headers(0)
        await store.trim(range(1, 101))
    except StoreError:
        return None
    finally:
        await store.close()
    if store.damaged:
        return None
    assert records[0].records == records[1].records
    return [record for record in records[0].records if record.seq <= 300]


async def test_leaves_out_damaged_messages(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A byte changed within a message is noticed when it is read; it is a gap, and what follows is read."""
    records = await make_log(folder)
    damage(folder, 100, 101, 150)
    store = await open_store(folder)
    assert await store.read(0) == Page(records[:99], 99)
    for _ in range(2):
        assert await store.read(99) == Page(records[101:149], 149, GapRange(100, 101))
    assert await store.read(149) == Page(records[150:], 300, GapRange(150, 150))
    assert await store.read_back(301) == [each for each in records if each.seq not in (100, 101, 150)]
    page = await store.read(98, patterns=[records[99].topic], limit=2)
    assert page == Page([records[106]], 107, GapRange(100, 100))
    assert store.damaged == 3
    assert caplog.text.count("message 100 is damaged") == 1
    await store.close()


async def test_notices_a_missing_topic(folder: Path) -> None:
    """Messages that belong to no topic are damage, not an error in the program."""
    await make_log(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute("DELETE FROM topics WHERE name = 't.3'")
    store = await open_store(folder)
    with pytest.raises(StoreError, match="it is damaged"):
        await store.read(0)
    with pytest.raises(StoreError, match="it is damaged"):
        await store.read(0, patterns=[f"t.{n}" for n in range(100)])
    await store.close()


async def test_notices_a_topic_that_cannot_be_found(store: SqliteStore, files: LogFiles) -> None:
    """A topic that is there, and that its index does not know, is damage; its messages are not stored."""
    writer = files.writer.connection
    await store.append([new("lost")])
    writer.execute(
        "CREATE TEMP TRIGGER twice BEFORE INSERT ON topics BEGIN SELECT RAISE(ABORT, 'twice'); END"
    )
    with pytest.raises(StoreError, match="it is damaged"):
        await store.append([new("lost"), new("other")])
    assert await store.bounds() == Bounds(1, 1)
    writer.execute("DROP TRIGGER twice")
    await store.append([new("other")])
    assert [record.topic for record in await read_all(store)] == ["lost", "other"]


def wipe_page(folder: Path) -> None:
    """Fill a page of messages with zeros."""
    content = (folder / FILE).read_bytes()
    page = content.index(b"xxxxxxxx") // 4096 * 4096
    (folder / FILE).write_bytes(content[:page] + bytes(4096) + content[page + 4096 :])


async def test_refuses_a_small_log_with_a_lost_page(folder: Path) -> None:
    """A log that is checked whole does not start when a page in it was wiped out."""
    await make_log(folder)
    wipe_page(folder)
    with pytest.raises(ConfigurationError, match="it is damaged"):
        await open_store(folder)


async def test_notices_a_lost_page_of_a_large_log(folder: Path) -> None:
    """In a log too large to be checked whole, a page that was wiped out is noticed when it is read."""
    await make_log(folder)
    wipe_page(folder)
    store = await open_store(folder, checked_whole=0)
    with pytest.raises(StoreError, match="it is damaged"):
        await read_all(store)
    await store.close()


async def test_notices_values_of_a_wrong_type(store: SqliteStore, files: LogFiles) -> None:
    """A text where a number should be is damage, not an error in the program."""
    await store.append([new()])
    files.writer.connection.execute("UPDATE messages SET time = 'yesterday'")
    with pytest.raises(StoreError, match="it is damaged"):
        await store.append([new()])
