"""Every engine of the store, and short forms to append and read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from fanline.protocol import Record
from msgqueue.store.base import Store
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.replica.engines import JetStreamEngine, Journals
from tests.msgqueue.store.store_model import WINDOW, Clock, new

Reopen = Callable[[], Awaitable[Store]]


def open_sqlite(folder: Path, clock: Clock) -> Awaitable[Store]:
    return SqliteStore.open(folder, dedupe_window=WINDOW, clock=clock)


ENGINES = [
    pytest.param(open_sqlite, id="sqlite"),
    pytest.param(Journals(rate=0.1).open_one, id="replica", marks=pytest.mark.long),
    pytest.param(Journals(rate=0.1).open_three, id="three replicas", marks=pytest.mark.long),
    pytest.param(JetStreamEngine().open, id="jetstream", marks=pytest.mark.long),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ENGINES)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Reopen]:
    """Open the log; each further call closes it first. It is closed at the end."""
    opened: list[Store] = []

    async def again() -> Store:
        if opened:
            await opened[-1].close()
        opened.append(await request.param(tmp_path / "data", clock))
        return opened[-1]

    yield again
    await opened[-1].close()


@pytest.fixture
async def store(reopen: Reopen) -> Store:
    return await reopen()


async def append_on(store: Store, *topics: str) -> list[int]:
    """Append a message on each of the topics, and return their positions."""
    return [result.seq for result in await store.append([new(topic) for topic in topics])]


async def read_all(store: Store, patterns: Sequence[str] | None = None, limit: int = 500) -> list[Record]:
    """Read from the start to the end of the log, page by page."""
    records: list[Record] = []
    position = 0
    last = (await store.bounds()).last
    while position < last:
        page = await store.read(position, patterns=patterns, limit=limit)
        assert page.position > position
        records += page.records
        position = page.position
    return records


def positions(records: Sequence[Record]) -> list[int]:
    return [record.seq for record in records]
