"""Tests of the lists of newest records: the work for them, by statements, and what is kept."""

from collections.abc import Sequence
from pathlib import Path

from fanline.protocol.topics import matches
from msgqueue.store.sqlite.engine import SqliteStore
from msgqueue.store.sqlite.file import LogFile
from msgqueue.store.sqlite.newest import NewestPositions
from msgqueue.store.sqlite.spans import merged_spans, span
from tests.msgqueue.store.store_model import new


class Counted:
    """The lists of a log, and how many steps each takes."""

    def __init__(self, folder: Path) -> None:
        self.connection = LogFile(folder).connect()
        self.newest = NewestPositions(self.connection, step=10, max_kept=50)

    def find(self, until: int, *patterns: str) -> tuple[Sequence[int], int]:
        """Return the positions, and the number of steps that it took to find them."""
        *steps, found = self.newest.find(until, patterns)
        assert found is not None
        return list(found), len(steps)


async def test_newest_positions_are_found_in_steps_and_kept(tmp_path: Path) -> None:
    """Each step looks at few topics; further pages cost none while the list is kept (line 49)."""
    store = await SqliteStore.open(tmp_path, dedupe_window=60)
    await store.append([new(f"{side}.{n % 40:02}") for n in range(80) for side in "ab"])
    await store.close()
    counted = Counted(tmp_path)
    found, steps = counted.find(160, "a.*")
    assert (found, steps) == (list(range(81, 160, 2)), 5)
    assert counted.find(160, "a.*") == (found, 0)
    assert counted.find(82, "a.*")[0] == [*range(3, 80, 2), 81]
    assert counted.find(160, "a.*") == (found, 5)
    assert counted.find(160, "a.01", "b.0*", "a.01") == ([83], 1)
    assert counted.find(160, "a.00", "b.>", "*.00")[0] == [81, *range(82, 161, 2)]
    counted.connection.close()


def test_spans_of_names_hold_what_a_pattern_matches() -> None:
    """Spans that overlap are walked once."""
    for pattern, name in (("a.*", "a.b"), ("a.>", "a.b.c"), ("a", "a"), ("*.b", "x.b"), (">", "\U0010ffff")):
        low, high = span(pattern)
        assert matches(pattern, name)
        assert low <= name < high
    assert list(merged_spans(["b.*", "a.>", "a.b.*", "c.d.*"])) == [
        ("a.", "a/"),
        ("b.", "b/"),
        ("c.d.", "c.d/"),
    ]
    assert list(merged_spans(["a.*", ">"])) == [span(">")]
    assert list(merged_spans([])) == []
