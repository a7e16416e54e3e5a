"""Reads of the log: pages, ends, trimmed positions, and cursors.

A page is made in two steps, so that nothing large is read that is not returned. First its rows are found,
in one of three ways:

* of every topic: the next rows in the order of the log;
* of a few topics, when the patterns stand for no more: their rows merged, straight from the index;
* of patterns that stand for many: rows in the order of the log, in windows that grow, of which those that
  match are kept.

Then the bodies of these rows are loaded.
"""

import logging
import sqlite3
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate, takewhile
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from fanline.files import typed
from fanline.protocol import MAX_POSITION, GapRange, Page, Record, decode_record
from msgqueue.store.base import Bounds, RecordHeader
from msgqueue.store.sqlite.bulk import fetch, to_json
from msgqueue.store.sqlite.file import Damage
from msgqueue.store.sqlite.newest import NewestPositions
from msgqueue.store.sqlite.spans import merged_spans, pattern_index

logger = logging.getLogger(__name__)

_ROWS: Final = """
SELECT json_group_array(json_array(seq, topic, time, size)) FROM ({rows} ORDER BY seq {order} LIMIT :limit)
"""
_ALL: Final = "SELECT seq, topic, time, length(body) AS size FROM messages WHERE seq {beyond} :start"

_AT: Final = _ROWS.format(
    rows="SELECT seq, topic, time, length(body) AS size FROM messages"
    " WHERE seq IN (SELECT value FROM json_each(:seqs))",
    order="ASC",
)

_LOAD: Final = """
SELECT json_group_array(crc), CAST(ifnull(group_concat(body, ''), '') AS BLOB)
FROM (SELECT crc, body FROM messages WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq)
"""

_NAMES: Final = """
SELECT json_group_object(id, name) FROM topics WHERE id IN (SELECT value FROM json_each(:topics))
"""

_IN_SPANS: Final = """
SELECT json_group_array(json_array(id, name, trimmed)) FROM (
  SELECT topics.id, topics.name, topics.trimmed
  FROM json_each(:spans) AS span
  CROSS JOIN topics ON topics.name >= json_extract(span.value, '$[0]')
    AND topics.name < json_extract(span.value, '$[1]')
  LIMIT :limit
)
"""

_TRIMMED: Final = """
SELECT json_group_array(json_array(name, trimmed)) FROM (
  SELECT name, trimmed FROM topics WHERE trimmed > :after AND trimmed < :before
  ORDER BY trimmed DESC LIMIT :limit
)
"""

_ENDS: Final = """
SELECT json_array(
  (SELECT min(seq) FROM messages),
  max(trimmed, ifnull((SELECT max(seq) FROM messages), 0))
) FROM log
"""

_TRIMMED_OF_ALL: Final = "SELECT json_array(trimmed) FROM log"

_CURSORS: Final = "SELECT json_group_object(name, position) FROM consumers"


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    seq: int
    topic: int
    time: int
    size: int


class _Topic(msgspec.Struct, array_like=True, frozen=True, gc=False):
    id: int
    name: str
    trimmed: int


class StepSizes(NamedTuple):
    """Bounds on what one step looks at.

    Attributes:
        few_topics: Topics whose rows are merged at most; each row passes through a chain of that length.
        few_names: Names of topics looked at to learn whether patterns stand for few.
        examined: Rows that one step of a scan looks at: some 20 ms of work.
        trimmed: Topics that one step of :meth:`Reader.trimmed` looks at.
    """

    few_topics: int = 64
    few_names: int = 512
    examined: int = 16_384
    trimmed: int = 4096


class _Way(NamedTuple):
    """A direction through the log, as SQL spells it."""

    beyond: str
    order: str


_UP: Final = _Way(">", "ASC")
_DOWN: Final = _Way("<", "DESC")

_decode_rows = msgspec.json.Decoder(list[_Row]).decode
_decode_names = msgspec.json.Decoder(dict[int, str]).decode
_decode_crcs = msgspec.json.Decoder(list[int]).decode
_decode_topics = msgspec.json.Decoder(list[_Topic]).decode
_decode_trimmed = msgspec.json.Decoder(list[tuple[str, int]]).decode
_decode_ends = msgspec.json.Decoder(tuple[int | None, int]).decode
_decode_number = msgspec.json.Decoder(tuple[int]).decode
_decode_cursors = msgspec.json.Decoder(dict[str, int]).decode


class Reader:
    """One reader of a log. Not for two threads at once.

    The methods that return an iterator work in steps of bounded cost: each gives the result so far, the last
    one the result.

    Args:
        connection: One of its own, in autocommit mode.
        sizes: Bounds on what one step looks at.
    """

    def __init__(self, connection: sqlite3.Connection, sizes: StepSizes | None = None) -> None:
        self.connection = connection
        self._sizes = sizes or StepSizes()
        self._damaged: set[int] = set()
        self._newest = NewestPositions(connection)

    @property
    def damaged(self) -> int:
        """Number of damaged messages that were read."""
        return len(self._damaged)

    def read(self, after: int, patterns: Sequence[str] | None, limit: int, max_bytes: int) -> Page:
        """Return the page after a position, as :meth:`~msgqueue.store.base.Store.read` describes it."""
        with self._snapshot():
            rows, position = self._find(_UP, after, patterns, limit)
            fitting = _fitting(rows, max_bytes) or rows[:1]
            if len(fitting) < len(rows):
                position = fitting[-1].seq
            if position is None:
                position = max(after, self.bounds().last)
            return self._page(fitting, position)

    def read_back(
        self, before: int, patterns: Sequence[str] | None, limit: int, max_bytes: int
    ) -> Iterator[list[Record]]:
        """Yield the records before a position, as :meth:`~msgqueue.store.base.Store.read_back` describes."""
        records: list[Record] = []
        position: int | None = before
        while position is not None and len(records) < limit:
            with self._snapshot():
                rows, position = self._find(_DOWN, position, patterns, limit - len(records))
                fitting = _fitting(rows, max_bytes) or ([] if records else rows[:1])
                records = self._load(fitting)[0] + records
            if len(fitting) < len(rows):
                position = None
            max_bytes -= sum(row.size for row in fitting)
            yield records

    def read_newest(
        self, until: int, after: int, patterns: Sequence[str], limit: int, max_bytes: int
    ) -> Iterator[Page]:
        """Yield a page of newest records, as :meth:`~msgqueue.store.base.Store.read_newest` describes."""
        for seqs in self._newest.find(until, patterns):
            if seqs is None:
                yield Page([], after)
                continue
            first = bisect_right(seqs, after)
            wanted = list(seqs[first : first + limit])
            with self._snapshot():
                rows = fetch(self.connection, _decode_rows, _AT, seqs=to_json(wanted), limit=limit)
                fitting = _fitting(rows, max_bytes) or rows[:1]
                position = wanted[-1] if first + limit < len(seqs) else until
                if len(fitting) < len(rows):
                    position = fitting[-1].seq
                yield self._page(fitting, position)

    def headers(self, after: int, topic: str | None, limit: int) -> list[RecordHeader]:
        """Return the headers after a position, as :meth:`~msgqueue.store.base.Store.headers` describes."""
        with self._snapshot():
            rows, _ = self._find(_UP, after, None if topic is None else [topic], limit)
            names = self._names({row.topic for row in rows})
        return [RecordHeader(row.seq, names[row.topic], row.time, row.size) for row in rows]

    def bounds(self) -> Bounds:
        """Return the ends of the log."""
        first, last = fetch(self.connection, _decode_ends, _ENDS)
        return Bounds(last + 1 if first is None else first, last)

    def trimmed(self, patterns: Sequence[str] | None, after: int) -> Iterator[int]:
        """Yield the highest position trimmed from matching topics, 0 until found."""
        if patterns is None:
            yield from fetch(self.connection, _decode_number, _TRIMMED_OF_ALL)
        elif (topics := self._few_matching(patterns)) is not None:
            yield max((topic.trimmed for topic in topics), default=0)
        else:
            yield from self._find_trimmed(patterns, after)

    def _find_trimmed(self, patterns: Sequence[str], after: int) -> Iterator[int]:
        """Search the topics trimmed after a position, those trimmed furthest first."""
        index = pattern_index(patterns)
        before, most = MAX_POSITION, self._sizes.trimmed
        while before:
            topics = fetch(self.connection, _decode_trimmed, _TRIMMED, after=after, before=before, limit=most)
            found = next((seq for name, seq in topics if any(index.match(name))), 0)
            yield found
            before = topics[-1][1] if len(topics) == most and not found else 0

    def cursors(self) -> dict[str, int]:
        """Return the consumers' positions by their names."""
        return fetch(self.connection, _decode_cursors, _CURSORS)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _find(
        self, way: _Way, start: int, patterns: Sequence[str] | None, limit: int
    ) -> tuple[list[_Row], int | None]:
        """Return the next matching rows, and where the search ended.

        All matching rows up to there were returned; None stands for the log's end.
        """
        if patterns is None:
            rows = self._next(way, start, limit)
        else:
            topics = self._few_topics(patterns)
            if topics is None:
                return self._scan(way, start, patterns, limit)
            rows = self._merge(way, start, topics, limit)
        return rows, rows[-1].seq if len(rows) == limit else None

    def _next(self, way: _Way, start: int, limit: int) -> list[_Row]:
        return fetch(self.connection, _decode_rows, _next_sql(way), start=start, limit=limit)

    def _merge(self, way: _Way, start: int, topics: Sequence[int], limit: int) -> list[_Row]:
        if not topics:
            return []
        numbered = {f"topic{number}": topic for number, topic in enumerate(topics)}
        sql = _merge_sql(way, len(topics))
        return fetch(self.connection, _decode_rows, sql, start=start, limit=limit, **numbered)

    def _scan(
        self, way: _Way, start: int, patterns: Sequence[str], limit: int
    ) -> tuple[list[_Row], int | None]:
        """Return what :meth:`_find` does, from a bounded number of rows."""
        index = pattern_index(patterns)
        wanted: dict[int, bool] = {}
        found: list[_Row] = []
        examined, most = 0, self._sizes.examined
        while len(found) < limit and examined < most:
            window = min(max(limit, 4 * examined), most - examined)
            rows = self._next(way, start, window)
            names = self._names({row.topic for row in rows} - wanted.keys())
            wanted |= {topic: any(index.match(name)) for topic, name in names.items()}
            found += [row for row in rows if wanted[row.topic]]
            if len(rows) < window:
                return _first(found, limit, end=None)
            start = rows[-1].seq
            examined += window
        return _first(found, limit, end=start)

    def _few_topics(self, patterns: Sequence[str]) -> list[int] | None:
        """Return the ids of matching topics; None if they may be many."""
        topics = self._few_matching(patterns)
        if topics is None or len(topics) > self._sizes.few_topics:
            return None
        return [topic.id for topic in topics]

    def _few_matching(self, patterns: Sequence[str]) -> list[_Topic] | None:
        """Return the matching topics, or None if many names may match."""
        if len(patterns) > self._sizes.few_topics:
            return None
        spans = to_json(list(merged_spans(patterns)))
        most = self._sizes.few_names
        topics = fetch(self.connection, _decode_topics, _IN_SPANS, spans=spans, limit=most)
        if len(topics) == most:
            return None
        index = pattern_index(patterns)
        return [topic for topic in topics if any(index.match(topic.name))]

    def _page(self, rows: Sequence[_Row], position: int) -> Page:
        """Return the records of some rows, up to the first damaged one.

        Damaged ones at the beginning are left out.
        """
        records, damaged = self._load(rows)
        if not damaged:
            return Page(records, position)
        first_seqs = list(takewhile(damaged.__contains__, (row.seq for row in rows)))
        rest = (row.seq for row in rows[len(first_seqs) :])
        if (end := next(filter(damaged.__contains__, rest), None)) is not None:
            records = [record for record in records if record.seq < end]
            position = end - 1
        return Page(records, position, GapRange(first_seqs[0], first_seqs[-1]) if first_seqs else None)

    def _load(self, rows: Sequence[_Row]) -> tuple[list[Record], set[int]]:
        """Return the records of some rows, ascending, and the damaged ones' positions."""
        if not rows:
            return [], set()
        rows = sorted(rows, key=attrgetter("seq"))
        names = self._names({row.topic for row in rows})
        seqs = to_json([row.seq for row in rows])
        found, bodies = self.connection.execute(_LOAD, {"seqs": seqs}).fetchone()
        crcs = _decode_crcs(found)
        if len(crcs) < len(rows):
            raise Damage("an index names messages that are not there")
        ends = accumulate(row.size for row in rows)
        records = [
            Record(row.seq, names[row.topic], bodies[end - row.size : end])
            for row, end in zip(rows, ends, strict=True)
        ]
        damaged = _find_damaged(records, crcs)
        for seq in damaged - self._damaged:
            logger.error("message %d is damaged and left out: run %s fsck", seq, typed("fanline"))
        self._damaged |= damaged
        return [record for record in records if record.seq not in damaged] if damaged else records, damaged

    def _names(self, topics: set[int]) -> dict[int, str]:
        names = fetch(self.connection, _decode_names, _NAMES, topics=to_json(topics))
        if len(names) < len(topics):
            raise Damage("there are messages on a topic that is not there")
        return names

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read one state of the log with all statements of the block."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:  # SQLite ends it by itself after some errors
                self.connection.execute("ROLLBACK")


def _find_damaged(records: Sequence[Record], crcs: Sequence[int]) -> set[int]:
    """Return the positions of the records whose bodies have been altered."""
    return {
        record.seq
        for record, crc in zip(records, crcs, strict=True)
        if zlib.crc32(record.body) != crc or not _is_labeled(record)
    }


def _is_labeled(record: Record) -> bool:
    try:
        return decode_record(record.body) == record
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


@cache
def _next_sql(way: _Way) -> str:
    return _ROWS.format(rows=_ALL.format(beyond=way.beyond), order=way.order)


@cache
def _merge_sql(way: _Way, topics: int) -> str:
    every = _ALL.format(beyond=way.beyond)
    rows = (f"{every} AND topic = :topic{number}" for number in range(topics))
    return _ROWS.format(rows=" UNION ALL ".join(rows), order=way.order)


def _first(rows: list[_Row], limit: int, *, end: int | None) -> tuple[list[_Row], int | None]:
    """Return at most ``limit`` of the rows, and where these end.

    They are all that there are up to there; if none is left over, that is ``end``.
    """
    return (rows, end) if len(rows) <= limit else (rows[:limit], rows[limit - 1].seq)


def _fitting(rows: Sequence[_Row], max_bytes: int) -> Sequence[_Row]:
    """Return the first rows whose bodies have at most ``max_bytes`` together."""
    ends = accumulate(row.size for row in rows)
    return rows[: sum(end <= max_bytes for end in ends)]
