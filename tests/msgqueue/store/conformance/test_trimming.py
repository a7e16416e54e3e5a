"""Trimmed messages, in every engine."""

import pytest

from fanline.protocol import Page
from msgqueue.store.base import AppendResult, Bounds, Store
from tests.msgqueue.store.conformance.conftest import Reopen, append_on, positions, read_all
from tests.msgqueue.store.store_model import new


async def test_trims_what_it_is_told(store: Store) -> None:
    """The given records go, wherever they are, and no other; reading passes over the holes."""
    await append_on(store, *"abcdef")
    await store.trim([4, 1, 3])
    assert await store.bounds() == Bounds(2, 6)
    await store.trim([3, 2, 99])
    await store.trim([])
    assert await store.bounds() == Bounds(5, 6)
    page = await store.read(0)
    assert (positions(page.records), page.position) == ([5, 6], 6)
    assert await append_on(store, "g") == [7]


@pytest.mark.parametrize("patterns", [None, ["a", "b"], ["*"]])
async def test_reads_over_holes(store: Store, patterns: list[str] | None) -> None:
    """A page is filled, forwards and backwards, however much was removed in between and at the end."""
    await append_on(store, *("ab" * 500))
    await store.trim([seq for seq in range(1, 1001) if seq % 100])
    await store.trim([1000])
    assert positions(await read_all(store, patterns, limit=4)) == list(range(100, 1000, 100))
    assert (await store.read(900, patterns=patterns)) == Page([], 1000)
    assert positions(await store.read_back(1001, patterns=patterns, limit=3)) == [700, 800, 900]
    assert await store.bounds() == Bounds(100, 1000)


async def test_never_gives_a_position_twice(reopen: Reopen) -> None:
    """After everything was trimmed and the log was opened again, positions go on (promise 2)."""
    store = await reopen()
    await append_on(store, *"abc")
    await store.trim([1, 2, 3])
    assert await store.bounds() == Bounds(4, 3)
    assert await store.read(0) == Page([], 3)
    store = await reopen()
    assert await store.bounds() == Bounds(4, 3)
    assert await append_on(store, "d") == [4]
    assert await store.bounds() == Bounds(4, 4)


async def test_remembers_ids_of_trimmed_messages(store: Store) -> None:
    """An id within the window counts though its message is gone."""
    [first] = await store.append([new(id="x")])
    await store.trim([first.seq])
    assert await store.append([new(id="x")]) == [AppendResult(first.seq, duplicate=True)]


async def test_knows_what_was_trimmed_of_each_topic(reopen: Reopen) -> None:
    """The gap of a topic ends at the last of its messages that was trimmed (promise 4)."""
    store = await reopen()
    await append_on(store, "a.x", "b", "a.y", "a.x", "$sys", "c")
    assert await store.trimmed([">"]) == 0
    await store.trim([5, 2])
    await store.trim([4, 3, 1])
    for _ in range(2):
        assert await store.trimmed(["a.x"]) == 4
        assert await store.trimmed(["a.y"]) == 3
        assert await store.trimmed(["a.*"]) == 4
        assert await store.trimmed(["*.y", "b"]) == 3
        assert await store.trimmed([">"]) == 4
        assert await store.trimmed(["c", "none", "a"]) == 0
        assert await store.trimmed([]) == 0
        assert await store.trimmed() == 5
        store = await reopen()


async def test_knows_what_was_trimmed_of_many_topics(store: Store) -> None:
    """However many topics there are, the highest is found."""
    await append_on(store, *(f"room.{n}.x" for n in range(10_000)))
    await store.trim(range(1, 9_001))
    assert await store.trimmed(["*.*.x"]) == 9_000
    assert await store.trimmed(["room.8998.*", "room.9998.*"]) == 8_999
    assert await store.trimmed(["*.9998.x"]) == 0
