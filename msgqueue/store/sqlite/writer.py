"""Changes of the log: appends, trims and cursors, each one transaction."""

import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fanline.errors import StoreError
from fanline.protocol import Message, NewMessage, Record, encode
from msgqueue.store.base import AppendResult
from msgqueue.store.sqlite.bulk import fetch, to_json
from msgqueue.store.sqlite.file import WRITER_CACHE_KIB, LogFile

# How many ids are looked at per message appended, to find those that have expired: at an even rate the table
# comes to hold 4/3 of what is within the window.
SWEEP_STEP: Final = 4

# After how many messages that is done: for each lone one it would be a third of the statements.
SWEEP_EVERY: Final = 256

# Milliseconds for which readers may hold up the emptying of the WAL, and with it the next commit.
TRUNCATE_PATIENCE: Final = 50

# Topics whose ids are kept in memory; they never change.
_MAX_KNOWN_TOPICS: Final = 100_000

_HEAD: Final = """
WITH
  newest (seq, time) AS (SELECT seq, time FROM messages ORDER BY seq DESC LIMIT 1),
  head (seq, now) AS (
    SELECT max(log.trimmed, ifnull(newest.seq, 0)), max(log.time, ifnull(newest.time, 0), :clock)
    FROM log LEFT JOIN newest
  )
SELECT json_array(
  head.seq,
  head.now,
  json((
    SELECT json_group_object(ids.key, ids.seq)
    FROM json_each(:keys) AS used CROSS JOIN ids ON ids.key = used.value
    WHERE ids.time >= head.now - :window
  )),
  json((
    SELECT json_group_object(topics.name, topics.id)
    FROM json_each(:topics) AS used CROSS JOIN topics ON topics.name = used.value
  )),
  (SELECT ifnull(max(id), 0) FROM topics),
  (SELECT max(key) FROM (SELECT key FROM ids WHERE key > :swept ORDER BY key LIMIT :step))
) FROM head
"""

# An append is one statement, and so a transaction by itself: for each statement Python's SQLite module lets
# go of the interpreter several times, and next to a busy event loop waits each time until it gets it back.
_BATCHES: Final = (
    """
    CREATE TEMP VIEW batches AS SELECT
      NULL AS first, NULL AS now, NULL AS topics, NULL AS rows, NULL AS bodies, NULL AS ids,
      NULL AS swept, NULL AS until, NULL AS expired
    """,
    # WHERE true: without it SQLite takes ON CONFLICT for the condition of a join.
    """
    CREATE TEMP TRIGGER append_batch INSTEAD OF INSERT ON batches BEGIN
      INSERT INTO topics (id, name) SELECT value, key FROM json_each(NEW.topics);
      INSERT INTO messages (seq, topic, time, crc, body)
      SELECT
        NEW.first + key,
        json_extract(value, '$[0]'),
        NEW.now,
        json_extract(value, '$[1]'),
        substr(NEW.bodies, json_extract(value, '$[2]'), json_extract(value, '$[3]'))
      FROM json_each(NEW.rows);
      INSERT INTO ids (key, seq, time) SELECT key, value, NEW.now FROM json_each(NEW.ids) WHERE true
      ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, time = excluded.time;
      DELETE FROM ids WHERE key > NEW.swept AND key <= NEW.until AND time < NEW.expired;
    END
    """,
)

_APPEND: Final = """
INSERT INTO batches VALUES (:first, :now, :topics, :rows, :bodies, :ids, :swept, :until, :expired)
"""

_NOTE_TRIMMED_TOPICS: Final = """
UPDATE topics SET trimmed = max(topics.trimmed, gone.seq)
FROM (
  SELECT topic, max(seq) AS seq
  FROM json_each(:seqs) AS given CROSS JOIN messages ON messages.seq = given.value GROUP BY topic
) AS gone
WHERE topics.id = gone.topic
"""

_NOTE_TRIMMED: Final = """
UPDATE log SET trimmed = max(log.trimmed, gone.seq), time = max(log.time, gone.time)
FROM (
  SELECT max(seq) AS seq, max(time) AS time
  FROM json_each(:seqs) AS given CROSS JOIN messages ON messages.seq = given.value
) AS gone
WHERE gone.seq IS NOT NULL
"""

_TRIM: Final = "DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(:seqs))"

_SET_CURSOR: Final = """
INSERT INTO consumers (name, position) VALUES (:name, :position)
ON CONFLICT (name) DO UPDATE SET position = excluded.position
"""

_NEWEST: Final = "SELECT max(trimmed, ifnull((SELECT max(seq) FROM messages), 0)) FROM log"

_DELETE_CURSOR: Final = "DELETE FROM consumers WHERE name = :name"


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """State of the log that an append needs: position, time, ids.

    ``taken`` has positions by those dedupe keys of the batch that are there, ``topics`` ids by those of its
    topics that are there and were not known. ``topic_id`` is the highest one given, ``sweep_until`` the key
    up to which ids are to be looked at now.
    """

    seq: int
    now: int
    taken: dict[str, int]
    topics: dict[str, int]
    topic_id: int
    sweep_until: str | None


_decode_head = msgspec.json.Decoder(_Head).decode


class Appended(NamedTuple):
    """Result of a batch: results, the new records, and their time.

    Each message has a result.
    """

    results: list[AppendResult]
    records: list[Record]
    time: int


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free on the disk of a folder."""
    return shutil.disk_usage(folder).free


class Batch:
    """Messages to be stored: duplicates set apart, the others encoded at positions.

    Args:
        last: The highest position that has been given.
        now: When the batch is committed, in Unix milliseconds.
        taken: Positions of earlier messages by the keys that this batch would use again.
    """

    def __init__(self, last: int, now: int, taken: dict[str, int]) -> None:
        self.results: list[AppendResult] = []
        self.records: list[Record] = []
        self.ids: dict[str, int] = {}
        self._next = last + 1
        self._now = now
        self._taken = taken

    def add(self, message: NewMessage, key: str | None) -> None:
        """Add a message, unless its dedupe key (None without id) is taken."""
        if key in self._taken:
            self.results.append(AppendResult(self._taken[key], duplicate=True))
            return
        if key is not None:
            self._taken[key] = self.ids[key] = self._next
        self.results.append(AppendResult(self._next, duplicate=False))
        self.records.append(Record(self._next, message.topic, self._encoded(message)))
        self._next += 1

    def _encoded(self, message: NewMessage) -> bytes:
        shown_id = None if message.id is None or message.id.startswith("$") else message.id
        return encode(
            Message(
                message.topic,
                message.content,
                self._next,
                self._now,
                shown_id,
                message.sender,
                message.type,
                message.traceparent,
            )
        )


class Writer:
    """The one writer of a log. Not for two threads at once.

    Every method is all or nothing: after an error the log is as it was before the call.

    Args:
        file: The file of the log, prepared.
        dedupe_window: Seconds for which an id counts.
        clock: Tells the time, in Unix seconds.
        disk_reserve: Bytes to be left free on the disk for trims: no append uses them.
        free_bytes: Returns how many bytes are free on the disk of a folder.

    Raises:
        sqlite3.Error: If the file cannot be opened.
    """

    def __init__(
        self,
        file: LogFile,
        *,
        dedupe_window: float,
        clock: Callable[[], float],
        disk_reserve: int = 0,
        free_bytes: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.connection = file.connect(WRITER_CACHE_KIB)
        self._disk_reserve = disk_reserve
        self._free_bytes = free_bytes
        self._file = file
        self._has_failed = False
        self._window = round(dedupe_window * 1000)
        self._clock = clock
        self._topics: dict[str, int] = {}
        self._unswept = 0
        self._swept = ""
        for statement in _BATCHES:
            self.connection.execute(statement)

    def append(self, messages: Sequence[NewMessage], cursors: Mapping[str, int] | None = None) -> Appended:
        """Store a batch, and set cursors, on disk."""
        with self.transaction() if cursors else self._change():
            appended = self.append_at(messages, round(self._clock() * 1000), self._window)
            for name, position in (cursors or {}).items():
                self._run(_SET_CURSOR, name=name, position=position)
            return appended

    def append_at(self, messages: Sequence[NewMessage], clock: int, window: int) -> Appended:
        """Store a batch at a time, within a transaction or its own.

        Args:
            messages: The messages.
            clock: The time, in Unix milliseconds.
            window: Milliseconds for which an id counts; the same in every call.
        """
        self._require_space()
        self._unswept += len(messages)
        keys = [_dedupe_key(message) for message in messages]
        head = self._look_up(keys, {message.topic for message in messages}, clock, window)
        batch = Batch(head.seq, head.now, head.taken)
        for message, key in zip(messages, keys, strict=True):
            batch.add(message, key)
        if batch.records:
            self._insert(batch, head, head.now - window)
        return Appended(batch.results, batch.records, head.now)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes in the block, all or none of them."""
        try:
            with self._change(), self._transaction():
                yield
        except BaseException:
            self._topics.clear()  # some of them may be undone
            raise

    def _require_space(self) -> None:
        """Raise StoreError if an append would use what a trim needs.

        A trim makes room, and needs room itself.
        """
        folder = self._file.path.parent
        free = self._free_bytes(folder)
        if free >= self._disk_reserve:
            return
        (pages,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        (page_size,) = self.connection.execute("PRAGMA page_size").fetchone()
        if free + pages * page_size < self._disk_reserve:
            raise StoreError(
                f"{folder}: the disk is full but for the {self._disk_reserve:,} bytes of disk_reserve"
            )

    def trim(self, seqs: Sequence[int]) -> None:
        """Remove records, and note how far each topic was trimmed."""
        given = to_json(list(seqs))
        with self._change(), self._transaction():
            self._run(_NOTE_TRIMMED_TOPICS, seqs=given)
            self._run(_NOTE_TRIMMED, seqs=given)
            self._run(_TRIM, seqs=given)

    def head(self) -> int:
        """Return the position of the newest record."""
        (seq,) = self.connection.execute(_NEWEST).fetchone()
        return int(seq)

    def set_cursor(self, name: str, seq: int) -> None:
        """Put a consumer's cursor at a position."""
        with self._change():
            self._run(_SET_CURSOR, name=name, position=seq)

    def delete_cursor(self, name: str) -> None:
        """Forget a consumer."""
        with self._change():
            self._run(_DELETE_CURSOR, name=name)

    def truncate_wal(self) -> None:
        """Empty the WAL, unless a reader still needs it."""
        (patience,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        self.connection.execute(f"PRAGMA busy_timeout = {TRUNCATE_PATIENCE}")
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {patience}")

    def close(self) -> None:
        """Close the connection; as the last one it empties the WAL."""
        self.connection.close()

    def _look_up(self, keys: Sequence[str | None], topics: set[str], clock: int, window: int) -> _Head:
        if len(self._topics) > _MAX_KNOWN_TOPICS:
            self._topics.clear()
        head = fetch(
            self.connection,
            _decode_head,
            _HEAD,
            clock=clock,
            window=window,
            keys=to_json([key for key in keys if key is not None]),
            topics=to_json(topics - self._topics.keys()),
            swept=self._swept,
            step=SWEEP_STEP * self._unswept if self._is_sweep_due else 0,
        )
        self._topics |= head.topics
        return head

    def _insert(self, batch: Batch, head: _Head, expired: int) -> None:
        names = dict.fromkeys(record.topic for record in batch.records if record.topic not in self._topics)
        topics = {name: topic_id for topic_id, name in enumerate(names, head.topic_id + 1)}
        rows = []
        start = 1  # as substr counts
        for _, name, body in batch.records:
            rows.append((self._topics.get(name) or topics[name], zlib.crc32(body), start, len(body)))
            start += len(body)
        self._run(
            _APPEND,
            first=head.seq + 1,
            now=head.now,
            topics=to_json(topics),
            rows=to_json(rows),
            bodies=b"".join(record.body for record in batch.records),
            ids=to_json(batch.ids),
            swept=self._swept,
            until=head.sweep_until,
            expired=expired,
        )
        self._topics |= topics
        if self._is_sweep_due:
            self._swept = head.sweep_until or ""
            self._unswept = 0

    @property
    def _is_sweep_due(self) -> bool:
        return self._unswept >= SWEEP_EVERY

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Cut off what a failed commit left, before the next one."""
        if self._has_failed:
            self._file.cut_failed_commit()
            self._has_failed = False
        try:
            yield
        except sqlite3.Error:
            self._has_failed = True
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # SQLite ends it by itself after some errors
                self.connection.execute("ROLLBACK")
            raise

    def _run(self, sql: str, **values: Any) -> None:
        self.connection.execute(sql, values)


def _dedupe_key(message: NewMessage) -> str | None:
    """Return a message's dedupe key, whose two parts have no line breaks."""
    return None if message.id is None else f"{message.sender or ''}\n{message.id}"
