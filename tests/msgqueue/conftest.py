"""Fixtures for the tests of msgqueue."""

from pathlib import Path

import pytest

from msgqueue.store.sqlite.engine import SqliteStore


class OpenedStores(list[SqliteStore]):
    """The stores that services have opened through :meth:`open`."""

    async def open(self, folder: Path, *, dedupe_window: float) -> SqliteStore:
        """Open the log in a folder, for ``open_msgqueue``."""
        store = await SqliteStore.open(folder, dedupe_window=dedupe_window)
        self.append(store)
        return store


@pytest.fixture
def opened_stores() -> OpenedStores:
    """Give a test access to the stores of its services."""
    return OpenedStores()
