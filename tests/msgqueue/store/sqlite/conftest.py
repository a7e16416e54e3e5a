"""The SQLite engine in a folder, with a clock."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from fanline.protocol import Record
from msgqueue.store.sqlite.engine import LogFiles, SqliteStore, open_files
from msgqueue.store.sqlite.file import CHECKED_WHOLE
from tests.forking import forked
from tests.msgqueue.store.store_model import WINDOW, Clock, new

FILE = "log.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def files(folder: Path, clock: Clock) -> LogFiles:
    """The file, writer and reader of :func:`store`."""
    return await open_files(folder, dedupe_window=WINDOW, disk_reserve=0, clock=clock)


@pytest.fixture
async def store(files: LogFiles) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(*files)
    yield store
    await store.close()


async def open_store(
    folder: Path, clock: Clock | None = None, *, checked_whole: int = CHECKED_WHOLE
) -> SqliteStore:
    files = await open_files(
        folder, dedupe_window=WINDOW, disk_reserve=0, clock=clock or Clock(), checked_whole=checked_whole
    )
    return SqliteStore(*files)


async def make_log(folder: Path, messages: int = 300) -> list[Record]:
    """Leave a closed log in a folder, and return what is in it."""
    store = await open_store(folder)
    await store.append([new(f"t.{n % 7}", "x" * 200, id=f"{n}") for n in range(messages)])
    await store.set_cursor("default", 7)
    records = await read_all(store)
    await store.close()
    return records


async def read_all(store: SqliteStore) -> list[Record]:
    records: list[Record] = []
    position = 0
    last = (await store.bounds()).last
    while position < last:
        page = await store.read(position)
        records += page.records
        position = page.position
    return records


@contextmanager
def appending(folder: Path, run: str) -> Iterator[tuple[forked.Background, TextIO]]:
    """Have a process append; yield it, and what it says. Kill it at the end."""
    reader, writer = os.pipe()
    child = forked.Background(
        "tests.msgqueue.store.store_child", str(folder), run, environment=os.environ, stdout=writer
    )
    os.close(writer)
    with open(reader) as output:
        yield child, output
        child.kill()
    child.wait()


def append_until_killed(folder: Path, *, run: str, lines: int) -> dict[int, str]:
    """Have a process append, kill it after so many acknowledgements, and return all that it gave."""
    with appending(folder, run) as (child, output):
        said = [output.readline() for _ in range(lines)]
        child.kill()
        said += output.readlines()
    whole = [line.split() for line in said if line.endswith("\n")]
    assert len(whole) >= lines
    return {int(seq): id_ for seq, id_ in whole}


def damage(folder: Path, *seqs: int) -> None:
    """Change a byte within the bodies of some messages."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        for seq in seqs:
            connection.execute(
                "UPDATE messages SET body = CAST(replace(body, 'xxxx', 'xxxy') AS BLOB) WHERE seq = ?",
                (seq,),
            )
