"""The SQLite engine and its disk: space left for trims, and a WAL that shrinks again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from fanline.errors import StoreError
from msgqueue.retention import Retention
from msgqueue.settings import RetentionRule
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.store.sqlite.file import WAL_BYTES
from tests.msgqueue.store.store_model import WINDOW, Clock, new
from tests.stubs import DEADLINE

RESERVE = 200_000
FILE, WAL = "log.sqlite3", "log.sqlite3-wal"


class Disk:
    """A disk that has as much space as a test says."""

    free = 10 * RESERVE

    def free_bytes(self, _: Path) -> int:
        """Return how much of it is free."""
        return self.free


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def store(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(
        tmp_path,
        dedupe_window=WINDOW,
        disk_reserve=RESERVE,
        clock=Clock(),
        free_bytes=disk.free_bytes,
    )
    yield store
    await store.close()


async def test_retention_makes_room_on_a_full_disk(store: SqliteStore, disk: Disk) -> None:
    """Appends leave the reserve to retention, which trims on a full disk; then appends go on."""
    await store.append([new(content="x" * 1000) for _ in range(1000)])
    disk.free = RESERVE - 1
    with pytest.raises(StoreError, match="the disk is full but for the 200,000 bytes of disk_reserve"):
        await store.append([new("late")])
    assert (await store.bounds()).last == 1000
    await Retention(store, [RetentionRule(topics=">", max_age=None, max_count=10, max_bytes=None)]).sweep()
    assert await store.append([new("late")]) == [(1001, False)]


async def test_goes_on_when_there_is_room_again(store: SqliteStore, disk: Disk) -> None:
    """Space that something else has freed is enough."""
    disk.free = 0
    with pytest.raises(StoreError, match="the disk is full"):
        await store.append([new()])
    disk.free = RESERVE
    assert await store.append([new()]) == [(1, False)]


async def test_commits_do_not_move_the_wal(store: SqliteStore, tmp_path: Path) -> None:
    """It is moved next to them, long before SQLite would, within a commit that then takes 100 ms."""
    path = tmp_path / FILE
    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            await store.append([new(content="x" * 2_000_000)])  # a third of what SQLite lets gather
        while path.stat().st_size < 4_000_000:
            await asyncio.sleep(0.005)


async def test_the_wal_shrinks_after_a_burst(store: SqliteStore, tmp_path: Path) -> None:
    """A WAL that grew while a reader stayed at its beginning is emptied once that has gone, not before."""
    wal = tmp_path / WAL
    await store.append([new()])
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        while wal.stat().st_size <= WAL_BYTES:
            await store.append([new(content="x" * 4_000_000)])
        await store.tidy()
        assert wal.stat().st_size > WAL_BYTES
        assert (await store.append([new("during")]))[0].seq > 1
    await store.tidy()
    assert wal.stat().st_size == 0
    assert (await store.append([new("after")]))[0].seq > 1
