"""Reads in small steps, each of one moment."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from fanline.protocol import Page
from msgqueue.store.sqlite.engine import LogFiles, SqliteStore, open_files
from msgqueue.store.sqlite.reader import Reader, StepSizes
from tests.msgqueue.store.store_model import STEPS, WINDOW, Clock, Step, agree, new


async def open_in_steps(folder: Path, clock: Clock, sizes: StepSizes) -> SqliteStore:
    """Open a store whose reader looks at little in each step."""
    files = await open_files(folder, dedupe_window=WINDOW, disk_reserve=0, clock=clock)
    files.reader.close()
    return SqliteStore(files.file, files.writer, Reader(files.file.connect(), sizes))


async def test_a_page_is_of_one_moment(store: SqliteStore, files: LogFiles) -> None:
    """A topic that comes up while a page is made is not passed over: it is on the next page."""
    await store.append([new("a.old")])
    pending = [new("a.new")]

    def append_before_the_rows(statement: str) -> None:
        if pending and "FROM messages" in statement:
            files.writer.append([pending.pop()])

    files.reader.connection.set_trace_callback(append_before_the_rows)
    page = await store.read(0, patterns=["a.*"])
    assert not pending
    assert ([record.topic for record in page.records], page.position) == (["a.old"], 1)
    page = await store.read(page.position, patterns=["a.*"])
    assert [record.topic for record in page.records] == ["a.new"]


class EndedByItself:
    """A connection whose transactions SQLite ends as soon as they begin."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        cursor = self._connection.execute(statement, *values)
        return self._connection.execute("ROLLBACK") if statement == "BEGIN" else cursor


async def test_ends_a_read_that_sqlite_has_ended(
    store: SqliteStore, files: LogFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error that takes the read transaction with it, reading goes on."""
    with monkeypatch.context() as patch:
        patch.setattr(files.reader, "connection", EndedByItself(files.reader.connection))
        assert await store.read(0) == Page([], 0)
    assert await store.read(0) == Page([], 0)


async def test_reads_back_in_steps(folder: Path, clock: Clock) -> None:
    """Of what several steps find together there is no more than was asked for."""
    store = await open_in_steps(folder, clock, StepSizes(few_names=2, examined=10))
    await store.append([new(f"{'ab'[n % 2]}.{n}") for n in range(100)])
    records = await store.read_back(100, patterns=["a.*"], limit=8)
    assert [record.seq for record in records] == [85, 87, 89, 91, 93, 95, 97, 99]
    await store.close()


@given(steps=STEPS)
@settings(max_examples=15)
def test_agrees_with_the_model_in_small_steps(steps: list[Step]) -> None:
    """All ways to find records agree with the model, also where they meet."""
    sizes = StepSizes(few_topics=2, few_names=4, examined=5, trimmed=2)
    agree(lambda folder, clock: open_in_steps(folder, clock, sizes), steps)
