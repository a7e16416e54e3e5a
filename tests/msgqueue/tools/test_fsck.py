"""``python -m msgqueue.tools.fsck``: what is sound is called sound, and no damage goes unnoticed."""

import asyncio
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from fanline.errors import ConfigurationError, StoreError
from fanline.protocol import Record
from msgqueue.store.sqlite import file as sqlite_file
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.tools import fsck as check
from msgqueue.tools.fsck import DAMAGED, INTERRUPTED, NOT_CHECKED, SOUND
from tests.msgqueue.store.sqlite.conftest import append_until_killed, open_store, read_all
from tests.msgqueue.store.store_model import Clock, new

FILE, WAL, INDEX = "log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"
SEED = 20_261_120

Fsck = Callable[..., str]


class Log(NamedTuple):
    """The files of a log, and what is in it."""

    files: dict[str, bytes]
    records: list[Record]

    def put(self, folder: Path, **changed: bytes) -> None:
        """Write the files into an empty folder; those named by ``main``, ``wal`` or ``index`` changed."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names = {"main": FILE, "wal": WAL, "index": INDEX}
        for name, content in (self.files | {names[key]: data for key, data in changed.items()}).items():
            (folder / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def fsck(folder: Path, capsys: pytest.CaptureFixture[str]) -> Fsck:
    """Check the log, expect an exit code, and return what was said."""

    def run(code: int, path: Path = folder) -> str:
        assert check.main([str(path)]) == code
        out, err = capsys.readouterr()
        return out + err

    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log as a killed msgqueue leaves it: some of it in the file, some in the WAL."""
    return asyncio.run(_make(tmp_path_factory.mktemp("killed"), closed=False))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log as a msgqueue that was stopped leaves it."""
    return asyncio.run(_make(tmp_path_factory.mktemp("closed"), closed=True))


async def _make(folder: Path, *, closed: bool) -> Log:
    clock = Clock()
    store = await open_store(folder, clock)
    await _append(store, clock, 120)
    await store.set_cursor("default", 7)
    await store.trim([1, 2, 3, 10])
    await store.close()
    store = await open_store(folder, clock)
    await _append(store, clock, 60)
    records = await read_all(store)
    if closed:
        await store.close()
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.lock"}
    await store.close()
    return Log(files, records)


async def _append(store: SqliteStore, clock: Clock, messages: int) -> None:
    for batch in range(messages // 20):
        clock.now += 0.1
        ids = [f"{messages}.{batch}.{n}" for n in range(20)]
        await store.append([new(f"t.{n % 5}", "x" * 150, id=key) for n, key in enumerate(ids)])


# What is sound.


def test_a_sound_log_is_sound(closed: Log, killed: Log, folder: Path, fsck: Fsck) -> None:
    """A log is called sound after a stop and after a kill, and its files are as they were."""
    for log in (closed, killed):
        log.put(folder)
        assert "sound; 176 messages, the newest position is 180" in fsck(SOUND)
        assert {FILE: log.files[FILE], WAL: log.files.get(WAL)} == {
            name: (folder / name).read_bytes() if (folder / name).exists() else None for name in (FILE, WAL)
        }


def test_a_sound_log_gets_no_other_file(closed: Log, folder: Path, fsck: Fsck) -> None:
    """Where there is no WAL, the check leaves none behind."""
    closed.put(folder)
    fsck(SOUND)
    assert {path.name for path in folder.iterdir()} == {FILE, "log.lock"}


def test_a_log_without_the_index_of_its_wal_is_sound(killed: Log, folder: Path, fsck: Fsck) -> None:
    """Files that SQLite can create again may be missing."""
    killed.put(folder)
    (folder / INDEX).unlink()
    assert "sound; 176 messages" in fsck(SOUND)


def test_a_killed_log_is_sound(folder: Path, fsck: Fsck) -> None:
    """Whenever the process is killed during its appends, the log is sound (promises 1-3)."""
    for run in range(3):
        acknowledged = append_until_killed(folder, run=str(run), lines=50 + 170 * run)
        said = fsck(SOUND)
        assert int(said.rpartition(" ")[2].replace(",", "")) >= max(acknowledged)


async def test_an_emptied_log_is_sound(folder: Path, fsck: Fsck) -> None:
    """Where everything was trimmed nothing is missing."""
    store = await open_store(folder)
    await store.append([new(f"t.{n}", id=f"{n}") for n in range(50)])
    await store.trim(range(1, 51))
    await store.close()
    assert "sound; 0 messages, the newest position is 50" in fsck(SOUND)


def test_shows_how_far_it_is(closed: Log, folder: Path, fsck: Fsck, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each step is shown while it lasts; elsewhere there is nothing but the result."""
    closed.put(folder)
    assert fsck(SOUND) == f"{folder / FILE}: sound; 176 messages, the newest position is 180\n"
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert "ids ━" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", fsck(SOUND))


def test_can_be_interrupted(closed: Log, folder: Path, fsck: Fsck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the check without a verdict, and without a traceback."""
    closed.put(folder)
    monkeypatch.setattr(check, "examine", interrupt)
    assert fsck(INTERRUPTED) == ""


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# What cannot be checked.


async def test_a_log_in_use_is_not_checked(folder: Path, fsck: Fsck) -> None:
    """While a msgqueue has the log, the check says so, and leaves it alone."""
    store = await open_store(folder)
    assert "another msgqueue has it open" in fsck(NOT_CHECKED)
    await store.close()
    fsck(SOUND)


def test_what_is_no_store_is_not_checked(folder: Path, fsck: Fsck) -> None:
    """Where there is no log, none is made."""
    assert "there is no log" in fsck(NOT_CHECKED)
    assert not folder.exists()
    folder.mkdir()
    assert "there is no log" in fsck(NOT_CHECKED)
    (folder / WAL).touch()
    assert f"there is no log, but {WAL} is there: restore a back-up" in fsck(NOT_CHECKED)


def test_what_cannot_be_got_at_is_not_checked(folder: Path, fsck: Fsck) -> None:
    """A path that the system refuses to look at is one sentence."""
    folder.mkdir()
    assert fsck(NOT_CHECKED, folder / ("x" * 300)).endswith("x: File name too long\n")


def test_a_log_of_a_newer_version_is_not_checked(closed: Log, folder: Path, fsck: Fsck) -> None:
    """A log of a newer version is not reported as damaged."""
    closed.put(folder)
    change(folder, f"PRAGMA user_version = {sqlite_file.VERSION + 1}")
    assert "a newer msgqueue wrote it" in fsck(NOT_CHECKED)


def test_a_log_that_cannot_be_read_is_not_checked(
    closed: Log, folder: Path, fsck: Fsck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Problems other than the content are not reported as damage."""
    closed.put(folder)
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("msgqueue.store.sqlite.check.check_version", fail)
    assert "cannot open it, or not make files in its folder" in fsck(NOT_CHECKED)


# Damage by hand.


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "DELETE FROM messages WHERE seq IN (50, 51, 52, 60)",
            "Gaps where messages are missing that were not trimmed (2): 50 to 52, 60",
        ),
        (
            "DELETE FROM messages WHERE seq = 180",
            "Ids that are noted for a message that does not bear them (1): ",
        ),
        (
            "UPDATE messages SET body = replace(body, 'xxx', 'xyx') WHERE seq IN (20, 21)",
            "Messages that are not as they were written (2): 20, 21",
        ),
        ("UPDATE messages SET body = CAST(body AS TEXT) WHERE seq = 20", "not as they were written (1): 20"),
        (
            "UPDATE messages SET crc = 1 WHERE seq > 160",
            "were written (20): 161, 162, 163, 164, 165, …",
        ),
        (
            "UPDATE messages SET topic = (SELECT id FROM topics WHERE name = 't.' || (22 - seq))"
            " WHERE seq IN (21, 22)",
            "Messages filed under another position, topic or time than they bear (2):"
            " 21 (topic t.1 and not t.0), 22 (topic t.0 and not t.1)",
        ),
        ("UPDATE messages SET seq = 181 WHERE seq = 50", "181 (position 181 and not 50)"),
        (
            "UPDATE messages SET time = time - 9000 WHERE seq = 90",
            "older than one before them (1): 90",
        ),
        ("UPDATE messages SET time = 'now' WHERE seq = 90", "90 (time now and not"),
        (
            "DELETE FROM topics WHERE name = 't.3'",
            "Messages of a topic that is not in the table of topics (36): 4, 9, 14, 19, 24, …",
        ),
        (
            "UPDATE topics SET name = 'a b' WHERE name = 't.3'",
            "Topics whose entry cannot be right (1): ",
        ),
        ("UPDATE topics SET trimmed = 999 WHERE name = 't.3'", "t.3 is said to be trimmed up to 999"),
        ("UPDATE log SET trimmed = 400", "the log was trimmed does not fit: it says 400, and the topics 10"),
        ("UPDATE log SET trimmed = 'x'", "the log was trimmed does not fit: 'x' is no position"),
        ("UPDATE log SET time = time + 99000000", "the log was trimmed does not fit: its time"),
        (
            "UPDATE consumers SET position = 181",
            "whose position cannot be right (1): default at 181, beyond 180",
        ),
        ("UPDATE consumers SET position = -1", "whose position cannot be right (1): default at -1"),
        ("UPDATE ids SET seq = 500 WHERE seq = 180", "for 500 (beyond the log)"),
        ("UPDATE ids SET seq = 179 WHERE seq = 180", "for 179 (which has another)"),
        ("UPDATE ids SET time = 1 WHERE seq = 180", "for 180 (which is of another time)"),
        ("DELETE FROM log", "or its beginning is damaged: what it knew of trimmed messages is lost"),
        ("DROP INDEX messages_by_topic", "its tables are not those of a log"),
        ("PRAGMA application_id = 7", "its header is not that of a log"),
    ],
)
def test_puts_damage_into_words(closed: Log, folder: Path, fsck: Fsck, statement: str, words: str) -> None:
    """Each kind of damage is named, with examples, what it means, and what to do."""
    closed.put(folder)
    change(folder, statement)
    said = fsck(DAMAGED)
    assert f"{folder / FILE}: damaged" in said
    assert words in said
    assert "What it means: " in said
    assert "What to do: " in said


def test_finds_a_missing_index_entry(closed: Log, folder: Path, fsck: Fsck) -> None:
    """An index that lacks a message is named, and can be mended without a back-up."""
    closed.put(folder)
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        entry = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'messages_by_topic'").fetchone()
    hide = ("PRAGMA writable_schema = ON", "DELETE FROM sqlite_schema WHERE name = 'messages_by_topic'")
    change(folder, *hide)
    change(folder, "UPDATE messages SET topic = topic % 5 + 1 WHERE seq = 30")
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.execute(hide[0])
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", entry)
    assert "Places where an index differs from its table (1): row " in fsck(DAMAGED)
    change(folder, "REINDEX", "UPDATE messages SET topic = (topic + 3) % 5 + 1 WHERE seq = 30")
    fsck(SOUND)


# Damage by chance.


async def serves(folder: Path) -> list[Record] | None:
    """Return what msgqueue would serve; None if it refuses to start, or to read."""
    try:
        store = await open_store(folder)
    except ConfigurationError:
        return None
    try:
        records = await read_all(store)
        return None if store.damaged else records
    except StoreError:
        return None
    finally:
        await store.close()


def flips(content: bytes, count: int) -> Iterator[bytes]:
    """Yield the content with one byte changed, at places chosen by chance, and some at the beginning."""
    chosen = random.Random(SEED)
    for place in (*range(0, 100, 4), *(chosen.randrange(len(content)) for _ in range(count))):
        changed = bytearray(content)
        changed[place] ^= 1 << chosen.randrange(8)
        yield bytes(changed)


def cuts(content: bytes, count: int) -> Iterator[bytes]:
    """Yield the content cut off at places chosen by chance, and at the ends of pages."""
    chosen = random.Random(SEED)
    places = [0, 1, 31, 32, 33, *(chosen.randrange(len(content)) for _ in range(count))]
    pages = [chosen.randrange(len(content) // 4096) for _ in range(count)]
    for place in (*places, *(4096 * n for n in pages), *(32 + 4120 * n for n in pages)):
        yield content[:place]


@pytest.mark.parametrize(("part", "make", "count"), [
    ("main", flips, 20), ("wal", flips, 20), ("index", flips, 5),
    ("main", cuts, 3), ("wal", cuts, 4), ("index", cuts, 2),
    *(pytest.param(part, flips, 300, marks=pytest.mark.long) for part in ("main", "wal")),
])  # fmt: skip
async def test_finds_what_is_not_harmless(
    killed: Log,
    folder: Path,
    fsck: Fsck,
    part: str,
    make: Callable[[bytes, int], Iterator[bytes]],
    count: int,
) -> None:
    """A log called sound is served whole, and any other is not, but for a commit that was interrupted."""
    name = {"main": FILE, "wal": WAL, "index": INDEX}[part]
    found = 0
    for changed in make(killed.files[name], count):
        killed.put(folder, **{part: changed})
        code = check.main([str(folder)])
        assert code in (SOUND, DAMAGED)
        found += code == DAMAGED
        killed.put(folder, **{part: changed})
        served = await serves(folder)
        assert served == killed.records or (code == DAMAGED and served in (None, killed.records[:-20]))
    assert found > 0 or part == "index"


def test_lost_commits_are_put_into_words(killed: Log, folder: Path, fsck: Fsck) -> None:
    """Commits that SQLite would drop are reported, and still there the next time."""
    half = killed.files[WAL][: len(killed.files[WAL]) // 2]
    killed.put(folder, wal=half)
    for _ in range(2):
        said = fsck(DAMAGED)
        assert "Commits in log.sqlite3-wal cannot be read: of the " in said
        assert "The newest messages cannot be read" in said


@pytest.mark.parametrize(("place", "is_certain"), [(5, True), (32 + 4120 + 500, True), (-500, False)])
async def test_tells_lost_commits_from_an_interrupted_one(
    killed: Log, folder: Path, fsck: Fsck, caplog: pytest.LogCaptureFixture, place: int, is_certain: bool
) -> None:
    """Without the index, msgqueue refuses what no power cut can leave, and warns of what one can."""
    changed = bytearray(killed.files[WAL])
    changed[place] ^= 1
    killed.put(folder, wal=bytes(changed))
    (folder / INDEX).unlink()
    words = "cannot be read" if is_certain else "is not whole"
    assert words in fsck(DAMAGED)
    (folder / INDEX).unlink(missing_ok=True)
    if is_certain:
        assert await serves(folder) is None
    else:
        assert await serves(folder) == killed.records[:-20]
        assert "after a power cut these are interrupted commits" in caplog.text


def test_unfinished_commits_are_no_damage(killed: Log, folder: Path, fsck: Fsck) -> None:
    """Incomplete writes of a killed process, never acknowledged, are ignored."""
    begun = killed.files[WAL][32 : 32 + 4120 // 2]
    killed.put(folder, wal=killed.files[WAL] + begun)
    assert "sound; 176 messages" in fsck(SOUND)
