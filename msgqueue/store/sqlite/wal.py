"""Detection of WAL commits that SQLite would drop without an error.

From the WAL of a log that was not closed SQLite takes what is whole, up to the first frame that is not, and
passes over the rest without a word. That is right for what a crash interrupted, and wrong for what was
damaged afterwards. Two things tell these apart:

* A commit begins when the one before it is on disk. So a crash leaves one unfinished at most, as the last.
  The frames of a commit that failed are cut off before the next one begins.
* SQLite's index of the WAL, if it is still there, has the number of frames that were committed. It is exact
  when a process was killed. After a power cut it may have too few, or those of the commit in progress, too:
  a file that is mapped reaches the disk in any order.

::

    log.sqlite3-wal   magic, version, page size, checkpoint, salt 1, salt 2, checksum: 8 numbers of 4 bytes,
                      big-endian; then frames: page number, pages of the file if this ends a commit, salt 1,
                      salt 2, checksum, and the page. Frames of another salt are from before the WAL was begun
                      again. Each checksum, of 8 bytes, goes on from the one before it.
    log.sqlite3-shm   version, 3 numbers, frames, 3 numbers, salts as above, checksum: 48 bytes, in the order
                      of this machine, twice; then the number of frames that are in log.sqlite3 already.
                      In each block of 32 KB up to 4,096 numbers of 4 bytes: the page that each frame holds
"""

import os
import shutil
import sqlite3
import struct
import sys
from array import array
from collections.abc import Iterator
from contextlib import closing
from functools import cache, partial
from itertools import pairwise
from operator import mul
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

_MAGIC: Final = 0x377F0682  # plus one if the checksums are of big-endian numbers
_VERSION: Final = 3_007_000
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_INDEX: Final = struct.Struct("=IIIIIIII8sII")
_INDEX_SIZE: Final = 2 * _INDEX.size + 4
_FRAMES_OFFSET: Final = 16
_MOVED_OFFSET: Final = 2 * _INDEX.size
_BLOCK: Final = 32 << 10
_BLOCK_FRAMES: Final = 4096
_FIRST_BLOCK_OFFSET: Final = 34  # numbers: the first block begins with 136 bytes of something else

_MASK: Final = (1 << 32) - 1
_HALF: Final = 80  # bits: above what a sum of products of two 32-bit numbers can grow to

_Pair = tuple[int, int]


class Loss(NamedTuple):
    """Commits that SQLite would pass over.

    Attributes:
        what: In words.
        is_certain: False if it may be no loss, but what a power cut interrupted before it was acknowledged.
    """

    what: str
    is_certain: bool


def find_loss(log: Path) -> Loss | None:
    """Return the loss that opening a closed log would cause, or None.

    Args:
        log: Its main file; the others are in the same folder.

    Raises:
        OSError: If a file cannot be read.
    """
    index = _Index.read(log.with_name(f"{log.name}-shm"))
    try:
        with log.with_name(f"{log.name}-wal").open("rb") as file:
            return _compare(file, index, count_taken(log))
    except FileNotFoundError:
        if index is None or index.frames <= index.moved:
            return None
        return Loss(f"the WAL is missing, and had {index.frames:,} pages", True)


def count_taken(log: Path) -> int:
    """Return how many frames of a closed log's WAL SQLite takes.

    It is 0 if that cannot be tried. It is tried with links to the files, read-only, so that neither they nor
    the index are changed. SQLite computes checksums twenty times faster than :func:`find_loss`, which goes on
    from there.
    """
    folder = log.with_name("log.check")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # left by a process that was killed
        folder.mkdir(mode=0o700)
        try:
            for suffix in ("", "-wal"):
                os.link(log.with_name(log.name + suffix), folder / (log.name + suffix))
            address = f"{(folder / log.name).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                index = _Index.read(folder / f"{log.name}-shm")
        finally:
            shutil.rmtree(folder)
    except (OSError, sqlite3.Error):
        return 0
    return index.frames if index else 0


def cut_failed_commit(log: Path) -> None:
    """Cut off what a failed commit left in an open log's WAL.

    SQLite writes the next commit over it, and leaves what is longer: after a crash that would look like
    damage. To be called while no commit is in progress.

    Raises:
        OSError: If it cannot be cut off, or this not be brought to disk.
    """
    index = _Index.read(log.with_name(f"{log.name}-shm"))
    path = log.with_name(f"{log.name}-wal")
    if index is None or not path.exists():
        return
    with path.open("r+b") as file:
        header = _Header.parse(file.read(_HEADER.size))
        page_size = 0 if header is None else header.page_size
        committed = _HEADER.size + index.frames * (_FRAME.size + page_size) if index.frames else 0
        if file.seek(0, os.SEEK_END) > committed:
            file.truncate(committed)
            os.fsync(file.fileno())


class OpenIndex:
    """The index of the WAL of an open log.

    Args:
        log: The main file of the log. It is to stay open until :meth:`close`: to close any file of it takes
            the locks of SQLite away (fcntl(2): those of a process end when it closes the file anywhere).
    """

    def __init__(self, log: Path) -> None:
        self._descriptor = os.open(log.with_name(f"{log.name}-shm"), os.O_RDONLY)

    @property
    def unmoved(self) -> int:
        """Number of WAL frames that are not in the main file.

        It is not exact while a commit ends.
        """
        data = os.pread(self._descriptor, _INDEX_SIZE, 0)
        return max(0, _number(data, _FRAMES_OFFSET) - _number(data, _MOVED_OFFSET))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class _Index(NamedTuple):
    """State of the WAL, as recorded in its index."""

    frames: int
    salts: bytes
    moved: int
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the content of the file; None if missing or incomplete."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        first, second = data[: _INDEX.size], data[_INDEX.size : 2 * _INDEX.size]
        if len(data) < _INDEX_SIZE or first != second:
            return None
        version, *_, frames, _, _, _, salts, sum_1, sum_2 = _INDEX.unpack(first)
        is_whole = _checksum((0, 0), first[:-8], sys.byteorder) == (sum_1, sum_2)
        moved = _number(data, _MOVED_OFFSET)
        return cls(frames, salts, moved, data) if is_whole and version == _VERSION else None

    def is_one_commit(self, first: int) -> bool:
        """Return whether the frames from ``first`` on may be of one commit.

        The pages of a commit are in ascending order, and two commits have a page in common.
        """
        pages = [self._page(frame) for frame in range(first, self.frames + 1)]
        return 0 not in pages and all(a < b for a, b in pairwise(pages))

    def _page(self, frame: int) -> int:
        block, number = divmod(frame - 1 + _FIRST_BLOCK_OFFSET, _BLOCK_FRAMES)
        return _number(self.data, block * _BLOCK + 4 * number)


def _number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], sys.byteorder)


class _Header(NamedTuple):
    """The beginning of a WAL."""

    order: str
    page_size: int
    salts: _Pair
    checksum: _Pair

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return the header; None if SQLite did not write these bytes."""
        if len(data) < _HEADER.size:
            return None
        magic, version, page_size, _, salt_1, salt_2, sum_1, sum_2 = _HEADER.unpack(data)
        order = "big" if magic & 1 else "little"
        checksum = _checksum((0, 0), data[:-8], order)
        if magic & ~1 != _MAGIC or version != _VERSION or checksum != (sum_1, sum_2):
            return None
        return cls(order, page_size, (salt_1, salt_2), checksum)


class _Frame(NamedTuple):
    """One page in a WAL, written since its last restart."""

    number: int
    is_commit: bool
    is_whole: bool


def _compare(wal: BinaryIO, index: _Index | None, taken: int) -> Loss | None:
    beginning = wal.read(_HEADER.size)
    header = _Header.parse(beginning)
    if header is None:
        return _without_header(beginning, wal, index)
    passed_over = []
    for frame in _frames(wal, header, taken):
        if not frame.is_whole:
            passed_over.append(frame)
        elif frame.is_commit:
            taken = frame.number
    known = index.frames if index and index.salts == beginning[16:24] else 0
    if index and known > taken:
        return _missing(index, taken, is_there=bool(passed_over))
    # What follows is of commits that failed: had one succeeded, the index would have it.
    return None if known == taken > 0 else _judge(passed_over)


def _without_header(beginning: bytes, wal: BinaryIO, index: _Index | None) -> Loss | None:
    if len(beginning) < _HEADER.size:
        return _without_wal(index)
    # The header is on disk before the first frame is written. Only what was never brought there is zeros.
    if not any(beginning) and not any(map(any, iter(partial(wal.read, 1 << 20), b""))):
        return _without_wal(index)
    return Loss("the beginning of the WAL is damaged, and without it nothing in it counts", True)


def _without_wal(index: _Index | None) -> Loss | None:
    if index is None or index.frames <= index.moved:
        return None
    return _missing(index, 0, is_there=False)


def _missing(index: _Index, taken: int, *, is_there: bool) -> Loss:
    """Return the loss of pages that the index counts.

    The pages are not in the WAL, or ``is_there`` says that they are damaged.
    """
    lost = index.frames - taken
    if not is_there and index.is_one_commit(taken + 1):
        return Loss(f"the last commit is not in the WAL, which ends {lost:,} pages before it", False)
    return Loss(f"of the {index.frames:,} pages committed to the WAL the last {lost:,} are lost", True)


def _judge(passed_over: list[_Frame]) -> Loss | None:
    """Return what was lost: by damage, an interruption, or nothing.

    Damage shows by commits after the first one that is not whole.
    """
    if not passed_over:
        return None
    first = passed_over[0].number
    commits = [frame.number for frame in passed_over if frame.is_commit]
    if commits and passed_over[-1].number > commits[0]:
        return Loss(
            f"the WAL is damaged at page {first:,}, and {len(commits):,} commits or more end there", True
        )
    return Loss(f"the last commit in the WAL is not whole, from page {first:,} on", False)


def _frames(wal: BinaryIO, header: _Header, after: int) -> Iterator[_Frame]:
    """Yield the frames of the WAL that follow ``after`` whole ones.

    After a frame that is not whole, none is.
    """
    checksum = header.checksum
    is_whole = True
    number = after
    if after:
        wal.seek(_HEADER.size + (after - 1) * (_FRAME.size + header.page_size))
        *_, sum_1, sum_2 = _FRAME.unpack(wal.read(_FRAME.size))
        checksum = sum_1, sum_2
        wal.seek(header.page_size, os.SEEK_CUR)
    while len(data := wal.read(_FRAME.size + header.page_size)) == _FRAME.size + header.page_size:
        number += 1
        page, pages, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(data)
        if is_whole:
            checksum = _checksum(checksum, data[:8] + data[_FRAME.size :], header.order)
            is_whole = page > 0 and (salt_1, salt_2) == header.salts and checksum == (sum_1, sum_2)
        # One of the two salts may be what was damaged. Both are new whenever the WAL is restarted.
        if salt_1 == header.salts[0] or salt_2 == header.salts[1]:
            yield _Frame(number, pages > 0, is_whole)


def _checksum(state: _Pair, data: bytes, order: str) -> _Pair:
    """Return SQLite's checksum of some bytes, going on from that of others.

    It is defined step by step, for each two numbers x and y: ``a += x + b; b += y + a``. As that is linear,
    so is the whole: each number counts so many times in the end. To sum that up is several times faster.
    """
    numbers = array("I", data)
    if order != sys.byteorder:
        numbers.byteswap()
    total = sum(map(mul, _weights(len(numbers) + 2), (*state, *numbers)))
    return total & _MASK, total >> _HALF & _MASK


@cache
def _weights(count: int) -> tuple[int, ...]:
    """Return how often each of so many numbers counts in a checksum.

    The lower bits of each are for the first half of the checksum, those from _HALF on for the second. The
    first two numbers are the state to go on from. Worked out from the end.
    """
    a, b = 1, 1 << _HALF
    weights: list[int] = []
    for _ in range(count // 2 - 1):
        weights += (b, a + b)  # those of y and x
        a, b = _wrapped(a + b), _wrapped(a + 2 * b)
    return tuple(_wrapped(weight) for weight in (a, b, *reversed(weights)))


def _wrapped(weight: int) -> int:
    return weight & (_MASK << _HALF | _MASK)
