"""Tests of the newest records in memory."""

import tracemalloc
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol import Page, Record
from fanline.protocol.topics import matches
from fanline.queue.record_cache import RecordCache

PATTERNS = ["a", "b", "a.a", "a.b", "none", "*", "a.*", ">", "a.>"]

EVERYTHING = 1 << 30


class Arrival(NamedTuple):
    """A record on its way in: how far beyond the last one, and of what size."""

    step: int
    topic: str
    size: int


arrivals = st.lists(
    st.builds(Arrival, st.integers(1, 3), st.sampled_from(PATTERNS[:4]), st.integers(0, 9)), max_size=40
)
selections = st.none() | st.lists(st.sampled_from(PATTERNS), max_size=4)


def record(seq: int, topic: str = "a", size: int = 1) -> Record:
    return Record(seq, topic, b"x" * size)


def fill(recent: RecordCache, arrivals: Sequence[Arrival]) -> list[Record]:
    """Add records, and return them all."""
    added = []
    for arrival in arrivals:
        added.append(record(recent.head + arrival.step, arrival.topic, arrival.size))
        recent.add(added[-1])
    return added


def held_of(added: Sequence[Record], max_bytes: int) -> Sequence[Record]:
    """The longest end of a list whose bodies fit, and at least the last record."""
    for start in range(len(added)):
        if sum(len(each.body) for each in added[start:]) <= max_bytes:
            return added[start:]
    return added[-1:]


def naive_read(
    held: Sequence[Record], head: int, after: int, patterns: Sequence[str] | None, limit: int, max_bytes: int
) -> Page:
    """Read by looking at every record."""
    found = [
        each
        for each in held
        if each.seq > after
        and (patterns is None or any(matches(pattern, each.topic) for pattern in patterns))
    ]
    sizes = [sum(len(each.body) for each in found[: count + 1]) for count in range(len(found))]
    fitting = min(max(len(list(takewhile(lambda size: size <= max_bytes, sizes))), 1), limit)
    if fitting < len(found):
        return Page(found[:fitting], found[fitting - 1].seq)
    return Page(found, max(head, after))


@settings(max_examples=60)
@given(arrivals, st.integers(0, 60), st.integers(0, 5), selections, st.data())
def test_reading_is_like_reading_a_list(
    arrivals: list[Arrival],
    capacity: int,
    start: int,
    patterns: list[str] | None,
    data: st.DataObject,
) -> None:
    """The newest that fit are held, and any range of them is read, filtered and cut as a list would be."""
    recent = RecordCache(capacity, head=start, overhead=0)
    added = fill(recent, arrivals)
    held = held_of(added, capacity)
    assert recent.head == (added[-1].seq if added else start)
    assert recent.floor == (added[-len(held) - 1].seq if len(held) < len(added) else start)
    after = data.draw(st.integers(recent.floor, recent.head + 3))
    assert recent.covers(after)
    limit, max_bytes = data.draw(st.integers(1, 8)), data.draw(st.integers(0, 20))
    page = recent.read(after, patterns=patterns, limit=limit, max_bytes=max_bytes)
    assert page == naive_read(held, recent.head, after, patterns, limit, max_bytes)


@settings(max_examples=60)
@given(arrivals, selections, st.integers(0, 20))
def test_page_after_page_gives_everything_once(
    arrivals: list[Arrival], patterns: list[str] | None, max_bytes: int
) -> None:
    """Each page begins where the one before ended, and the last one ends at the head."""
    recent = RecordCache(EVERYTHING)
    fill(recent, arrivals)
    read: list[Record] = []
    position = 0
    while position < recent.head:
        page = recent.read(position, patterns=patterns, max_bytes=max_bytes)
        assert page.position > position
        read.extend(page.records)
        position = page.position
    assert read == list(recent.read(0, patterns=patterns, max_bytes=EVERYTHING).records)


def test_a_page_may_be_filled_to_the_byte() -> None:
    """And has one record at least."""
    recent = RecordCache(EVERYTHING)
    for seq in (1, 2, 3):
        recent.add(record(seq, size=5))
    for max_bytes, count in ((15, 3), (14, 2), (10, 2), (9, 1), (5, 1), (4, 1), (0, 1)):
        assert recent.read(0, max_bytes=max_bytes).position == count


def test_what_was_dropped_is_not_covered() -> None:
    """A reader that is further back needs the log itself, and is told so."""
    recent = RecordCache(3, head=10, overhead=0)
    assert recent.covers(10)
    assert not recent.covers(9)
    for seq in (11, 12, 13, 14):
        recent.add(record(seq))
    assert recent.floor == 11
    assert recent.covers(11)
    assert not recent.covers(10)


def test_the_newest_record_is_kept_whatever_its_size() -> None:
    """All others make way for it."""
    recent = RecordCache(3, overhead=0)
    recent.add(record(1))
    recent.add(record(2, size=100))
    assert recent.read(1, max_bytes=1).records == [record(2, size=100)]
    assert not recent.covers(0)


def test_a_reader_that_is_ahead_stays_there() -> None:
    """It may have seen elsewhere what has not come here yet."""
    recent = RecordCache(EVERYTHING, head=5)
    assert recent.read(7, max_bytes=1) == Page([], 7)


def test_reading_for_no_topic_gives_nothing_and_gets_to_the_end() -> None:
    """As with topics on which there is nothing."""
    recent = RecordCache(EVERYTHING)
    recent.add(record(1))
    assert recent.read(0, patterns=[], max_bytes=1) == Page([], 1)
    assert recent.read(0, patterns=["none"], max_bytes=1) == Page([], 1)


def test_a_page_looks_at_a_bounded_number_of_records() -> None:
    """A reader of wildcards that match little gets there page by page, not in one step."""
    recent = RecordCache(EVERYTHING)
    for seq in range(1, 11):
        recent.add(record(seq, "a.b" if seq == 7 else "c"))
    pages = [recent.read(after, patterns=["a.*"], max_bytes=9, max_looked_at=4) for after in (0, 4, 8, 10)]
    assert [(page.position, [each.seq for each in page.records]) for page in pages] == [
        (4, []),
        (8, [7]),
        (10, []),
        (10, []),
    ]


def test_restarting_forgets_everything() -> None:
    """Records of the former log are forgotten, even if positions are lower now."""
    recent = RecordCache(EVERYTHING)
    recent.add(record(100))
    recent.restart(3)
    assert (recent.floor, recent.head) == (3, 3)
    assert recent.read(3, patterns=["a"], max_bytes=1) == Page([], 3)
    recent.add(record(4))
    assert recent.read(3, max_bytes=1).records == [record(4)]


@pytest.mark.parametrize("size", [1_000, 10])
def test_memory_stays_within_the_limit(size: int) -> None:
    """Dropped records are freed, on busy topics as on those seen once, whatever their size (line 8)."""
    capacity = 100_000
    recent = RecordCache(capacity)
    tracemalloc.start()
    try:
        for seq in range(1, 2_001):
            recent.add(Record(seq, "busy" if seq % 2 else f"once.{seq}", bytes(size)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * capacity


def test_skipped_positions_are_not_covered() -> None:
    """A reader before the end of what is skipped needs the log, whatever has arrived since."""
    recent = RecordCache(EVERYTHING)
    recent.add(record(5))
    recent.skip(8)
    for seq in (6, 9):
        recent.add(record(seq))
        assert not recent.covers(7)
        assert recent.covers(8)
    assert recent.read(8, max_bytes=EVERYTHING) == Page([record(9)], 9)


def test_skipped_positions_stay_uncovered_after_drops() -> None:
    """The floor never goes back."""
    recent = RecordCache(1)
    recent.skip(8)
    for seq in (6, 7):
        recent.add(record(seq))
    assert recent.floor == 8
