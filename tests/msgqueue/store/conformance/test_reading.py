"""Pages, headers and newest messages, read from every engine."""

import pytest

from fanline.protocol import Page, Record
from msgqueue.store.base import RecordHeader, Store
from tests.msgqueue.store.conformance.conftest import append_on, positions, read_all
from tests.msgqueue.store.store_model import Clock, new, sizes


async def test_reads_page_by_page(store: Store) -> None:
    """A page has so many records, and says where the next one begins."""
    await append_on(store, *"abcde")
    page = await store.read(0, limit=2)
    assert (positions(page.records), page.position) == ([1, 2], 2)
    page = await store.read(2, limit=3)
    assert (positions(page.records), page.position) == ([3, 4, 5], 5)


@pytest.mark.parametrize("patterns", [None, ["a"], ["*"], ["a", ">"], ["none"], []])
async def test_reads_at_the_end(store: Store, patterns: list[str] | None) -> None:
    """At the end there is nothing, and the position stays; one beyond the end is left where it is."""
    assert await store.read(0, patterns=patterns) == Page([], 0)
    await append_on(store, "a")
    assert await store.read(1, patterns=patterns) == Page([], 1)
    assert await store.read(7, patterns=patterns) == Page([], 7)


@pytest.mark.parametrize(
    ("patterns", "topics"),
    [
        (["a"], ["a"]),
        (["a.b"], ["a.b"]),
        (["a", "a.c"], ["a", "a.c"]),
        (["a.*"], ["a.b", "a.c"]),
        (["*.c"], ["a.c", "b.c"]),
        (["a.>", "a.b"], ["a.b", "a.c", "a.b.c"]),
        ([">"], ["a", "a.b", "a.c", "b.c", "a.b.c", "a-b"]),
        (["$sys.>"], ["$sys.x"]),
        (["none", "none.*"], []),
        ([], []),
        (None, ["a", "a.b", "a.c", "b.c", "a.b.c", "$sys.x", "a-b"]),
    ],
)
@pytest.mark.parametrize("others", [0, 500, 700], ids=["few topics", "some topics", "many topics"])
async def test_reads_what_matches(
    store: Store, patterns: list[str] | None, topics: list[str], others: int
) -> None:
    """Only what matches is read, forwards and backwards, however many topics there are besides."""
    await append_on(store, "a", "a.b", "a.c", "b.c", "a.b.c", "$sys.x", "a-b")
    await append_on(store, *(f"$other{n}.x" for n in range(others)))
    await append_on(store, *(f"a.{n}.x.y" for n in range(others)))

    def named(records: list[Record]) -> list[str]:
        return [
            record.topic for record in records if "other" not in record.topic and ".x.y" not in record.topic
        ]

    assert named(await read_all(store, patterns)) == topics
    last = (await store.bounds()).last
    assert named(await store.read_back(last + 1, patterns=patterns, limit=5000)) == topics


async def test_finds_the_rare_among_the_many(store: Store) -> None:
    """Records that are far apart are all found, one page after the other."""
    rare = []
    for n in range(20):
        await append_on(store, *(f"common.{n}.{m}" for m in range(400)))
        rare += await append_on(store, f"rare.{n}")
    assert positions(await read_all(store, ["*.*"], limit=7)) == rare
    assert positions(await store.read_back(rare[-1], patterns=["*.*"], limit=15)) == rare[4:-1]


@pytest.mark.parametrize("patterns", [None, ["a"], ["*"]])
async def test_bounds_the_bytes_of_a_page(store: Store, patterns: list[str] | None) -> None:
    """A page has no more bytes than it may have, but at least one record."""
    await store.append([new(content="x" * size) for size in (100, 100, 100, 5000, 100)])
    records = await read_all(store)
    two = sizes(records[:2])
    page = await store.read(0, patterns=patterns, max_bytes=two)
    assert (positions(page.records), page.position) == ([1, 2], 2)
    page = await store.read(0, patterns=patterns, max_bytes=two - 1)
    assert (positions(page.records), page.position) == ([1], 1)
    page = await store.read(3, patterns=patterns, max_bytes=two)
    assert (positions(page.records), page.position) == ([4], 4)
    assert positions(await store.read_back(4, patterns=patterns, max_bytes=two)) == [2, 3]
    assert positions(await store.read_back(5, patterns=patterns, max_bytes=two)) == [4]
    assert positions(await store.read_back(6, patterns=patterns, max_bytes=two)) == [5]


async def test_reads_backwards(store: Store) -> None:
    """Going back gives the newest before a position, oldest first, until there are no more."""
    await append_on(store, "a", "b", "a", "b", "a")
    assert positions(await store.read_back(6, limit=2)) == [4, 5]
    assert positions(await store.read_back(4, limit=2)) == [2, 3]
    assert positions(await store.read_back(2, limit=2)) == [1]
    assert positions(await store.read_back(1, limit=2)) == []
    assert positions(await store.read_back(5, patterns=["a"], limit=1)) == [3]
    assert positions(await store.read_back(1000, limit=1)) == [5]


async def test_reads_the_newest_of_each_topic(store: Store) -> None:
    """In pages, in the order of the log: of each topic the newest record up to a position (line 49)."""
    await append_on(store, "a.x", "a.y", "b", "a.x", "a.z", "a.y", "a.w")
    page = await store.read_newest(6, 0, patterns=["a.*"], limit=2)
    assert (positions(page.records), page.position) == ([4, 5], 5)
    await append_on(store, "a.x")
    page = await store.read_newest(6, page.position, patterns=["a.*"], limit=2)
    assert (positions(page.records), page.position) == ([6], 6)
    assert positions((await store.read_newest(8, 0, patterns=["b", "a.x", ">"])).records) == [3, 5, 6, 7, 8]
    assert await store.read_newest(8, 0, patterns=["none.>", "none"]) == Page([], 8)


async def test_newest_of_a_trimmed_topic_is_left_out(store: Store) -> None:
    """Also when it is trimmed between two pages (line 49)."""
    await append_on(store, "a.x", "a.y", "a.z", "a.z")
    page = await store.read_newest(4, 0, patterns=["a.*"], limit=1)
    assert positions(page.records) == [1]
    await store.trim([2, 3])
    found = []
    while page.position < 4:
        page = await store.read_newest(4, page.position, patterns=["a.*"], limit=1)
        found += positions(page.records)
    assert found == [4]


async def test_headers_of_the_log(store: Store, clock: Clock) -> None:
    """Every record has a line, with all that there is to say of it except its body."""
    await append_on(store, "a", "b", "a", "a")
    sizes_ = [len(record.body) for record in await read_all(store)]
    lines = [RecordHeader(seq, topic, clock.ms, sizes_[seq - 1]) for seq, topic in enumerate("abaa", 1)]
    assert await store.headers(0) == lines
    assert await store.headers(1, limit=2) == lines[1:3]
    assert await store.headers(0, topic="a", limit=2) == [lines[0], lines[2]]
    assert await store.headers(1, topic="a") == lines[2:]
    assert await store.headers(4) == await store.headers(0, topic="none") == []
