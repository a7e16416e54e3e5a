"""The newest records of the log, kept in memory for current readers."""

import sys
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from heapq import merge
from itertools import islice
from typing import Final

from fanline.protocol import Page, Record
from fanline.protocol.topics import has_wildcard, matches_any

# Approximate size of a record in memory without its body: small ones would take several times their bodies.
_OVERHEAD: Final = 250


class RecordCache:
    """Every record in ``(floor, head]``, as many as fit.

    Without I/O or a clock. Reading costs what is read, not what is held: a range of positions is found by
    bisection, literal topics by an index, and only patterns with wildcards look at every record.

    Args:
        max_bytes: Memory for the records; the newest one is kept whatever its size.
        head: Position after which the records begin.
        overhead: Bytes that each record takes besides its body.

    Attributes:
        floor: Position before the oldest record held; a reader further back needs the log itself.
        head: Position of the newest record.
    """

    def __init__(self, max_bytes: int, head: int = 0, *, overhead: int = _OVERHEAD) -> None:
        self.floor = self.head = head
        self._max_bytes = max_bytes
        self._overhead = overhead
        self._bytes = 0
        self._all = _Segment()
        self._by_topic: dict[str, _Segment] = {}

    def restart(self, head: int) -> None:
        """Forget everything, and begin again after ``head``."""
        self.floor = self.head = head
        self._bytes = 0
        self._all = _Segment()
        self._by_topic.clear()

    def skip(self, position: int) -> None:
        """Note that records from the head to ``position`` may be missing.

        A reader before ``position`` needs the log itself, which says what is missing.
        """
        self.restart(self.head)
        self.floor = position

    def add(self, record: Record) -> None:
        """Append the newest record, and drop the oldest ones beyond the limit."""
        self.head = record.seq
        self._all.append(record)
        self._by_topic.setdefault(record.topic, _Segment()).append(record)
        self._bytes += len(record.body) + self._overhead
        while self._bytes > self._max_bytes and len(self._all) > 1:
            self._drop_oldest()

    def covers(self, after: int) -> bool:
        """Return whether everything after this position, up to the head, is here."""
        return after >= self.floor

    def read(
        self,
        after: int,
        *,
        patterns: Collection[str] | None = None,
        has: Callable[[str], bool] | None = None,
        limit: int = sys.maxsize,
        max_bytes: int,
        max_looked_at: int = sys.maxsize,
    ) -> Page:
        """Return what comes after a covered position.

        Args:
            after: Position to begin after; :meth:`covers` must be true for it.
            patterns: Return only records on topics that these match; None means all.
            has: Returns whether any of the patterns matches a topic, if the caller has an index of them.
            limit: Most records returned; at least 1.
            max_bytes: Bodies to return, except that a single larger one is returned alone.
            max_looked_at: Records to look at for patterns with wildcards; the page ends where they end.
        """
        size = 0
        records: list[Record] = []
        if patterns is not None and any(map(has_wildcard, patterns)):
            looked_at = list(islice(self._all.since(after), max_looked_at))
            found = _matching(looked_at, has or partial(matches_any, patterns))
            end = looked_at[-1].seq if len(looked_at) == max_looked_at else max(self.head, after)
        else:
            found = self._find(after, patterns)
            end = max(self.head, after)
        for record in found:
            size += len(record.body)
            if (size > max_bytes and records) or len(records) == limit:
                return Page(records, records[-1].seq)
            records.append(record)
        return Page(records, end)

    def _find(self, after: int, patterns: Collection[str] | None) -> Iterator[Record]:
        if patterns is None:
            return self._all.since(after)
        return merge(*(self._by_topic[topic].since(after) for topic in self._by_topic.keys() & patterns))

    def _drop_oldest(self) -> None:
        oldest = self._all.drop_oldest()
        self.floor = max(self.floor, oldest.seq)
        self._bytes -= len(oldest.body) + self._overhead
        same_topic = self._by_topic[oldest.topic]
        same_topic.drop_oldest()
        if not same_topic:
            del self._by_topic[oldest.topic]


class _Segment:
    """Records in order: appended, dropped from the front, found by position."""

    __slots__ = ("_records", "_start")

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._start = 0  # records before it are dropped, and removed many at a time

    def __len__(self) -> int:
        return len(self._records) - self._start

    def append(self, record: Record) -> None:
        self._records.append(record)

    def drop_oldest(self) -> Record:
        oldest = self._records[self._start]
        self._start += 1
        if self._start * 8 > len(self._records):
            del self._records[: self._start]
            self._start = 0
        return oldest

    def since(self, after: int) -> Iterator[Record]:
        """Yield the records after a position, at no cost for unused ones."""
        first = bisect_right(self._records, after, lo=self._start, key=_seq)
        for index in range(first, len(self._records)):
            yield self._records[index]


def _matching(records: Iterable[Record], has: Callable[[str], bool]) -> Iterator[Record]:
    wanted: dict[str, bool] = {}
    for record in records:
        topic = record.topic
        if topic not in wanted:
            wanted[topic] = has(topic)
        if wanted[topic]:
            yield record


def _seq(record: Record) -> int:
    return record.seq
