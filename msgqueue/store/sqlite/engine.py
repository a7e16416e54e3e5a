"""The built-in engine: the log in one SQLite file, in WAL mode.

Commits are made with ``synchronous=FULL``. Three threads run next to the event loop: the writer's, where one
transaction follows the other, the reader's, and one that moves the WAL into the main file. None waits for
another. What is done on the first two is in :mod:`msgqueue.store.sqlite.writer` and
:mod:`msgqueue.store.sqlite.reader`; here is the way there and back.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, ParamSpec, Self, TypeVar

from fanline.errors import Closed, ConfigurationError, StoreError
from fanline.protocol import NewMessage, Page, Record
from msgqueue.store.base import (
    DEFAULT_PAGE_BYTES,
    PAGE_RECORDS,
    AppendResult,
    Bounds,
    Listener,
    RecordHeader,
    Store,
)
from msgqueue.store.sqlite.file import CHECKED_WHOLE, WAL_BYTES, LogFile, translated
from msgqueue.store.sqlite.reader import Reader
from msgqueue.store.sqlite.wal import OpenIndex
from msgqueue.store.sqlite.writer import Writer, free_bytes
from msgqueue.store.thread import CallThread

# Pages in the WAL that are moved into the main file at a time: 4 MB. SQLite moves the rest at 16 MB.
MOVED_PAGES: Final = 1_000

P = ParamSpec("P")
T = TypeVar("T")


class SqliteEngine(Store):
    """A log in a folder of this machine, without its write path."""

    def __init__(self, file: LogFile, writer: Writer, reader: Reader) -> None:
        self._file = file
        self._writer = writer
        self._reader = reader
        self._writing = CallThread("store-writer")
        self._reading = CallThread("store-reader")
        self._mover = CallThread("store-mover")
        self._listeners: list[Listener] = []
        self._index = OpenIndex(file.path)
        self._moving: asyncio.Future[int] | None = None
        self._unmovable = 0  # pages in the WAL that a reader needed when they were to be moved
        self._closing: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> str:
        """See :meth:`Store.epoch`."""
        return self._file.epoch

    @property
    def damaged(self) -> int:
        """See :meth:`Store.damaged`."""
        return self._reader.damaged

    def follow(self, listener: Listener) -> None:
        """See :meth:`Store.follow`."""
        self._listeners.append(listener)

    async def read(
        self,
        after: int,
        *,
        patterns: Sequence[str] | None = None,
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> Page:
        """See :meth:`Store.read`."""
        return await self._read(self._reader.read, after, patterns, limit, max_bytes)

    async def read_back(
        self,
        before: int,
        *,
        patterns: Sequence[str] | None = None,
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> list[Record]:
        """See :meth:`Store.read_back`."""
        return await self._last(self._reader.read_back(before, patterns, limit, max_bytes), [])

    async def read_newest(
        self,
        until: int,
        after: int,
        *,
        patterns: Sequence[str],
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> Page:
        """See :meth:`Store.read_newest`."""
        pages = self._reader.read_newest(until, after, patterns, limit, max_bytes)
        return await self._last(pages, Page([], after))

    async def headers(
        self, after: int, *, topic: str | None = None, limit: int = PAGE_RECORDS
    ) -> list[RecordHeader]:
        """See :meth:`Store.headers`."""
        return await self._read(self._reader.headers, after, topic, limit)

    async def bounds(self) -> Bounds:
        """See :meth:`Store.bounds`."""
        return await self._read(self._reader.bounds)

    async def trimmed(self, patterns: Sequence[str] | None = None, *, after: int = 0) -> int:
        """See :meth:`Store.trimmed`."""
        return await self._last(self._reader.trimmed(patterns, after), 0)

    async def trim(self, seqs: Sequence[int]) -> None:
        """See :meth:`Store.trim`."""
        await self._write(self._writer.trim, seqs)

    async def cursors(self) -> dict[str, int]:
        """See :meth:`Store.cursors`."""
        return await self._read(self._reader.cursors)

    async def tidy(self) -> None:
        """Empty a WAL that has grown too large; see :meth:`Store.tidy`.

        It grows while a reader stays at its beginning.
        """
        if self._file.wal_bytes <= WAL_BYTES:
            return
        await asyncio.shield(self._move())
        await self._write(self._writer.truncate_wal)

    async def close(self) -> None:
        """See :meth:`Store.close`."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        """Close everything, the writer's connection last.

        That moves all of the WAL into the file.
        """
        if self._moving is not None:
            await asyncio.wait([self._moving])
        try:
            await self._reading.call(self._reader.close)
            await self._writing.call(self._writer.close)
        finally:
            self._index.close()
            self._file.close()
            for thread in (self._reading, self._writing, self._mover):
                thread.stop()

    def _announce(self, records: Sequence[Record]) -> None:
        if records:
            for listener in self._listeners:
                listener(records)
        if self._closing is None:
            self._move_in_time()

    def _move_in_time(self) -> None:
        """Move the WAL before SQLite does it within a commit.

        Such a commit takes 100 ms.
        """
        unmoved = self._index.unmoved
        self._unmovable = min(self._unmovable, unmoved)
        if unmoved - self._unmovable >= MOVED_PAGES:
            self._move()

    def _move(self) -> "asyncio.Future[int]":
        """Start moving the WAL into the main file, while commits go on.

        A move that is in progress is not started again.
        """
        if self._moving is None or self._moving.done():
            self._moving = self._mover.call(self._translated(self._file.checkpoint), self._note_unmovable)
            self._moving.add_done_callback(lambda moved: moved.cancelled() or moved.exception())
        return self._moving

    def _note_unmovable(self, pages: int) -> None:
        self._unmovable = pages

    def _translated(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        """Wrap a function for a thread, translating the errors that it raises."""
        if self._closing is not None:
            raise Closed(f"the log {self._file.path} has been closed")

        def call() -> T:
            with translated(self._file.path):
                return function(*args, **kwargs)

        return call

    async def _read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._reading.call(self._translated(function, *args, **kwargs))

    async def _write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writing.call(self._translated(function, *args, **kwargs))

    async def _last(self, results: Iterator[T], default: T) -> T:
        """Return the last of the reader's results.

        Between two of them other reads have their turn.
        """
        result: T | None = default
        while result is not None:
            default = result
            result = await self._read(next, results, None)
        return default


class SqliteStore(SqliteEngine):
    """A log of this process alone. Made by :meth:`open`."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        dedupe_window: float,
        disk_reserve: int = 0,
        clock: Callable[[], float] = time.time,
        free_bytes: Callable[[Path], int] = free_bytes,
    ) -> Self:
        """Open the log in a folder, or begin one there.

        A log of up to 128 MB is checked whole. Of a larger one the header, the length and the small tables
        are; damage elsewhere in it is a :class:`~fanline.errors.StoreError` when it is come upon.

        Args:
            folder: Where it is; made if it is missing.
            dedupe_window: Seconds for which an id counts.
            disk_reserve: Bytes to be left free on the disk for trims: no append uses them.
            clock: Tells the time, in Unix seconds.
            free_bytes: Returns how many bytes are free on the disk of a folder.

        Raises:
            ConfigurationError: If another process has the log open, the folder cannot be used, or what is in
                it is damaged, no log at all, or one of a newer version.
        """
        return cls(
            *await open_files(
                folder,
                dedupe_window=dedupe_window,
                disk_reserve=disk_reserve,
                clock=clock,
                free_bytes=free_bytes,
            )
        )

    async def append(
        self, messages: Sequence[NewMessage], *, cursors: Mapping[str, int] | None = None
    ) -> list[AppendResult]:
        """See :meth:`Store.append`."""
        appending = self._translated(self._writer.append, messages, cursors)
        appended = await self._writing.call(appending, lambda done: self._announce(done.records))
        return appended.results

    async def set_cursor(self, name: str, seq: int) -> None:
        """See :meth:`Store.set_cursor`."""
        await self._write(self._writer.set_cursor, name, seq)

    async def delete_cursor(self, name: str) -> None:
        """See :meth:`Store.delete_cursor`."""
        await self._write(self._writer.delete_cursor, name)


class LogFiles(NamedTuple):
    """An opened log: its file, and the two that work on it."""

    file: LogFile
    writer: Writer
    reader: Reader


async def open_files(
    folder: Path,
    *,
    dedupe_window: float,
    disk_reserve: int,
    clock: Callable[[], float],
    free_bytes: Callable[[Path], int] = free_bytes,
    is_replica: bool = False,
    checked_whole: int = CHECKED_WHOLE,
) -> LogFiles:
    """Open the files of a log, as :meth:`SqliteStore.open`.

    A log that ``is_replica`` is written to from a journal. One of up to ``checked_whole`` bytes is checked
    whole.

    Raises:
        ConfigurationError: As there, and if it is a replica and that is not expected.
    """

    def open_file() -> LogFile:
        return LogFile(folder, is_replica=is_replica, checked_whole=checked_whole)

    def open_writer(file: LogFile) -> Writer:
        return Writer(
            file,
            dedupe_window=dedupe_window,
            clock=clock,
            disk_reserve=disk_reserve,
            free_bytes=free_bytes,
        )

    opening = asyncio.get_running_loop().run_in_executor(None, _open, open_file, open_writer)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(ConfigurationError):  # it cannot be stopped, only undone
            close_files(await opening)
        raise


def close_files(files: LogFiles) -> None:
    """Close an opened log on this thread."""
    files.reader.close()
    files.writer.close()
    files.file.close()


def _open(open_file: Callable[[], LogFile], open_writer: Callable[[LogFile], Writer]) -> LogFiles:
    file = open_file()
    try:
        with translated(file.path):
            file.prepare()
            return LogFiles(file, open_writer(file), Reader(file.connect()))
    except (StoreError, ConfigurationError) as error:
        file.close()
        raise ConfigurationError(str(error)) from error
