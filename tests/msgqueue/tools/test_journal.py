"""The tool for replicas: how far one has got, and a new journal from the best of them."""

import re
import shutil
from pathlib import Path
from random import Random

import pytest

from msgqueue.store.base import AppendResult
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.tools import backup, journal
from tests.msgqueue.journal.memory_journal import HostileLog, MemoryJournal
from tests.msgqueue.store.replica.engines import QUICK
from tests.msgqueue.store.store_model import WINDOW, Clock, new


async def join(folder: Path, log: HostileLog) -> ReplicaStore:
    [connection] = MemoryJournal.connected(log, [folder.name])
    return await ReplicaStore.join(
        folder, connection, dedupe_window=WINDOW, clock=Clock(), patience=QUICK._replace(tick=60)
    )


async def test_the_best_replica_begins_a_new_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages, positions, ids and epoch of a lost journal go on; others get a back-up (line 62)."""
    store = await join(tmp_path / "a", HostileLog(Random(1)))
    await store.append([new(id="1"), new(id="2")])
    assert journal.main(["rebuild", str(tmp_path / "a")]) == backup.REFUSED
    assert "another msgqueue has it open" in capsys.readouterr().err
    await store.close()
    assert journal.main(["status", str(tmp_path / "a")]) == backup.DONE
    status = rf"log {store.epoch}, at entry \d of its journal; the newest position is 2"
    assert re.search(status, capsys.readouterr().out)
    assert journal.main(["rebuild", str(tmp_path / "a")]) == backup.DONE
    assert "start this one first" in capsys.readouterr().out
    assert journal.main(["status", str(tmp_path / "a")]) == backup.REFUSED
    assert "it is no replica in a cluster" in capsys.readouterr().err

    shutil.copytree(tmp_path / "a", tmp_path / "alone")
    alone = await SqliteStore.open(tmp_path / "alone", dedupe_window=WINDOW, clock=Clock())
    assert alone.epoch == store.epoch
    await alone.close()

    new_log = HostileLog(Random(1))
    first = await join(tmp_path / "a", new_log)
    (tmp_path / "b").mkdir()
    backup.make(tmp_path / "a", tmp_path / "b")
    second = await join(tmp_path / "b", new_log)
    assert first.epoch == second.epoch == store.epoch
    assert await second.append([new(id="2"), new()]) == [
        AppendResult(2, duplicate=True),
        AppendResult(3, duplicate=False),
    ]
    assert await first.append([new()]) == [AppendResult(4, duplicate=False)]
    await first.close()
    await second.close()
