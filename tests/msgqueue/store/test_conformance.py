"""The contract of the store, run against every engine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from fanline.errors import Closed
from fanline.protocol import Message, NewMessage, Page, Record, decode_message
from msgqueue.store.base import Bounds, Receipt, RecordHeader, Store
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.replica.engines import JetStreamEngine, Journals
from tests.msgqueue.store.store_model import STEPS, WINDOW, Clock, OpenStore, Step, agree, new, sizes

Reopen = Callable[[], Awaitable[Store]]


def open_sqlite(folder: Path, clock: Clock) -> Awaitable[Store]:
    return SqliteStore.open(folder, dedupe_window=WINDOW, clock=clock)


ENGINES = [
    pytest.param(open_sqlite, id="sqlite"),
    pytest.param(Journals(rate=0.1).open_one, id="replica", marks=pytest.mark.long),
    pytest.param(Journals(rate=0.1).open_three, id="three replicas", marks=pytest.mark.long),
    pytest.param(JetStreamEngine().open, id="jetstream", marks=pytest.mark.long),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ENGINES)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Reopen]:
    """Open the log; each further call closes it first. It is closed at the end."""
    opened: list[Store] = []

    async def again() -> Store:
        if opened:
            await opened[-1].close()
        opened.append(await request.param(tmp_path / "data", clock))
        return opened[-1]

    yield again
    await opened[-1].close()


@pytest.fixture
async def store(reopen: Reopen) -> Store:
    return await reopen()


async def append_on(store: Store, *topics: str) -> list[int]:
    """Append a message on each of the topics, and return their positions."""
    return [receipt.seq for receipt in await store.append([new(topic) for topic in topics])]


async def read_all(store: Store, patterns: Sequence[str] | None = None, limit: int = 500) -> list[Record]:
    """Read from the start to the end of the log, page by page."""
    records: list[Record] = []
    position = 0
    last = (await store.bounds()).last
    while position < last:
        page = await store.read(position, patterns=patterns, limit=limit)
        assert page.position > position
        records += page.records
        position = page.position
    return records


def positions(records: Sequence[Record]) -> list[int]:
    return [record.seq for record in records]


async def test_stores_messages_in_order(store: Store, clock: Clock) -> None:
    """Records are read in the order of the appends, with its position, time and sender (line 4)."""
    receipts = await store.append([new("a", 1, id="x"), new("b", 2, sender=None)])
    assert [decode_message(record.body) for record in await read_all(store)] == [
        Message("a", msgspec.Raw(b"1"), receipts[0].seq, clock.ms, "x", "hello"),
        Message("b", msgspec.Raw(b"2"), receipts[1].seq, clock.ms),
    ]
    assert not any(receipt.duplicate for receipt in receipts)
    assert 0 < receipts[0].seq < receipts[1].seq


@pytest.mark.parametrize(
    "content",
    [b'{ "spaces" :\n [1.0e3,  "\\u00e4"] }', '"\u2028 ünïcode ✓ 🎉"'.encode(), b'"\\u0000"', b"null"],
)
async def test_keeps_the_content_byte_for_byte(store: Store, content: bytes) -> None:
    """Content comes back in the publisher's own spelling."""
    await store.append([NewMessage("a", msgspec.Raw(content))])
    [record] = await read_all(store)
    assert bytes(decode_message(record.body).content) == content


async def test_keeps_the_type(store: Store) -> None:
    """A presence event stays one."""
    await store.append([NewMessage("a", msgspec.Raw(b"1"), type="join")])
    [record] = await read_all(store)
    assert decode_message(record.body).type == "join"


async def test_keeps_messages_across_a_restart(reopen: Reopen) -> None:
    """A closed log holds what it held when it is opened again (promise 1)."""
    store = await reopen()
    await append_on(store, "a", "b", "a")
    before = await read_all(store)
    store = await reopen()
    assert await read_all(store) == before
    assert await append_on(store, "c") == [before[-1].seq + 1]


async def test_appends_nothing(store: Store) -> None:
    """An empty batch is no error, and leaves no trace."""
    assert await store.append([]) == []
    assert await store.bounds() == Bounds(1, 0)


async def test_stores_an_id_once(reopen: Reopen) -> None:
    """A message sent again gets the position of the first, also after a restart (promise 3)."""
    store = await reopen()
    [first] = await store.append([new(content="first", id="x")])
    assert await store.append([new(), new(content="again", id="x")]) == [
        Receipt(first.seq + 1, duplicate=False),
        Receipt(first.seq, duplicate=True),
    ]
    store = await reopen()
    assert await store.append([new("elsewhere", id="x")]) == [Receipt(first.seq, duplicate=True)]
    assert len(await read_all(store)) == 2


async def test_stores_an_id_once_within_a_batch(store: Store) -> None:
    """The second of two equal ids in one batch is a duplicate of the first."""
    first, second, third = await store.append([new(id="x"), new(id="x"), new(id="y")])
    assert second == Receipt(first.seq, duplicate=True)
    assert third == Receipt(first.seq + 1, duplicate=False)


async def test_ids_are_each_senders_own(store: Store) -> None:
    """Two users, and no user, may all use the same id."""
    receipts = await store.append([new(id="1", sender=sender) for sender in ("hello", "other", None)])
    assert not any(receipt.duplicate for receipt in receipts)


async def test_does_not_show_ids_that_a_publisher_made_up(store: Store) -> None:
    """An id that begins with "$" guards against doubles, but is not part of the message."""
    [first] = await store.append([new(id="$p-1")])
    assert await store.append([new(id="$p-1")]) == [Receipt(first.seq, duplicate=True)]
    [record] = await read_all(store)
    assert decode_message(record.body).id is None


async def test_stores_messages_with_a_cursor(reopen: Reopen) -> None:
    """A message and the cursor of a consumer are stored together, also after a restart."""
    store = await reopen()
    await store.append([new("a"), new("b")])
    [receipt] = await store.append([new("new")], cursors={"billing": 2})
    assert receipt == Receipt(3, duplicate=False)
    store = await reopen()
    assert await store.cursors() == {"billing": 2}
    assert [record.topic for record in await read_all(store)] == ["a", "b", "new"]
    await append_on(store, "new")


async def test_forgets_an_id_after_the_window(store: Store, clock: Clock) -> None:
    """An id counts for as long as the window, to the millisecond, from when it was stored."""
    [first] = await store.append([new(id="x")])
    clock.now += WINDOW
    assert await store.append([new(id="x")]) == [Receipt(first.seq, duplicate=True)]
    clock.now += 0.001
    [later] = await store.append([new(id="x")])
    assert later == Receipt(first.seq + 1, duplicate=False)
    clock.now += WINDOW
    assert await store.append([new(id="x")]) == [Receipt(later.seq, duplicate=True)]


async def test_time_never_goes_back(reopen: Reopen, clock: Clock) -> None:
    """Though the clock is put back, messages are not older than those before them, not even trimmed ones."""
    store = await reopen()
    first = clock.ms
    await append_on(store, "a")
    clock.now -= 3600
    await append_on(store, "a")
    assert [decode_message(record.body).time for record in await read_all(store)] == [first, first]
    await store.trim([1, 2])
    store = await reopen()
    await append_on(store, "a")
    [record] = await read_all(store)
    assert decode_message(record.body).time == first


async def test_tells_followers_of_new_records(store: Store) -> None:
    """Every follower gets what was stored, on the event loop, before the append returns."""
    told: list[tuple[str, int, list[Record]]] = []
    store.follow(lambda records: told.append(("one", threading.get_ident(), list(records))))
    store.follow(lambda records: told.append(("two", threading.get_ident(), list(records))))
    await store.append([new("a", id="x"), new("b", id="x"), new("c")])
    stored = await read_all(store)
    assert [record.topic for record in stored] == ["a", "c"]
    assert told == [("one", threading.get_ident(), stored), ("two", threading.get_ident(), stored)]


async def test_does_not_tell_followers_of_duplicates(store: Store) -> None:
    """A batch with nothing new in it is not news."""
    await store.append([new(id="x")])
    told: list[Sequence[Record]] = []
    store.follow(told.append)
    await store.append([new(id="x")])
    assert told == []


async def test_stores_concurrent_appends_in_their_order(store: Store) -> None:
    """Batches are stored whole, in the order of the calls, and told in the same order (promise 2)."""
    told: list[Record] = []
    store.follow(told.extend)
    batches = await asyncio.gather(*(append_on(store, f"t{n}", f"t{n}") for n in range(50)))
    assert [seq for batch in batches for seq in batch] == list(range(1, 101))
    assert told == await read_all(store)


async def test_tells_of_a_cancelled_append_what_it_stored(store: Store) -> None:
    """A cancelled append may be stored: followers get it, and the log continues."""
    told: list[Record] = []
    store.follow(told.extend)
    cancelled = [asyncio.create_task(append_on(store, f"cancelled{n}")) for n in range(20)]
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*cancelled, return_exceptions=True)
    )
    await append_on(store, "later")
    assert told == await read_all(store)
    assert told[-1].topic == "later"


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
    assert await store.append([new(id="x")]) == [Receipt(first.seq, duplicate=True)]


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


async def test_keeps_cursors(reopen: Reopen) -> None:
    """A consumer's position is kept across restarts, until it is forgotten (line 4)."""
    store = await reopen()
    await store.set_cursor("billing", 3)
    await store.set_cursor("billing", 7)
    await store.set_cursor('odd "name"', 1)
    await store.delete_cursor("unknown")
    store = await reopen()
    assert await store.cursors() == {"billing": 7, 'odd "name"': 1}
    await store.delete_cursor("billing")
    assert await store.cursors() == {'odd "name"': 1}


async def test_finishes_before_it_closes(reopen: Reopen) -> None:
    """Calls begun before the log is closed are finished."""
    store = await reopen()
    appending = [asyncio.create_task(append_on(store, "a")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert [await task for task in appending] == [[seq] for seq in range(1, 21)]
    assert (await (await reopen()).bounds()).last == 20


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.append([new()]),
        lambda store: store.read(0),
        lambda store: store.read_back(1),
        lambda store: store.bounds(),
        lambda store: store.trimmed(),
        lambda store: store.headers(0),
        lambda store: store.trim([1]),
        lambda store: store.cursors(),
        lambda store: store.set_cursor("x", 1),
        lambda store: store.delete_cursor("x"),
    ],
)
async def test_cannot_be_used_once_closed(store: Store, use: Callable[[Store], Awaitable[object]]) -> None:
    """A closed log says so."""
    await store.close()
    with pytest.raises(Closed):
        await use(store)


@pytest.mark.parametrize("open_store", ENGINES)
@given(steps=STEPS)
@settings(max_examples=15, deadline=None)
def test_agrees_with_the_model(open_store: OpenStore, steps: list[Step]) -> None:
    """Whatever is done to it, and in whatever order, the log is what a plain list would be."""
    agree(open_store, steps)
