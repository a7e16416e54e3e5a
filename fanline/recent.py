"""The newest records of the log, in memory: what a reader that keeps up, nearly, is served from."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from heapq import merge

from fanline.message import Page, Record
from fanline.topics import has_wildcard, matches


class Recent:
    """Every record in ``(floor, head]``, as many as fit.

    Without I/O or a clock. Reading costs what is read, not what is held: the whole stretch is found by
    bisection, literal topics by an index, and only patterns with wildcards look at every record.

    Args:
        max_bytes: Size of the bodies to keep; the newest record is kept whatever its size.
        head: Position at which the stretch begins.

    Attributes:
        floor: Position before the oldest record held; a reader further back needs the log itself.
        head: Position of the newest record.
    """

    def __init__(self, max_bytes: int, head: int = 0) -> None:
        self.floor = self.head = head
        self._max_bytes = max_bytes
        self._bytes = 0
        self._records: list[Record] = []
        self._start = 0  # records before it are dropped, and removed many at a time
        self._by_topic: dict[str, deque[Record]] = {}

    def restart(self, head: int) -> None:
        """Forget everything, and begin again after ``head``."""
        self.__init__(self._max_bytes, head)  # type: ignore[misc]

    def add(self, record: Record) -> None:
        """Append a record newer than every one before it, and drop the oldest that no longer fit."""
        self.head = record.seq
        self._records.append(record)
        self._by_topic.setdefault(record.topic, deque()).append(record)
        self._bytes += len(record.body)
        while self._bytes > self._max_bytes and self._start < len(self._records) - 1:
            self._drop_oldest()

    def covers(self, after: int) -> bool:
        """Whether everything after this position, up to the head, is here."""
        return after >= self.floor

    def read(self, after: int, *, patterns: Iterable[str] | None = None, max_bytes: int) -> Page:
        """Return what comes after a covered position.

        Args:
            after: Position to begin after; :meth:`covers` must be true for it.
            patterns: Return only records on topics that these match; None means all.
            max_bytes: Bodies to return, except that a single larger one is returned alone.
        """
        if patterns is None:
            found: Sequence[Record] = self._since(after)
        elif any(has_wildcard(pattern) for pattern in patterns):
            found = self._matching(after, patterns)
        else:
            found = list(merge(*(self._on_topic(topic, after) for topic in set(patterns))))
        taken = _fitting(found, max_bytes)
        if taken < len(found):
            return Page(found[:taken], found[taken - 1].seq)
        return Page(found, max(self.head, after))

    def _since(self, after: int) -> list[Record]:
        return self._records[bisect_right(self._records, after, lo=self._start, key=_seq) :]

    def _matching(self, after: int, patterns: Iterable[str]) -> list[Record]:
        wanted: dict[str, bool] = {}
        found = []
        for record in self._since(after):
            topic = record.topic
            if topic not in wanted:
                wanted[topic] = any(matches(pattern, topic) for pattern in patterns)
            if wanted[topic]:
                found.append(record)
        return found

    def _on_topic(self, topic: str, after: int) -> list[Record]:
        found = []
        for record in reversed(self._by_topic.get(topic, ())):
            if record.seq <= after:
                break
            found.append(record)
        found.reverse()
        return found

    def _drop_oldest(self) -> None:
        oldest = self._records[self._start]
        self.floor = oldest.seq
        self._bytes -= len(oldest.body)
        same_topic = self._by_topic[oldest.topic]
        same_topic.popleft()
        if not same_topic:
            del self._by_topic[oldest.topic]
        self._start += 1
        if self._start * 2 > len(self._records):
            del self._records[: self._start]
            self._start = 0


def _seq(record: Record) -> int:
    return record.seq


def _fitting(records: Sequence[Record], max_bytes: int) -> int:
    """Return how many of the first records fit into ``max_bytes``; at least one, if there is one."""
    total = 0
    for count, record in enumerate(records):
        total += len(record.body)
        if total > max_bytes:
            return max(count, 1)
    return len(records)
