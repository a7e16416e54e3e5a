"""Tests of what reads cost in a log with many topics, by the instructions that SQLite executes."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.store.sqlite.file import LogFile
from msgqueue.store.sqlite.reader import Reader
from tests.msgqueue.store.store_model import new

STEP = 100


async def fill(folder: Path, topics: int) -> int:
    """Make a log with so many topics, each trimmed once, and return its end."""
    store = await SqliteStore.open(folder, dedupe_window=60)
    for _ in range(2):
        await store.append([new(f"user.{n}.reply") for n in range(topics)])
    await store.trim(range(1, topics + 1))
    await store.close()
    return 2 * topics


def count_work(folder: Path, work: Callable[[Reader], object]) -> int:
    """Return how many instructions SQLite executes for something."""
    executed = 0

    def note() -> int:
        nonlocal executed
        executed += STEP
        return 0

    log = LogFile(folder)
    with closing(log.connect()) as connection:
        reader = Reader(connection)
        connection.set_progress_handler(note, STEP)
        work(reader)
    log.close()
    return executed


async def test_a_wildcard_costs_the_same_with_any_number_of_topics(tmp_path: Path) -> None:
    """Finding what was removed after a recent position looks at no topic trimmed before it; reads at few."""
    few, many = tmp_path / "few", tmp_path / "many"
    ends = {few: await fill(few, 1_000), many: await fill(many, 8_000)}
    for pattern in ("*.*.reply", "user.>", "*.*.request", ">"):
        costs = {
            folder: count_work(
                folder,
                lambda reader, end=end, pattern=pattern: (  # type: ignore[misc]
                    list(reader.trimmed([pattern], end - 100)),
                    reader.read(end - 100, [pattern], 100, 1 << 20),
                ),
            )
            for folder, end in ends.items()
        }
        assert costs[many] < 1.5 * costs[few], pattern


async def test_what_was_removed_last_is_found_first(tmp_path: Path) -> None:
    """One that reads from the beginning learns of the last removal without a look at all the others."""
    end = await fill(tmp_path, 8_000)
    found: list[int] = []
    cost = count_work(tmp_path, lambda reader: found.extend(reader.trimmed(["user.>"], 0)))
    assert found == [end // 2]
    assert cost < 200_000
