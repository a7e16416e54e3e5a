"""The folder of a log: its lock, its SQLite file, its checks.

::

    data/log.lock          locked (flock) by the one process that has the log open, until that ends; has the
                           epoch of the log, and so is missing, or has another one, next to a restored copy
    data/log.sqlite3       the log
    data/log.sqlite3-wal   what was committed and is not in log.sqlite3 yet: as precious as that
    data/log.sqlite3-shm   SQLite's index of the former; created again when missing
"""

import fcntl
import logging
import os
import pwd
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from fanline.errors import ConfigurationError, StoreError
from fanline.setting_sources import fit_cache
from msgqueue.store.sqlite.wal import cut_failed_commit, find_loss

logger = logging.getLogger(__name__)

APPLICATION_ID: Final = int.from_bytes(b"Fanl", "big")
VERSION: Final = 3
NAME: Final = "log.sqlite3"
OLDEST_SQLITE: Final = (3, 33, 0)  # UPDATE … FROM

# `log` has one row: the highest seq that was ever trimmed, and its time; an emptied log goes on from there.
# `body` comes last: of a row SQLite reads up to the last column that is asked for.
# `identity` has one row, a random name.
_IDENTITY: Final = "CREATE TABLE identity (epoch TEXT NOT NULL)"
_BY_TRIMMED: Final = "CREATE INDEX topics_by_trimmed ON topics (trimmed)"
SCHEMA: Final = (
    "CREATE TABLE topics"
    " (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, trimmed INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE messages"
    " (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, time INTEGER NOT NULL, crc INTEGER NOT NULL,"
    " body BLOB NOT NULL)",
    "CREATE INDEX messages_by_topic ON messages (topic)",
    "CREATE TABLE ids (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE consumers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE log (trimmed INTEGER NOT NULL, time INTEGER NOT NULL)",
    _IDENTITY,
    _BY_TRIMMED,
)

# What each version has added.
_ADDED: Final = {2: (_IDENTITY, "INSERT INTO identity VALUES ('')"), 3: (_BY_TRIMMED,)}

# Only in a log that is a replica: how far it has applied the journal, in one row.
REPLICA: Final = "CREATE TABLE replica (state BLOB NOT NULL)"

_NEW_LOG: Final = (
    "BEGIN",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
    *SCHEMA,
    "INSERT INTO log VALUES (0, 0)",
    "INSERT INTO identity VALUES ('')",
    "COMMIT",
)

EPOCH_BYTES: Final = 6

# SQLite checks this much in half a second. To check all of a log of 100 GB would keep the service down for
# minutes at each start; of a larger one only the small tables are, on which the others depend.
CHECKED_WHOLE: Final = 128 << 20
_SMALL_TABLES: Final = ("topics", "consumers", "log")

# Above this size the WAL is emptied; it is 16 MB as a rule, and more when readers stayed on its beginning.
WAL_BYTES: Final = 32 << 20

# Pages that a connection keeps in memory, in KiB. Ids are random, and so each append needs other pages.
CACHE_KIB: Final = 16_384
WRITER_CACHE_KIB: Final = 32_768

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS, where fsync leaves the data in the drive's cache
    "checkpoint_fullfsync = ON",
    "cell_size_check = ON",
    "wal_autocheckpoint = 4000",  # 16 MB: fewer make random ids costly, more make the pause long
    f"journal_size_limit = {WAL_BYTES}",
)

_IN_USE: Final = "another msgqueue has it open; stop that one, or choose another folder"

_CAUSES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "{user} cannot write to it: look at owner and mode, or the disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "{user} cannot open it, or not make files in its folder: look at owner and mode",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore it from a back-up",
    sqlite3.SQLITE_CONSTRAINT: "it is damaged: restore it from a back-up",
    sqlite3.SQLITE_NOTADB: "it is not a database, or its header is damaged: restore it from a back-up",
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


class Damage(Exception):
    """The file can be read, but its content is inconsistent."""


class FolderInUse(ConfigurationError):
    """Another process has the log of the folder open."""


class LogFile:
    """The file of a log, whose folder it locks until :meth:`close`.

    Args:
        folder: Where the log is; made if it is missing.
        is_replica: Its writes come from the journal of a cluster, or will.
        checked_whole: Bytes up to which a log is checked whole.

    Attributes:
        epoch: Random name of the log, another one for a copy that was restored; known once it is prepared.

    Raises:
        FolderInUse: If another process has locked it.
        ConfigurationError: If the folder cannot be used.
    """

    def __init__(self, folder: Path, *, is_replica: bool = False, checked_whole: int = CHECKED_WHOLE) -> None:
        self.path = folder / NAME
        self._is_replica = is_replica
        self._checked_whole = checked_whole
        self.epoch = ""
        self._lock = _lock(folder)

    def prepare(self) -> None:
        """Create the log if missing, and check that it is sound.

        Raises:
            ConfigurationError: If a newer version wrote it, it belongs to a cluster, or SQLite is too old.
            Damage: If it is not a sound log.
            sqlite3.Error: If it cannot be read or written.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigurationError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and msgqueue needs"
                f" {'.'.join(map(str, OLDEST_SQLITE))} or newer"
            )
        if not self.path.exists():
            self._create()
        if self.wal_bytes > WAL_BYTES:
            size = self.wal_bytes / 1e6
            logger.warning(
                "%s: checking %d MB of its WAL; this takes a second for each 100 MB", self.path, size
            )
        self.require_whole()
        with closing(self.connect()) as connection:
            self._check(connection)
            self.cut_failed_commit()
            self.epoch = self._identify(connection)

    def cut_failed_commit(self) -> None:
        """Cut a failed last commit off the WAL of an open log.

        Raises:
            OSError: If that fails; then nothing may be written.
        """
        cut_failed_commit(self.path)

    def require_whole(self) -> None:
        """Raise Damage if SQLite would delete data by opening the log.

        Raises:
            Damage: If there is such data.
        """
        if self.path.stat().st_size == 0:
            raise Damage("it is empty")
        loss = find_loss(self.path)
        if loss is not None and loss.is_certain:
            raise Damage(loss.what)
        if loss is not None:
            logger.warning(
                "%s: %s: after a power cut these are interrupted commits, never acknowledged;"
                " otherwise it was damaged",
                self.path,
                loss.what,
            )

    def connect(self, cache_kib: int = CACHE_KIB) -> sqlite3.Connection:
        """Return a new connection in autocommit mode, for use by any thread.

        Raises:
            sqlite3.Error: If the file cannot be opened.
        """
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (*_PRAGMAS, f"cache_size = -{fit_cache(cache_kib << 10) >> 10}"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @property
    def wal_bytes(self) -> int:
        """Size of the WAL."""
        wal = self._sibling("-wal")
        return wal.stat().st_size if wal.exists() else 0

    def checkpoint(self) -> int:
        """Move the WAL into the main file; return pages held by readers.

        Raises:
            sqlite3.Error: If that fails.
        """
        with closing(self.connect()) as connection:
            _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(pages - moved)

    def close(self) -> None:
        """Unlock the folder; the connections must be closed by then."""
        os.close(self._lock)

    def _create(self) -> None:
        """Create a log under another name, and rename it when complete."""
        wal = self._sibling("-wal")
        if wal.exists():
            raise Damage(f"it is missing, but {wal.name} is there")
        new = self._sibling("-new")
        new.unlink(missing_ok=True)
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            for statement in _NEW_LOG:
                connection.execute(statement)
        new.rename(self.path)
        sync(self.path.parent)

    def _check(self, connection: sqlite3.Connection) -> None:
        version = check_version(connection, self.path)
        check_tables(connection, version)
        if not self._is_replica and _has_table(connection, "replica"):
            raise ConfigurationError(
                f'{self.path}: it is a replica in a cluster; set store = "jetstream", or choose another'
                " data_dir"
            )
        if self._size() <= self._checked_whole:
            _check_integrity(connection, "integrity_check(1)")
        else:
            for table in _SMALL_TABLES:
                _check_integrity(connection, f"integrity_check({table})")
        if version < VERSION:
            upgrade = (*_added_after(version), f"PRAGMA user_version = {VERSION}")
            for statement in ("BEGIN IMMEDIATE", *upgrade, "COMMIT"):
                connection.execute(statement)
        # A real commit: SQLite begins a transaction, and says nothing, also where nothing can be written.
        connection.execute(f"PRAGMA user_version = {VERSION}")

    def _identify(self, connection: sqlite3.Connection) -> str:
        """Return the epoch: a new one for a new or restored log."""
        (epoch,) = connection.execute("SELECT epoch FROM identity").fetchone()
        if epoch and os.pread(self._lock, 100, 0).decode(errors="replace") == epoch:
            return str(epoch)
        if epoch:
            logger.warning(
                "%s: it was restored from a copy: clients are told that positions start again", self.path
            )
        epoch = f"e{secrets.token_hex(EPOCH_BYTES)}"  # never a number
        self.adopt(connection, epoch)
        return epoch

    def adopt(self, connection: sqlite3.Connection, epoch: str) -> None:
        """Give the log an epoch; a failure half-way leads to another one.

        Raises:
            sqlite3.Error: If the log cannot be written.
            OSError: If the lock file cannot be written.
        """
        connection.execute("UPDATE identity SET epoch = ?", (epoch,))
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, epoch.encode(), 0)
        os.fsync(self._lock)

    def _size(self) -> int:
        files = (self.path, self._sibling("-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _sibling(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate errors of the log's file to :class:`~fanline.errors.StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        cause = _CAUSES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "SQLite failed")
        raise StoreError(f"{path}: {cause.format(user=_user())} ({error})") from error
    except PermissionError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror} for {_user()}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (Damage, msgspec.DecodeError) as error:
        raise StoreError(f"{path}: {_CAUSES[sqlite3.SQLITE_CORRUPT]} ({error})") from error


def _user() -> str:
    """Return the user of this process, as an error names it."""
    number = os.geteuid()
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the number {number}"


def sync(folder: Path) -> None:
    """Bring the names of the files in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the folder's lock until it is closed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "log.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise ConfigurationError(f"data_dir {error.filename}: {error.strerror} for {_user()}") from error
    except OSError as error:
        raise ConfigurationError(f"data_dir {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise FolderInUse(f"data_dir {folder}: {_IN_USE}") from error
        raise ConfigurationError(f"data_dir {folder}: {error.strerror}") from error
    return lock


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a log.

    Raises:
        Damage: If it is no log.
        ConfigurationError: If it is one of a newer version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version < 1:
        raise Damage("its header is not that of a log")
    if version > VERSION:
        raise ConfigurationError(
            f"{path}: a newer msgqueue wrote it (format {version}, and this one knows {VERSION});"
            " start that one, or choose another data_dir"
        )
    return int(version)


def mark_as_copy(connection: sqlite3.Connection) -> None:
    """Mark a copy of a log; its first use creates an epoch."""
    if _has_table(connection, "identity"):
        connection.execute("UPDATE identity SET epoch = 'copy'")
        connection.commit()


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    return bool(found[0])


def check_tables(connection: sqlite3.Connection, version: int) -> None:
    """Raise :class:`Damage` unless the tables are a log's of this version."""
    found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema") if sql}
    expected = set(SCHEMA) - set(_added_after(version))
    if found - {REPLICA} != expected:
        raise Damage("its tables are not those of a log")
    if connection.execute("SELECT count(*) FROM log").fetchone() != (1,):
        raise Damage("what it knew of trimmed messages is lost")
    if version > 1 and connection.execute("SELECT count(*) FROM identity").fetchone() != (1,):
        raise Damage("its epoch is lost")


def _added_after(version: int) -> list[str]:
    return [statement for added, statements in _ADDED.items() if added > version for statement in statements]


def _check_integrity(connection: sqlite3.Connection, pragma: str) -> None:
    (verdict,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    if verdict != "ok":
        raise Damage(verdict)
