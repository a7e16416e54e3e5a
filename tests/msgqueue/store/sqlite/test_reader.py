"""Reads in small steps, each of one moment."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from fanline.protocol import Page
from msgqueue.store.sqlite import reader as sqlite_reader
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.sqlite.conftest import open_store
from tests.msgqueue.store.store_model import STEPS, Step, agree, new


async def test_a_page_is_of_one_moment(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that comes up while a page is made is not passed over: it is on the next page."""
    await store.append([new("a.old")])
    few_topics = store._reader._few_topics

    def interrupted(patterns: Sequence[str]) -> list[int] | None:
        topics = few_topics(patterns)
        store._writer.append([new("a.new")])
        return topics

    monkeypatch.setattr(store._reader, "_few_topics", interrupted)
    page = await store.read(0, patterns=["a.*"])
    assert ([record.topic for record in page.records], page.position) == (["a.old"], 1)
    page = await store.read(page.position, patterns=["a.*"])
    assert [record.topic for record in page.records] == ["a.new"]


async def test_ends_a_read_that_sqlite_has_ended(store: SqliteStore) -> None:
    """After an error that takes the read transaction with it, reading goes on."""
    with store._reader._snapshot():
        store._reader.connection.execute("ROLLBACK")
    assert await store.read(0) == Page([], 0)


async def test_reads_back_in_steps(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what several steps find together there is no more than was asked for."""
    monkeypatch.setattr(sqlite_reader, "FEW_NAMES", 2)
    monkeypatch.setattr(sqlite_reader, "EXAMINED", 10)
    await store.append([new(f"{'ab'[n % 2]}.{n}") for n in range(100)])
    records = await store.read_back(100, patterns=["a.*"], limit=8)
    assert [record.seq for record in records] == [85, 87, 89, 91, 93, 95, 97, 99]


@given(steps=STEPS)
@settings(max_examples=15)
def test_agrees_with_the_model_in_small_steps(steps: list[Step]) -> None:
    """All ways to find records agree with the model, also where they meet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_reader, "FEW_TOPICS", 2)
        patch.setattr(sqlite_reader, "FEW_NAMES", 4)
        patch.setattr(sqlite_reader, "EXAMINED", 5)
        patch.setattr(sqlite_reader, "TRIMMED", 2)
        agree(open_store, steps)
