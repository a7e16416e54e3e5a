"""Costs of an append, a page and a trim, however long the log is."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from unittest import mock

import pytest

from msgqueue.store.sqlite import writer as sqlite_writer
from msgqueue.store.sqlite.engine import LogFiles, SqliteStore
from tests.msgqueue.store.store_model import WINDOW, Clock, new


async def test_a_commit_is_two_statements(store: SqliteStore, files: LogFiles) -> None:
    """One that looks and one that writes, however many messages: each has to wait for a busy event loop."""
    connection = files.writer.connection
    counting = mock.Mock(wraps=connection)
    for size in (1, 500):
        await store.append([new(f"t.{n % 7}", id=f"{size}.{n}") for n in range(size)])
        with mock.patch.object(files.writer, "connection", counting):
            await store.append([new(f"t.{n % 7}", id=f"again.{size}.{n}") for n in range(size)])
        assert len(counting.method_calls) == 2
        counting.reset_mock()


async def test_keeps_few_expired_ids(store: SqliteStore, files: LogFiles, clock: Clock) -> None:
    """Expired ids are removed as new ones come: there are never many more than are within the window."""
    in_window = round(WINDOW) * 200
    worst = 0
    for n in range(300):
        clock.now += 0.5
        await store.append([new(id=f"{(n * 7919 + m) % 10_007}.{n}") for m in range(100)])
        [(count,)] = files.writer.connection.execute("SELECT count(*) FROM ids")
        worst = max(worst, count)
    assert in_window < worst < in_window * 1.5 + 2 * sqlite_writer.SWEEP_EVERY


@pytest.fixture
async def long_store(store: SqliteStore) -> SqliteStore:
    """A log of 40,000 messages on 2,000 topics."""
    for batch in range(20):
        await store.append([new(f"room.{n}", batch) for n in range(2_000)])
    return store


@pytest.mark.parametrize(
    ("patterns", "most"),
    [
        (None, 2_000),
        (["room.7"], 2_000),
        (["room.7", "room.8", "none.*"], 2_000),
        (["none.*"], 500),
        (["room.*"], 10_000),
        (["*.7"], 300_000),
        (["*.none"], 300_000),
    ],
)
async def test_a_page_costs_no_more_in_a_long_log(
    long_store: SqliteStore, files: LogFiles, patterns: list[str] | None, most: int
) -> None:
    """The cost of a page depends neither on the length of the log nor on where the page begins."""
    for after in (0, 20_000, 39_990):
        with counting_instructions(files.reader.connection) as instructions:
            await long_store.read(after, patterns=patterns, limit=20)
        assert instructions() < most


async def test_a_trim_costs_no_more_in_a_long_log(long_store: SqliteStore, files: LogFiles) -> None:
    """The cost of a trim depends only on the records it removes."""
    for first in (1, 20_000, 39_990):
        with counting_instructions(files.writer.connection) as instructions:
            await long_store.trim(range(first, first + 10))
        assert instructions() < 2_000


@pytest.mark.parametrize("topic", [None, "room.7"])
async def test_headers_cost_no_more_in_a_long_log(
    long_store: SqliteStore, files: LogFiles, topic: str | None
) -> None:
    """The cost of headers depends only on how many there are."""
    for after in (0, 20_000, 39_990):
        with counting_instructions(files.reader.connection) as instructions:
            await long_store.headers(after, topic=topic, limit=20)
        assert instructions() < 2_000


async def test_an_append_costs_no_more_in_a_long_log(long_store: SqliteStore, files: LogFiles) -> None:
    """The cost of an append depends only on the records it adds."""
    for key in (None, "x"):
        with counting_instructions(files.writer.connection) as instructions:
            await long_store.append([new(id=key)])
        assert instructions() < 2_000


@contextmanager
def counting_instructions(connection: sqlite3.Connection) -> Iterator[Callable[[], int]]:
    """Count what SQLite's virtual machine does within, in tens of its instructions."""
    ticks = count()
    connection.set_progress_handler(lambda: next(ticks) and None, 10)
    try:
        yield lambda: 10 * next(ticks)
    finally:
        connection.set_progress_handler(None, 10)
