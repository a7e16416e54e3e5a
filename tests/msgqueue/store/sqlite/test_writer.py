"""Problems that stop the writer: full disks, failing statements."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fanline.errors import StoreError
from fanline.protocol import Page
from msgqueue.store.base import Bounds
from msgqueue.store.sqlite.engine import LogFiles, SqliteStore
from tests.msgqueue.store.sqlite.conftest import FILE, read_all
from tests.msgqueue.store.store_model import new


async def test_survives_a_full_disk(
    store: SqliteStore, files: LogFiles, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of a batch that did not fit is stored; with room again the log goes on as if it never was."""
    await store.append([new("before", id="before")])
    limit_pages(files, 40)
    with pytest.raises(StoreError, match="the disk is full"):
        await store.append([new("big", "x" * 1000, id=f"{n}") for n in range(500)])
    assert await store.bounds() == Bounds(1, 1)
    assert [record.topic for record in await read_all(store)] == ["before"]
    assert await store.append([new("small", id="0")]) == [(2, False)]
    limit_pages(files, 1 << 30)
    results = await store.append([new("big", "x" * 1000, id=f"{n}", sender="other") for n in range(500)])
    assert results == [(seq, False) for seq in range(3, 503)]
    assert [record.topic for record in await read_all(store)] == ["before", "small", *["big"] * 500]
    assert not caplog.records


def limit_pages(files: LogFiles, pages: int) -> None:
    files.writer.connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_says_what_stops_it(store: SqliteStore, files: LogFiles, folder: Path) -> None:
    """While another program holds the log locked the error says so; then it goes on."""
    files.writer.connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (store.append([new()]), store.trim([1]), store.set_cursor("x", 1)):
            with pytest.raises(StoreError, match=f"{folder / FILE}: another program has locked it"):
                await write
        assert await store.read(0) == Page([], 0)
        other.execute("ROLLBACK")
    assert await store.append([new()]) == [(1, False)]


@pytest.mark.parametrize("end", ["ABORT", "ROLLBACK"])
async def test_undoes_a_trim_that_fails(store: SqliteStore, files: LogFiles, end: str) -> None:
    """A trim that fails on its way has removed and noted nothing, whether SQLite ends it by itself or not."""
    await store.append([new(f"t.{n}") for n in range(10)])
    files.writer.connection.execute(
        f"CREATE TEMP TRIGGER fail BEFORE DELETE ON messages BEGIN SELECT RAISE({end}, 'no'); END"
    )
    with pytest.raises(StoreError, match="it is damaged"):
        await store.trim([3, 5])
    assert await store.bounds() == Bounds(1, 10)
    assert await store.trimmed() == await store.trimmed(["t.*"]) == 0
