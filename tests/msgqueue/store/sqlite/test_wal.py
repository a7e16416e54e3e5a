"""The WAL after crashes, power cuts and failed commits, told from a damaged one."""

from contextlib import closing
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError, StoreError
from msgqueue.store.sqlite.file import LogFile
from msgqueue.store.sqlite.wal import Loss, count_taken, find_loss
from msgqueue.store.sqlite.writer import Writer
from tests.msgqueue.file_sizes import files_of_at_most
from tests.msgqueue.store.sqlite.conftest import open_store, read_all
from tests.msgqueue.store.store_model import WINDOW, Clock, new

FILE, WAL, INDEX = "log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"

Files = dict[str, bytes]


def put(files: Files, folder: Path) -> Path:
    """Write files into a folder that has none of them, and return the main one."""
    folder.mkdir(exist_ok=True)
    for name in (FILE, WAL, INDEX):
        (folder / name).unlink(missing_ok=True)
        if name in files:
            (folder / name).write_bytes(files[name])
    return folder / FILE


def committed(folder: Path, before: Files, *batches: int) -> Files:
    """Return the files of a log, as they are on disk after further commits of so many messages each."""
    put(before, folder)
    with (
        closing(LogFile(folder)) as file,
        closing(Writer(file, dedupe_window=WINDOW, clock=Clock())) as writer,
    ):
        for messages in batches:
            writer.append([new("t", "x" * 1000, id=f"{messages}.{n}") for n in range(messages)])
        return {name: (folder / name).read_bytes() for name in (FILE, WAL, INDEX)}


@pytest.fixture
def begun(tmp_path: Path) -> Files:
    """Return a log with one commit of five messages in its WAL."""
    with closing(LogFile(tmp_path / "begun")) as file:
        file.prepare()
    folder = tmp_path / "begun"
    return committed(folder, {FILE: (folder / FILE).read_bytes()}, 5)


async def served(folder: Path) -> int:
    """Return how many messages msgqueue serves."""
    store = await open_store(folder)
    try:
        return len(await read_all(store))
    finally:
        await store.close()


async def test_failed_commits_are_no_damage(begun: Files, tmp_path: Path) -> None:
    """Commits whose fsync failed leave whole frames after the last commit; a crash then loses nothing."""
    folder = tmp_path / "data"
    failed, failed_again, last = (committed(folder, begun, messages) for messages in (60, 30, 3))
    wal = b""
    for files in (failed, failed_again, last):
        wal = files[WAL] + wal[len(files[WAL]) :]
    log = put(last | {WAL: wal}, folder)
    assert find_loss(log) is None
    assert await served(folder) == 8


async def test_cuts_off_what_a_failed_commit_left(tmp_path: Path) -> None:
    """The next commit is the last in the WAL, so that not even a power cut makes it look damaged."""
    folder = tmp_path / "data"
    store = await open_store(folder)
    try:
        await store.append([new("before")])
        with files_of_at_most((folder / WAL).stat().st_size + 40_000), pytest.raises(StoreError):
            await store.append([new("big", "x" * 1000) for _ in range(200)])
        await store.append([new("after")])
        files = {name: (folder / name).read_bytes() for name in (FILE, WAL)}
    finally:
        await store.close()
    log = put(files, folder)
    assert find_loss(log) is None
    assert await served(folder) == 2


@pytest.mark.parametrize("has_index", [True, False])
async def test_an_all_zero_wal_is_no_damage(begun: Files, tmp_path: Path, *, has_index: bool) -> None:
    """A power cut during the first commit leaves a WAL that was never written: nothing is lost."""
    empty = {FILE: begun[FILE], WAL: bytes(len(begun[WAL]))}
    index = {INDEX: begun[INDEX]} if has_index else {}
    log = put(empty | index, tmp_path / "data")
    loss = find_loss(log)
    assert loss is None or (has_index and not loss.is_certain)
    assert await served(tmp_path / "data") == 0


async def test_an_index_one_commit_ahead_is_no_damage(
    begun: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A power cut can leave an index that has the commit in progress: it is dropped, with a warning."""
    folder = tmp_path / "data"
    ahead = committed(folder, begun, 40)
    log = put(ahead | {WAL: begun[WAL]}, folder)
    loss = find_loss(log)
    assert loss is not None
    assert not loss.is_certain
    assert await served(folder) == 5
    assert "the last commit is not in the WAL" in caplog.text


@pytest.mark.parametrize("batches", [(1, 2), (40, 41), (300, 301)])
async def test_an_index_two_commits_ahead_is_damage(
    begun: Files, tmp_path: Path, batches: tuple[int, ...]
) -> None:
    """The first of two commits was on disk before the second began: so it was lost afterwards."""
    folder = tmp_path / "data"
    ahead = committed(folder, begun, *batches)
    log = put(ahead | {WAL: begun[WAL]}, folder)
    loss = find_loss(log)
    assert isinstance(loss, Loss)
    assert loss.is_certain
    with pytest.raises(ConfigurationError, match="are lost"):
        await open_store(folder)


async def test_sqlite_itself_counts_what_it_takes(begun: Files, tmp_path: Path) -> None:
    """It checks a large WAL many times faster; nothing is changed by that, and nothing is left."""
    files = committed(tmp_path / "more", begun, 6, 7)
    folder = tmp_path / "killed"
    log = put(files, folder)
    frames = (len(files[WAL]) - 32) // (4096 + 24)
    assert count_taken(log) == frames
    damaged = bytearray(files[WAL])
    damaged[-4096 - 24 + 100] ^= 1
    (folder / WAL).write_bytes(damaged)
    assert 0 < count_taken(log) < frames
    assert {path.name for path in folder.iterdir()} == {FILE, WAL, INDEX}
    assert (folder / WAL).read_bytes() == bytes(damaged)
    assert (folder / FILE).read_bytes() == files[FILE]
    (folder / WAL).unlink()
    assert count_taken(log) == 0
