"""Appended messages, ids and cursors are kept by every engine."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from fanline.errors import Closed
from fanline.protocol import Message, NewMessage, Record, decode_message
from msgqueue.store.base import AppendResult, Bounds, Store
from tests.msgqueue.store.conformance.conftest import Reopen, append_on, read_all
from tests.msgqueue.store.store_model import WINDOW, Clock, new


async def test_stores_messages_in_order(store: Store, clock: Clock) -> None:
    """Records are read in the order of the appends, with its position, time and sender (line 4)."""
    results = await store.append([new("a", 1, id="x"), new("b", 2, sender=None)])
    assert [decode_message(record.body) for record in await read_all(store)] == [
        Message("a", msgspec.Raw(b"1"), results[0].seq, clock.ms, "x", "hello"),
        Message("b", msgspec.Raw(b"2"), results[1].seq, clock.ms),
    ]
    assert not any(result.duplicate for result in results)
    assert 0 < results[0].seq < results[1].seq


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
        AppendResult(first.seq + 1, duplicate=False),
        AppendResult(first.seq, duplicate=True),
    ]
    store = await reopen()
    assert await store.append([new("elsewhere", id="x")]) == [AppendResult(first.seq, duplicate=True)]
    assert len(await read_all(store)) == 2


async def test_stores_an_id_once_within_a_batch(store: Store) -> None:
    """The second of two equal ids in one batch is a duplicate of the first."""
    first, second, third = await store.append([new(id="x"), new(id="x"), new(id="y")])
    assert second == AppendResult(first.seq, duplicate=True)
    assert third == AppendResult(first.seq + 1, duplicate=False)


async def test_ids_are_each_senders_own(store: Store) -> None:
    """Two users, and no user, may all use the same id."""
    results = await store.append([new(id="1", sender=sender) for sender in ("hello", "other", None)])
    assert not any(result.duplicate for result in results)


async def test_does_not_show_ids_that_a_publisher_made_up(store: Store) -> None:
    """An id that begins with "$" guards against doubles, but is not part of the message."""
    [first] = await store.append([new(id="$p-1")])
    assert await store.append([new(id="$p-1")]) == [AppendResult(first.seq, duplicate=True)]
    [record] = await read_all(store)
    assert decode_message(record.body).id is None


async def test_stores_messages_with_a_cursor(reopen: Reopen) -> None:
    """A message and the cursor of a consumer are stored together, also after a restart."""
    store = await reopen()
    await store.append([new("a"), new("b")])
    [result] = await store.append([new("new")], cursors={"billing": 2})
    assert result == AppendResult(3, duplicate=False)
    store = await reopen()
    assert await store.cursors() == {"billing": 2}
    assert [record.topic for record in await read_all(store)] == ["a", "b", "new"]
    await append_on(store, "new")


async def test_forgets_an_id_after_the_window(store: Store, clock: Clock) -> None:
    """An id counts for as long as the window, to the millisecond, from when it was stored."""
    [first] = await store.append([new(id="x")])
    clock.now += WINDOW
    assert await store.append([new(id="x")]) == [AppendResult(first.seq, duplicate=True)]
    clock.now += 0.001
    [later] = await store.append([new(id="x")])
    assert later == AppendResult(first.seq + 1, duplicate=False)
    clock.now += WINDOW
    assert await store.append([new(id="x")]) == [AppendResult(later.seq, duplicate=True)]


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
