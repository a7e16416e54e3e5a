"""The epoch of a log: one for its life, and another one for a copy that was restored."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from msgqueue.tools import fsck
from tests.msgqueue.store.sqlite.conftest import make_log, open_store, read_all

FILE = "log.sqlite3"


async def epoch_of(folder: Path) -> str:
    store = await open_store(folder)
    await store.close()
    return store.epoch


async def test_a_log_keeps_its_epoch(tmp_path: Path) -> None:
    """Through restarts, and when the whole folder is moved; another log has another one."""
    epoch = await epoch_of(tmp_path / "a")
    assert len(epoch) == 13
    assert await epoch_of(tmp_path / "a") == epoch
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert await epoch_of(tmp_path / "b") == epoch
    assert await epoch_of(tmp_path / "c") != epoch


async def test_a_copy_alone_in_a_folder_is_another_log(tmp_path: Path) -> None:
    """A file that was copied while msgqueue was stopped, and is restored later, has an epoch of its own."""
    epoch = await epoch_of(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / FILE, tmp_path / "b")
    restored = await epoch_of(tmp_path / "b")
    assert restored != epoch
    assert await epoch_of(tmp_path / "b") == restored
    assert await epoch_of(tmp_path / "a") == epoch


async def test_a_log_of_version_1_goes_on(tmp_path: Path) -> None:
    """A log of 0.1.0 has no epoch: it is sound, and gets one when it is opened."""
    records = await make_log(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("DROP TABLE identity")
        connection.execute("DROP INDEX topics_by_trimmed")
        connection.execute("PRAGMA user_version = 1")
    (tmp_path / "log.lock").write_bytes(b"")
    assert fsck.main([str(tmp_path)]) == fsck.SOUND
    epoch = await epoch_of(tmp_path)
    assert epoch
    store = await open_store(tmp_path)
    assert store.epoch == epoch
    assert await read_all(store) == records
    await store.close()
