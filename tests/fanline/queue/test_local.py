"""Tests of what the log of this process is handed, and when."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fanline.protocol import NewMessage
from fanline.queue.fair_queue import WINDOW_COUNT
from fanline.queue.local import LocalQueue
from msgqueue.consumers.registry import Consumers
from msgqueue.log import Log
from msgqueue.store.base import AppendResult
from msgqueue.store.sqlite.engine import SqliteStore
from tests.conftest import until
from tests.stubs import DEADLINE


class HeldLog(Log):
    """A log that stores nothing yet."""

    handed: list[str | None]

    def append(self, messages: Sequence[NewMessage]) -> "asyncio.Future[list[Any]]":
        self.handed = [message.sender for message in messages]
        return asyncio.get_running_loop().create_future()


def new(sender: str, size: int = 1) -> NewMessage:
    return NewMessage("t", msgspec.Raw(b"1" * size), sender=sender)


async def test_a_user_without_a_backlog_need_not_wait(tmp_path: Path) -> None:
    """In `fanline serve` others waited until a flood that was on its way to the log was stored."""
    store = await SqliteStore.open(tmp_path, dedupe_window=60)
    log = HeldLog(store, cache_bytes=1, buffer_bytes=1 << 20, timeout=5)
    queue = LocalQueue(log, Consumers(log), buffer_bytes=1 << 20)
    for _ in range(9_000):
        queue.append(new("eve"), None)
    await asyncio.sleep(0)
    assert log.handed == ["eve"] * len(log.handed)
    assert len(log.handed) >= WINDOW_COUNT
    queue.append(new("bob"), None)
    queue.append(new("bob", 100_000), None)
    await asyncio.sleep(0)
    assert log.handed == ["bob"]
    assert queue.pending == 9_002
    await store.close()


async def test_waits_no_longer_than_the_log_is_full(tmp_path: Path) -> None:
    """In `fanline serve` a connection that waited for a full log had to wait until another published."""
    store = await SqliteStore.open(tmp_path, dedupe_window=60)
    is_written = asyncio.Event()

    async def append(messages: Sequence[NewMessage]) -> list[AppendResult]:
        await is_written.wait()
        return await store.append(messages)

    log = Log(store, cache_bytes=1, buffer_bytes=1, timeout=5, append=append)
    await log.start()
    queue = LocalQueue(log, Consumers(log), buffer_bytes=1 << 20)
    queue.append(new("bob"), None)
    await until(lambda: log.is_full)
    waiting = asyncio.create_task(queue.wait_for_space("bob"))
    is_written.set()
    async with asyncio.timeout(DEADLINE):
        await waiting
    await log.close()
