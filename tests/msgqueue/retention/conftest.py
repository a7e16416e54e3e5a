"""A store with a clock, and retention in small steps."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fanline.server import Service
from msgqueue.retention import Retention
from msgqueue.settings import RetentionRule
from msgqueue.store.sqlite.engine import SqliteStore
from tests.msgqueue.store.store_model import WINDOW, Clock, new

DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "data", dedupe_window=WINDOW, clock=clock)
    yield store
    await store.close()


# Sweeps often, in steps so small that every test takes several.
quick_retention = partial(Retention, step=3, pause=0.01)


def rule(topics: str = ">", **limits: Any) -> RetentionRule:
    return RetentionRule(topics=topics, **limits)


def trimmed(queue: Service) -> float | None:
    """Return how many messages retention has removed."""
    return queue.app.metrics.get_sample_value("fanline_messages_trimmed_total")


async def append_on(store: SqliteStore, *topics: str) -> None:
    await store.append([new(topic) for topic in topics])


async def kept(store: SqliteStore) -> dict[str, list[int]]:
    """Return the positions that are left, by topic."""
    left: dict[str, list[int]] = {}
    for header in await store.headers(0, limit=10_000):
        left.setdefault(header.topic, []).append(header.seq)
    return left
