"""The SQLite engine: kills, locks, damage, full disks, and costs."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO
from unittest import mock

import pytest
from hypothesis import given, settings

from fanline.errors import ConfigurationError, StoreError
from fanline.protocol import GapRange, Page, Record, decode_message
from msgqueue.store.base import Bounds
from msgqueue.store.sqlite import file as sqlite_file
from msgqueue.store.sqlite import reader as sqlite_reader
from msgqueue.store.sqlite import writer as sqlite_writer
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.store.sqlite.file import translated
from tests.forking import forked
from tests.msgqueue.store.store_model import STEPS, WINDOW, Clock, Step, agree, new

FILE = "log.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await open_store(folder, clock)
    yield store
    await store.close()


async def open_store(folder: Path, clock: Clock | None = None) -> SqliteStore:
    return await SqliteStore.open(folder, dedupe_window=WINDOW, clock=clock or Clock())


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


# Kills.


async def test_loses_nothing_when_killed(folder: Path) -> None:
    """Whenever the process is killed, all it has acknowledged is there, once, in its place (promises 1-3)."""
    acknowledged: dict[int, str] = {}
    for run in range(6):
        acknowledged |= append_until_killed(folder, run=str(run), lines=10 + 150 * run)
        store = await open_store(folder)
        records = await read_all(store)
        await store.close()
        ids = {record.seq: decode_message(record.body).id for record in records}
        assert acknowledged.items() <= ids.items()
        assert len(set(ids.values())) == len(records)
        assert list(ids) == sorted(ids)


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


async def test_knows_what_was_stored_unacknowledged(folder: Path) -> None:
    """Messages in flight when a process is killed can be sent again, and are stored once (promise 3)."""
    append_until_killed(folder, run="x", lines=500)
    store = await SqliteStore.open(folder, dedupe_window=600)
    again = [f"x.{batch}.{n}" for batch in range(200) for n in range(1 + batch % 40)]
    await store.append([new(id=id_) for id_ in again])
    ids = [decode_message(record.body).id for record in await read_all(store)]
    await store.close()
    assert sorted(ids, key=str) == sorted(again)


def test_settings_are_durable(folder: Path) -> None:
    """Each commit is brought to disk before it is done (promise 1)."""
    file = sqlite_file.LogFile(folder)
    file.prepare()
    with closing(file.connect()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
    file.close()


# The folder.


async def test_refuses_a_folder_in_use(store: SqliteStore, folder: Path) -> None:
    """A second opener is told which folder is in use, and keeps nothing open; the first goes on."""
    descriptors = os.listdir("/dev/fd")
    with pytest.raises(ConfigurationError, match=f"data_dir {folder}: another msgqueue has it open"):
        await open_store(folder)
    assert os.listdir("/dev/fd") == descriptors
    await store.append([new()])


async def test_frees_the_folder(folder: Path) -> None:
    """A closed log can be opened again, and has left nothing but its file."""
    for _ in range(2):
        store = await open_store(folder)
        await store.append([new()])
        await store.close()
    assert {path.name for path in folder.iterdir()} == {FILE, "log.lock"}


async def test_frees_the_folder_when_it_cannot_open(folder: Path) -> None:
    """A damaged log can be opened once it is repaired."""
    folder.mkdir()
    (folder / FILE).write_bytes(b"x")
    with pytest.raises(ConfigurationError):
        await open_store(folder)
    (folder / FILE).unlink()
    await (await open_store(folder)).close()


async def test_frees_the_folder_when_cancelled(folder: Path) -> None:
    """Cancelling the opening leaves nothing open."""
    opening = asyncio.create_task(open_store(folder))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await (await open_store(folder)).close()


async def test_makes_a_private_folder(store: SqliteStore, folder: Path) -> None:
    """Only the owner can read the messages."""
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_begins_again_where_it_was_interrupted(folder: Path) -> None:
    """A log that was being created when the process died is created again."""
    folder.mkdir()
    (folder / f"{FILE}-new").write_bytes(b"half a log")
    store = await open_store(folder)
    assert await store.bounds() == Bounds(1, 0)
    await store.close()


async def test_refuses_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """A folder that cannot be one is a wrong setting."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"data_dir .*file/data: Not a directory"):
        await open_store(tmp_path / "file" / "data")


async def test_refuses_a_folder_that_cannot_be_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks is a wrong setting."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigurationError, match=f"data_dir {folder}: No locks available"):
        await open_store(folder)


# Damage.


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"garbage" * 10_000, b"SQLite format 3\0" + bytes(8000)]
)
async def test_refuses_garbage(folder: Path, content: bytes) -> None:
    """A file that is no database, not even an empty one, is never taken for a new log."""
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{FILE}: it is (damaged|not a database)"):
        await open_store(folder)


async def test_refuses_what_it_cannot_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that can be read but not written does not start."""
    monkeypatch.setattr(sqlite_file, "_PRAGMAS", (*sqlite_file._PRAGMAS, "query_only = ON"))
    with pytest.raises(ConfigurationError, match="cannot write to it"):
        await open_store(folder)


async def test_refuses_another_database(folder: Path) -> None:
    """A database that is something else is left alone."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="its header is not that of a log"):
        await open_store(folder)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"PRAGMA user_version = {sqlite_file.VERSION + 1}", "a newer msgqueue wrote it"),
        ("PRAGMA user_version = 0", "its header is not that of a log"),
        ("PRAGMA application_id = 7", "its header is not that of a log"),
        ("DROP INDEX messages_by_topic", "its tables are not those of a log"),
        ("DELETE FROM log", "what it knew of trimmed messages is lost"),
    ],
)
async def test_refuses_what_is_not_a_log(folder: Path, statement: str, words: str) -> None:
    """A log whose frame is not as it should be does not start."""
    await make_log(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute(statement)
    with pytest.raises(ConfigurationError, match=words):
        await open_store(folder)


@pytest.mark.parametrize("checked_whole", [0, sqlite_file.CHECKED_WHOLE])
@pytest.mark.parametrize("kept", [1, 99, 100, 4096, 10_000, 40_960, -4096])
async def test_refuses_a_truncated_file(
    folder: Path, kept: int, checked_whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of which an end is missing does not start, not even a large one."""
    await make_log(folder)
    monkeypatch.setattr(sqlite_file, "CHECKED_WHOLE", checked_whole)
    os.truncate(folder / FILE, kept if kept > 0 else (folder / FILE).stat().st_size + kept)
    with pytest.raises(ConfigurationError, match=FILE):
        await open_store(folder)


async def test_refuses_what_is_left_of_a_lost_log(folder: Path) -> None:
    """Where the file is gone and its WAL is there, no new log is begun."""
    append_until_killed(folder, run="x", lines=50)
    (folder / FILE).unlink()
    with pytest.raises(ConfigurationError, match=f"it is missing, but {FILE}-wal is there"):
        await open_store(folder)


@pytest.mark.parametrize("checked_whole", [0, sqlite_file.CHECKED_WHOLE])
async def test_finds_flipped_bytes(folder: Path, checked_whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a byte is changed, the log does not start, or says it is damaged, or gives what was stored."""
    monkeypatch.setattr(sqlite_file, "CHECKED_WHOLE", checked_whole)
    stored = await make_log(folder)
    sound = (folder / FILE).read_bytes()
    places = [*range(0, 100, 5), *range(100, len(sound), len(sound) // 40)]
    for place in places:
        changed = bytearray(sound)
        changed[place] ^= 0x41
        (folder / FILE).write_bytes(changed)
        assert await read_or_refuse(folder) in (None, stored), place
    (folder / FILE).write_bytes(sound[:-1])
    assert await read_or_refuse(folder) in (None, stored)


async def read_or_refuse(folder: Path) -> list[Record] | None:
    """Return what a log holds, read in every way; None if it is found to be damaged."""
    try:
        store = await open_store(folder)
    except ConfigurationError:
        return None
    try:
        await store.append([new("t.1", id="1"), new("t.2")])
        await store.read_back(301, patterns=["t.*"])
        await store.trimmed(["*.1"])
        await store.cursors()
        await store.set_cursor("other", 1)
        records = [
            await store.read(0, patterns=patterns) for patterns in (None, [f"t.{n}" for n in range(7)])
        ]
        await store.headers(0)
        await store.trim(range(1, 101))
    except StoreError:
        return None
    finally:
        await store.close()
    if store.damaged:
        return None
    assert records[0].records == records[1].records
    return [record for record in records[0].records if record.seq <= 300]


async def test_leaves_out_damaged_messages(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A byte changed within a message is noticed when it is read; it is a gap, and what follows is read."""
    records = await make_log(folder)
    damage(folder, 100, 101, 150)
    store = await open_store(folder)
    assert await store.read(0) == Page(records[:99], 99)
    for _ in range(2):
        assert await store.read(99) == Page(records[101:149], 149, GapRange(100, 101))
    assert await store.read(149) == Page(records[150:], 300, GapRange(150, 150))
    assert await store.read_back(301) == [each for each in records if each.seq not in (100, 101, 150)]
    page = await store.read(98, patterns=[records[99].topic], limit=2)
    assert page == Page([records[106]], 107, GapRange(100, 100))
    assert store.damaged == 3
    assert caplog.text.count("message 100 is damaged") == 1
    await store.close()


def damage(folder: Path, *seqs: int) -> None:
    """Change a byte within the bodies of some messages."""
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        for seq in seqs:
            connection.execute(
                "UPDATE messages SET body = CAST(replace(body, 'xxxx', 'xxxy') AS BLOB) WHERE seq = ?",
                (seq,),
            )


async def test_notices_a_missing_topic(folder: Path) -> None:
    """Messages that belong to no topic are damage, not an error in the program."""
    await make_log(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute("DELETE FROM topics WHERE name = 't.3'")
    store = await open_store(folder)
    with pytest.raises(StoreError, match="it is damaged"):
        await store.read(0)
    with pytest.raises(StoreError, match="it is damaged"):
        await store.read(0, patterns=[f"t.{n}" for n in range(100)])
    await store.close()


async def test_notices_a_topic_that_cannot_be_found(store: SqliteStore) -> None:
    """A topic that is there, and that its index does not know, is damage; its messages are not stored."""
    writer = store._writer.connection
    await store.append([new("lost")])
    writer.execute(
        "CREATE TEMP TRIGGER twice BEFORE INSERT ON topics BEGIN SELECT RAISE(ABORT, 'twice'); END"
    )
    with pytest.raises(StoreError, match="it is damaged"):
        await store.append([new("lost"), new("other")])
    assert await store.bounds() == Bounds(1, 1)
    writer.execute("DROP TRIGGER twice")
    await store.append([new("other")])
    assert [record.topic for record in await read_all(store)] == ["lost", "other"]


def wipe_page(folder: Path) -> None:
    """Fill a page of messages with zeros."""
    content = (folder / FILE).read_bytes()
    page = content.index(b"xxxxxxxx") // 4096 * 4096
    (folder / FILE).write_bytes(content[:page] + bytes(4096) + content[page + 4096 :])


async def test_refuses_a_small_log_with_a_lost_page(folder: Path) -> None:
    """A log that is checked whole does not start when a page in it was wiped out."""
    await make_log(folder)
    wipe_page(folder)
    with pytest.raises(ConfigurationError, match="it is damaged"):
        await open_store(folder)


async def test_notices_a_lost_page_of_a_large_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log too large to be checked whole, a page that was wiped out is noticed when it is read."""
    await make_log(folder)
    wipe_page(folder)
    monkeypatch.setattr(sqlite_file, "CHECKED_WHOLE", 0)
    store = await open_store(folder)
    with pytest.raises(StoreError, match="it is damaged"):
        await read_all(store)
    await store.close()


async def test_notices_values_of_a_wrong_type(store: SqliteStore) -> None:
    """A text where a number should be is damage, not an error in the program."""
    await store.append([new()])
    store._writer.connection.execute("UPDATE messages SET time = 'yesterday'")
    with pytest.raises(StoreError, match="it is damaged"):
        await store.append([new()])


# What stops the writer.


async def test_survives_a_full_disk(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of a batch that did not fit is stored; with room again the log goes on as if it never was."""
    await store.append([new("before", id="before")])
    limit_pages(store, 40)
    with pytest.raises(StoreError, match="the disk is full"):
        await store.append([new("big", "x" * 1000, id=f"{n}") for n in range(500)])
    assert await store.bounds() == Bounds(1, 1)
    assert [record.topic for record in await read_all(store)] == ["before"]
    assert await store.append([new("small", id="0")]) == [(2, False)]
    limit_pages(store, 1 << 30)
    receipts = await store.append([new("big", "x" * 1000, id=f"{n}", sender="other") for n in range(500)])
    assert receipts == [(seq, False) for seq in range(3, 503)]
    assert [record.topic for record in await read_all(store)] == ["before", "small", *["big"] * 500]
    assert not caplog.records


def limit_pages(store: SqliteStore, pages: int) -> None:
    store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_says_what_stops_it(store: SqliteStore, folder: Path) -> None:
    """While another program holds the log locked the error says so; then it goes on."""
    store._writer.connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (store.append([new()]), store.trim([1]), store.set_cursor("x", 1)):
            with pytest.raises(StoreError, match=f"{folder / FILE}: another program has locked it"):
                await write
        assert await store.read(0) == Page([], 0)
        other.execute("ROLLBACK")
    assert await store.append([new()]) == [(1, False)]


@pytest.mark.parametrize("end", ["ABORT", "ROLLBACK"])
async def test_undoes_a_trim_that_fails(store: SqliteStore, end: str) -> None:
    """A trim that fails on its way has removed and noted nothing, whether SQLite ends it by itself or not."""
    await store.append([new(f"t.{n}") for n in range(10)])
    store._writer.connection.execute(
        f"CREATE TEMP TRIGGER fail BEFORE DELETE ON messages BEGIN SELECT RAISE({end}, 'no'); END"
    )
    with pytest.raises(StoreError, match="it is damaged"):
        await store.trim([3, 5])
    assert await store.bounds() == Bounds(1, 10)
    assert await store.trimmed() == await store.trimmed(["t.*"]) == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "the user "),
        (sqlite3.SQLITE_CANTOPEN, "the user "),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk reports an error"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "it is damaged"),
        (sqlite3.SQLITE_NOTADB, "it is not a database"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another program has locked it"),
        (sqlite3.SQLITE_LOCKED, "another program has locked it"),
        (sqlite3.SQLITE_NOMEM, "there is not enough memory"),
        (sqlite3.SQLITE_MISUSE, "SQLite failed"),
    ],
)
def test_puts_errors_into_words(code: int, words: str) -> None:
    """Every error of SQLite becomes a sentence that names the file."""
    error = sqlite3.OperationalError("details")
    error.sqlite_errorcode = code
    with pytest.raises(StoreError) as caught, translated(Path("/data") / FILE):
        raise error
    assert str(caught.value).startswith(f"/data/{FILE}: {words}")
    assert str(caught.value).endswith("(details)")


@pytest.mark.parametrize(
    "error_class",
    [
        sqlite3.DatabaseError,
        sqlite3.DataError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.InternalError,
        sqlite3.NotSupportedError,
        sqlite3.OperationalError,
        sqlite3.ProgrammingError,
        OSError,
    ],
)
def test_lets_no_foreign_error_through(error_class: type[Exception]) -> None:
    """Whatever goes wrong with the file is one kind of error."""
    with pytest.raises(StoreError), translated(Path(FILE)):
        raise error_class(5, "no")


async def test_refuses_an_old_sqlite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose SQLite lacks what is needed is told so at the start, not at the first trim."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(ConfigurationError, match=r"needs 3\.33\.0 or newer"):
        await open_store(folder)


# Reading in steps.


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


# What things cost.


async def test_a_commit_is_two_statements(store: SqliteStore) -> None:
    """One that looks and one that writes, however many messages: each has to wait for a busy event loop."""
    connection = store._writer.connection
    counting = mock.Mock(wraps=connection)
    for size in (1, 500):
        await store.append([new(f"t.{n % 7}", id=f"{size}.{n}") for n in range(size)])
        with mock.patch.object(store._writer, "connection", counting):
            await store.append([new(f"t.{n % 7}", id=f"again.{size}.{n}") for n in range(size)])
        assert len(counting.method_calls) == 2
        counting.reset_mock()


async def test_keeps_few_expired_ids(store: SqliteStore, clock: Clock) -> None:
    """Expired ids are removed as new ones come: there are never many more than are within the window."""
    in_window = round(WINDOW) * 200
    worst = 0
    for n in range(300):
        clock.now += 0.5
        await store.append([new(id=f"{(n * 7919 + m) % 10_007}.{n}") for m in range(100)])
        [(count,)] = store._writer.connection.execute("SELECT count(*) FROM ids")
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
    long_store: SqliteStore, patterns: list[str] | None, most: int
) -> None:
    """The cost of a page depends neither on the length of the log nor on where the page begins."""
    for after in (0, 20_000, 39_990):
        with counting_instructions(long_store._reader.connection) as instructions:
            await long_store.read(after, patterns=patterns, limit=20)
        assert instructions() < most


async def test_a_trim_costs_no_more_in_a_long_log(long_store: SqliteStore) -> None:
    """The cost of a trim depends only on the records it removes."""
    for first in (1, 20_000, 39_990):
        with counting_instructions(long_store._writer.connection) as instructions:
            await long_store.trim(range(first, first + 10))
        assert instructions() < 2_000


@pytest.mark.parametrize("topic", [None, "room.7"])
async def test_headers_cost_no_more_in_a_long_log(long_store: SqliteStore, topic: str | None) -> None:
    """The cost of headers depends only on how many there are."""
    for after in (0, 20_000, 39_990):
        with counting_instructions(long_store._reader.connection) as instructions:
            await long_store.headers(after, topic=topic, limit=20)
        assert instructions() < 2_000


async def test_an_append_costs_no_more_in_a_long_log(long_store: SqliteStore) -> None:
    """The cost of an append depends only on the records it adds."""
    for key in (None, "x"):
        with counting_instructions(long_store._writer.connection) as instructions:
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


@given(steps=STEPS)
@settings(max_examples=15, deadline=None)
def test_agrees_with_the_model_in_small_steps(steps: list[Step]) -> None:
    """All ways to find records agree with the model, also where they meet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_reader, "FEW_TOPICS", 2)
        patch.setattr(sqlite_reader, "FEW_NAMES", 4)
        patch.setattr(sqlite_reader, "EXAMINED", 5)
        patch.setattr(sqlite_reader, "TRIMMED", 2)
        agree(open_store, steps)
