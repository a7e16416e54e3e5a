"""Back-up: ``python -m msgqueue.tools.backup DATA TARGET``, or ``fanline backup DATA TARGET``.

msgqueue may go on running, and writing: what is copied is the log as it was at the beginning. Until the copy
is made its WAL cannot restart, and grows by the messages stored during the copy.

The exit code is 0 if there is a back-up now, and it is sound; 1 if it could not be made, or what was copied
is damaged; 2 if something was given wrongly. Only with 0 is there a file of the name that was given.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError, StoreError
from msgqueue.store.sqlite.check import CheckReport, connect_read_only
from msgqueue.store.sqlite.file import NAME, FolderInUse, LogFile, mark_as_copy, sync, translated
from msgqueue.tools.fsck import INTERRUPTED, check, describe, find_log, showing

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2

PAGES: Final = 1024  # 4 MB: between two of them the progress is shown


def main(argv: Sequence[str] | None = None) -> int:
    """Make a back-up, print the result, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="fanline backup", description="Copy a log, also while msgqueue uses it, and check the copy."
    )
    parser.add_argument("folder", metavar="DATA", type=Path, help="the data folder")
    parser.add_argument("target", metavar="TARGET", type=Path, help="a new file, or a folder to put it into")
    arguments = parser.parse_args(argv)
    try:
        copy, report = make(arguments.folder, arguments.target)
    except ConfigurationError as error:
        sys.stderr.write(f"fanline backup: {error}\n")
        return REFUSED
    except StoreError as error:
        sys.stderr.write(f"fanline backup: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.write(describe(copy, report))
    if report.findings:
        sys.stderr.write("fanline backup: what is damaged is the log itself; the copy was not kept\n")
        return FAILED
    return DONE


def make(folder: Path, target: Path, *, pages: int = PAGES) -> tuple[Path, CheckReport]:
    """Copy a log, and check the copy; keep only a sound one.

    Args:
        folder: The data folder.
        target: The file to make, or the folder to make it in.
        pages: How many are copied in one step.

    Returns:
        Where the copy is, or would be, and what the check has found.

    Raises:
        ConfigurationError: If there is no log, or a file in the way, or none can be made.
        StoreError: If the log cannot be read, or the copy not be written.
    """
    log = find_log(folder)
    copy = target / NAME if target.is_dir() else target
    part = copy.with_name(f"{copy.name}-part")
    _require_room(copy, part)
    try:
        _copy(log, part, pages)
        report = check(part)
        if not report.findings:
            with translated(copy):
                part.rename(copy)
                sync(copy.parent)
    finally:
        part.unlink(missing_ok=True)
    return copy, report


def _require_room(copy: Path, part: Path) -> None:
    """Create an empty file that only its owner can read.

    Raise ConfigurationError instead of overwriting one.
    """
    for path in (copy, *(copy.with_name(copy.name + suffix) for suffix in ("-wal", "-shm"))):
        if path.exists():
            raise ConfigurationError(f"{path}: it is there already, and is not overwritten")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise ConfigurationError(
            f"{part}: another back-up is being made, or was interrupted; if none is, remove it"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{part}: {error.strerror}") from error


def _copy(log: Path, part: Path, pages: int) -> None:
    with (
        _snapshot(log) as source,
        translated(part),
        closing(sqlite3.connect(part)) as target,
        showing() as progress,
    ):
        source.backup(
            target,
            pages=pages,
            progress=lambda _, left, total: progress("copying", total - left, total),
        )
        mark_as_copy(target)


@contextmanager
def _snapshot(log: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that sees the log as it is now.

    Later writes are not seen. If no msgqueue runs, its part is done here: to look for what SQLite would pass
    over. One may start right after that.
    """
    with translated(log), closing(connect_read_only(log)) as connection:
        try:
            with closing(LogFile(log.parent)) as file:
                file.require_whole()
                _begin(connection)
        except FolderInUse:
            _begin(connection)
        yield connection


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # BEGIN alone reads nothing yet


if __name__ == "__main__":
    sys.exit(main())
