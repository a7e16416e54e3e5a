"""Tests of the log, as the service sees it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from fanline.errors import Closed
from fanline.protocol import NewMessage
from msgqueue.log import Log
from msgqueue.store.base import AppendResult
from msgqueue.store.sqlite.engine import SqliteStore
from tests.conftest import until


async def test_close_closes_the_store_whatever_its_writers_do(tmp_path: Path) -> None:
    """The appends of writers that were cancelled, as those of plain connections at a stop, did not let it."""
    store = await SqliteStore.open(tmp_path, dedupe_window=60)
    commits: list[Sequence[NewMessage]] = []

    async def append(messages: Sequence[NewMessage]) -> list[AppendResult]:
        commits.append(messages)
        await asyncio.Event().wait()
        return []

    log = Log(store, cache_bytes=1, buffer_bytes=1, timeout=5, append=append)
    await log.start()
    message = NewMessage("t", msgspec.Raw(b"1"))
    log.append([message])
    await until(lambda: bool(commits))
    cancelled, waiting = log.append([message]), log.append([message])
    cancelled.cancel()
    await log.close()
    assert isinstance(waiting.exception(), Closed)
    with pytest.raises(Closed):
        await store.append([message])
