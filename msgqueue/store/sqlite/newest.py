"""Search for the newest record of each topic that patterns match.

Only records up to a position count. Their order in the log is known only once all of these topics were looked
at. So the list of their positions is made in steps, and kept for the pages that follow: 8 bytes a topic, and
those least recently used are dropped first.
"""

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from fanline.protocol.topics import has_wildcard
from msgqueue.store.sqlite.bulk import fetch, to_json
from msgqueue.store.sqlite.spans import merged_spans, pattern_index

# Topics that one step looks at: some 20 ms of work.
_STEP: Final = 4_096

# Positions that are kept in all lists together: 8 MB.
MAX_KEPT: Final = 1 << 20

_NEWEST: Final = """
SELECT json_group_array(json_array(name, newest)) FROM (
  SELECT
    topics.name AS name,
    (SELECT seq FROM messages WHERE topic = topics.id AND seq <= :until ORDER BY seq DESC LIMIT 1) AS newest
  FROM {topics} ORDER BY topics.name LIMIT :limit
)
"""
_IN_SPAN: Final = _NEWEST.format(topics="topics WHERE topics.name >= :low AND topics.name < :high")
_NAMED: Final = _NEWEST.format(
    topics="json_each(:names) AS given CROSS JOIN topics ON topics.name = given.value"
)

_Named = list[tuple[str, int | None]]

_decode_named = msgspec.json.Decoder(_Named).decode


class NewestPositions:
    """Lists of positions, by the patterns and position of the request.

    Args:
        connection: That of the reader.
        step: Topics that one step looks at.
        max_kept: Positions kept in all lists together; the list used last is kept whatever its length.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, step: int = _STEP, max_kept: int = MAX_KEPT
    ) -> None:
        self._connection = connection
        self._step = step
        self._max_kept = max_kept
        self._kept: OrderedDict[tuple[int, Sequence[str]], array[int]] = OrderedDict()

    def find(self, until: int, patterns: Sequence[str]) -> "Iterator[array[int] | None]":
        """Yield None after each step, and at last the positions, ascending."""
        key = until, tuple(patterns)
        found = self._kept.get(key)
        if found is None:
            index = pattern_index(patterns)
            seqs: set[int] = set()
            for topics in self._look_at(until, patterns):
                seqs.update(seq for name, seq in topics if seq is not None and any(index.match(name)))
                yield None
            found = array("q", sorted(seqs))
        self._keep(key, found)
        yield found

    def _look_at(self, until: int, patterns: Sequence[str]) -> Iterator[_Named]:
        names = [pattern for pattern in patterns if not has_wildcard(pattern)]
        for first in range(0, len(names), self._step):
            some = to_json(names[first : first + self._step])
            yield fetch(self._connection, _decode_named, _NAMED, until=until, names=some, limit=self._step)
        for start, high in merged_spans(filter(has_wildcard, patterns)):
            low = start
            while low < high:
                topics = fetch(
                    self._connection,
                    _decode_named,
                    _IN_SPAN,
                    until=until,
                    low=low,
                    high=high,
                    limit=self._step,
                )
                yield topics
                low = f"{topics[-1][0]} " if len(topics) == self._step else high

    def _keep(self, key: tuple[int, Sequence[str]], found: "array[int]") -> None:
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > self._max_kept:
            self._kept.popitem(last=False)
