"""Comparing the logs of the msgqueues of a cluster."""

from pathlib import Path

import pytest

from fanline.verify.cluster.copies import compare_logs
from fanline.verify.verdict.findings import Breach, Findings
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.store_model import WINDOW, Clock, new


async def written(folder: Path, contents: list[str]) -> Path:
    """Write a log that has these messages, and return its file."""
    store = await SqliteStore.open(folder, dedupe_window=WINDOW, clock=Clock())
    for content in contents:
        await store.append([new("t", content)])
    await store.close()
    return folder / "log.sqlite3"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (["a", "b"], []),
        (["a", "x"], ["at position 2 the logs of q1 and q2 have different messages"]),
        (["a"], ["the logs end at different positions: that of q1 at 2, that of q2 at 1"]),
    ],
)
async def test_logs_that_differ_are_found(tmp_path: Path, other: list[str], expected: list[str]) -> None:
    """A message that is another one, and messages that one of the msgqueues has not (line 62)."""
    logs = {"q1": await written(tmp_path / "1", ["a", "b"]), "q2": await written(tmp_path / "2", other)}
    findings = Findings()
    await compare_logs(logs, findings, patience=0)
    assert findings.examples.get(Breach.COPIES_DIFFER, []) == expected
