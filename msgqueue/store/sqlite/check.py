"""Check of a log that no process has open, without changing it.

What cannot be told: a message below the highest position ever trimmed that is missing, from one that was
trimmed; and, of what carries no checksum, a wrong value that is possible, such as another position of a
consumer.
"""

import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fanline.protocol import Message, decode_message
from fanline.protocol.topics import is_topic
from msgqueue.store import findings as kinds
from msgqueue.store.findings import LogFindings
from msgqueue.store.sqlite.file import Damage, check_tables, check_version
from msgqueue.store.sqlite.wal import find_loss

Progress = Callable[[str, int, int], None]

MOST_FAULTS: Final = 1000
PROGRESS_ROWS: Final = 1000

# What keeps a sound log from being read; everything else that SQLite complains of is in the file.
_NO_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)

_ABOUT_INDEX: Final = re.compile(r" index (messages_by_topic|sqlite_autoindex_\w+)$")

_MESSAGES: Final = "SELECT seq, topic, time, crc, body FROM messages ORDER BY seq"

_IDS: Final = """
SELECT ids.key, ids.seq, ids.time, messages.time, messages.body
FROM ids LEFT JOIN messages ON messages.seq = ids.seq
"""


class CheckReport(NamedTuple):
    """Result of a check: the findings, and the amount checked.

    Attributes:
        findings: What is wrong; empty if the log is sound.
        messages: How many messages there are.
        head: The highest position given.
    """

    findings: LogFindings
    messages: int = 0
    head: int = 0


def examine(path: Path, progress: Progress = lambda *_: None) -> CheckReport:
    """Check a log from end to end.

    Args:
        path: Its main file. No other process may have it open for writing during the check.
        progress: Told what is being done, how many steps of it are done, and how many there are; 0 of 0 where
            that is unknown.

    Raises:
        ConfigurationError: If a newer version wrote it.
        sqlite3.Error: If it cannot be opened, for another reason than damage.
        OSError: If it cannot be read.
    """
    findings = LogFindings()
    if not _can_be_opened(path, findings):
        return CheckReport(findings)
    wal = path.with_name(f"{path.name}-wal")
    has_wal = wal.exists() and wal.stat().st_size > 0
    with closing(connect_read_only(path, immutable=not has_wal)) as connection:
        return _Examination(connection, findings, progress).run(path)


def connect_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Return a connection that can change neither a log nor its WAL.

    Args:
        path: Its main file.
        immutable: No process writes to it, and it has no WAL: SQLite then creates no other file.
    """
    how = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _can_be_opened(path: Path, findings: LogFindings) -> bool:
    """Look for what SQLite would ignore or delete by opening the log.

    Return False if it is no log.
    """
    with path.open("rb") as file:
        header = file.read(20)
    # An empty file makes SQLite remove the WAL; of a journal mode it does not know, it only reads.
    if header[18:] not in (b"\1\1", b"\2\2"):
        findings.add(kinds.NOT_A_LOG, "it does not begin as a database does" if header else "it is empty")
        return False
    loss = find_loss(path)
    if loss is not None:
        findings.add(kinds.WAL_LOST if loss.is_certain else kinds.WAL_UNFINISHED, loss.what)
    return loss is None or not loss.is_certain


class _Examination:
    """One check of one log; each method looks at one thing."""

    def __init__(self, connection: sqlite3.Connection, findings: LogFindings, progress: Progress) -> None:
        self._connection = connection
        self._findings = findings
        self._progress = progress
        self._topics: dict[int, str] = {}
        self._trimmed = 0
        self._messages = 0
        self._last = 0
        self._time = 0

    def run(self, path: Path) -> CheckReport:
        if self._is_log(path):
            with self._noting_damage():
                self._check_structure()
            with self._noting_damage():
                self._check_content()
        return CheckReport(self._findings, self._messages, self._head)

    @property
    def _head(self) -> int:
        return max(self._trimmed, self._last)

    def _is_log(self, path: Path) -> bool:
        try:
            with self._noting_damage():
                check_tables(self._connection, check_version(self._connection, path))
                return True
        except Damage as damage:
            self._findings.add(kinds.NOT_A_LOG, str(damage))
        return False

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Report errors of SQLite as findings; they end the block."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DAMAGE:
                raise
            self._findings.add(kinds.STRUCTURE, str(error))

    def _check_structure(self) -> None:
        self._progress("SQLite's own check", 0, 0)
        for (fault,) in self._connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})"):
            if fault != "ok":
                kind = kinds.INDEX if _ABOUT_INDEX.search(fault) else kinds.STRUCTURE
                self._findings.add(kind, fault)

    def _check_content(self) -> None:
        """Check the content of the tables, each by those before it.

        So the check ends at one that cannot be read.
        """
        self._check_log()
        self._check_topics()
        self._check_messages()
        self._check_mark()
        self._check_consumers()
        self._check_ids()

    def _check_log(self) -> None:
        (trimmed,) = self._one("SELECT trimmed FROM log")
        if _is_position(trimmed):
            self._trimmed = trimmed
        else:
            self._findings.add(kinds.MARK, f"{trimmed!r} is no position")

    def _check_topics(self) -> None:
        for number, name, trimmed in self._connection.execute("SELECT id, name, trimmed FROM topics"):
            self._topics[number] = name
            if not isinstance(name, str) or not is_topic(name):
                self._findings.add(kinds.TOPIC, f"{name!r} is no topic")
            elif not _is_position(trimmed, self._trimmed):
                self._findings.add(kinds.TOPIC, f"{name} is said to be trimmed up to {trimmed!r}")

    def _check_messages(self) -> None:
        _, last = self._one("SELECT min(seq), max(seq) FROM messages")
        for seq, topic, time, crc, body in self._rows("messages", last or 0, _MESSAGES):
            self._messages += 1
            self._check_place(seq, time)
            self._check_body(seq, topic, time, crc, body)

    def _check_place(self, seq: int, time: Any) -> None:
        """Compare a message with the one before it."""
        first = max(self._last, self._trimmed) + 1
        if first < seq:
            self._findings.add(kinds.HOLE, f"{first}" if first == seq - 1 else f"{first} to {seq - 1}")
        self._last = seq
        if not isinstance(time, int):
            return  # it is not that of the body, which is said there
        if time < self._time:
            self._findings.add(kinds.TIME, f"{seq}")
        self._time = max(time, self._time)

    def _check_body(self, seq: int, topic: Any, time: Any, crc: Any, body: Any) -> None:
        """Compare what is noted of a message with its body."""
        if topic not in self._topics:
            self._findings.add(kinds.NO_TOPIC, f"{seq}")
        message = _decoded(body) if isinstance(body, bytes) and zlib.crc32(body) == crc else None
        if message is None:
            self._findings.add(kinds.BODY, f"{seq}")
            return
        noted = (seq, self._topics.get(topic, message.topic), time)
        born = (message.seq, message.topic, message.time)
        if noted != born:
            self._findings.add(kinds.LABEL, f"{seq} ({_difference(noted, born)})")

    def _check_mark(self) -> None:
        """Compare the trimmed position and its time with topics and messages."""
        trimmed, time = self._one("SELECT trimmed, time FROM log")
        (highest,) = self._one("SELECT ifnull(max(trimmed), 0) FROM topics")
        if trimmed != highest:
            self._findings.add(kinds.MARK, f"it says {trimmed!r}, and the topics {highest!r}")
        if not _is_position(time) or (self._last > self._trimmed and time > self._time):
            self._findings.add(kinds.MARK, f"its time, {time!r}, is not before that of the newest message")

    def _check_consumers(self) -> None:
        for name, position in self._connection.execute("SELECT name, position FROM consumers"):
            if not _is_position(position, self._head):
                self._findings.add(kinds.CURSOR, f"{name} at {position!r}, beyond {self._head}")

    def _check_ids(self) -> None:
        (count,) = self._one("SELECT count(*) FROM ids")
        for row in self._rows("ids", count, _IDS):
            if fault := self._id_fault(*row):
                key, seq, *_ = row
                self._findings.add(kinds.ID, f"{key!r} for {seq!r} ({fault})")

    def _id_fault(self, key: Any, seq: Any, time: Any, stored_at: int | None, body: Any) -> str | None:
        if not isinstance(key, str):
            return "which is no text"
        if not _is_position(seq, self._head):
            return "beyond the log"
        if body is None:
            return "which is not there" if seq > self._trimmed else None
        message = _decoded(body) if isinstance(body, bytes) else None
        if message is None:
            return None  # the message is what is wrong, and was found
        sender, _, id_ = key.partition("\n")
        is_hidden = message.id is None and id_.startswith("$")
        if sender != (message.sender or "") or not (is_hidden or id_ == message.id):
            return "which has another"
        return "which is of another time" if time != stored_at else None

    def _rows(self, what: str, total: int, sql: str) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(self._connection.execute(sql)):
            if number % PROGRESS_ROWS == 0:
                self._progress(what, number, max(number, total))
            yield row

    def _one(self, sql: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._connection.execute(sql).fetchone()
        return row


def _is_position(value: Any, highest: int = (1 << 63) - 1) -> bool:
    return isinstance(value, int) and 0 <= value <= highest


def _decoded(body: bytes) -> Message | None:
    try:
        return decode_message(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _difference(noted: tuple[Any, ...], born: tuple[Any, ...]) -> str:
    names = ("position", "topic", "time")
    return ", ".join(
        f"{name} {mine} and not {its}"
        for name, mine, its in zip(names, noted, born, strict=True)
        if mine != its
    )
