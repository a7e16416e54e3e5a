"""Fixtures for the tests of msgqueue."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fanline.errors import StoreError
from fanline.protocol import NewMessage, Page, Record
from msgqueue.store.base import AppendResult
from msgqueue.store.sqlite.engine import SqliteStore


class BreakableStore(SqliteStore):
    """A store that a test can make fail, as on a full or lost disk, and heal.

    Attributes:
        refuses: Tells which messages cannot be appended; None if all can.
        is_unreadable: Makes every read fail.
        held: Reads backwards wait for it, if there is one.
        held_reads: How many of them wait.
    """

    refuses: Callable[[NewMessage], bool] | None = None
    is_unreadable = False
    held: asyncio.Event | None = None
    held_reads = 0

    def hang(self, end: threading.Event) -> None:
        """Do nothing more until an event is set, as if the disk did not answer."""
        self._writing.call(end.wait)

    async def append(
        self, messages: Sequence[NewMessage], *, cursors: Mapping[str, int] | None = None
    ) -> list[AppendResult]:
        """Append, unless a message is refused."""
        if self.refuses is not None and any(self.refuses(message) for message in messages):
            raise StoreError("the disk is full")
        return await super().append(messages, cursors=cursors)

    async def read(self, after: int, **how: Any) -> Page:
        """Read, unless nothing can be read."""
        if self.is_unreadable:
            raise StoreError("the disk is gone")
        return await super().read(after, **how)

    async def read_back(self, before: int, **how: Any) -> list[Record]:
        """Read, once reads are not held up any more."""
        if self.held is not None:
            self.held_reads += 1
            try:
                await self.held.wait()
            finally:
                self.held_reads -= 1
        return await super().read_back(before, **how)


class OpenedStores(list[BreakableStore]):
    """The stores that services have opened through :meth:`open`."""

    async def open(self, folder: Path, **options: Any) -> BreakableStore:
        """Open the log in a folder, for ``open_msgqueue``."""
        store = await BreakableStore.open(folder, **options)
        self.append(store)
        return store


@pytest.fixture
def opened_stores() -> OpenedStores:
    """Give a test access to the stores of its services."""
    return OpenedStores()
