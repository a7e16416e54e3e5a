"""Log check: ``python -m msgqueue.tools.fsck DATA``, or ``fanline fsck DATA``.

The log must not be in use; nothing is changed. Takes the lock that msgqueue takes, so that neither runs while
the other does. The exit code is 0 if the log is sound, 1 if it is damaged, 2 if there is none, or it could
not be checked.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fanline.errors import ConfigurationError, FanlineError
from msgqueue.store.sqlite import check as sqlite_check
from msgqueue.store.sqlite.check import CheckReport, examine
from msgqueue.store.sqlite.file import NAME, LogFile, translated

SOUND: Final = 0
DAMAGED: Final = 1
NOT_CHECKED: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Check the log that the arguments name, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="fanline fsck", description="Check a log that no msgqueue has open; nothing is changed."
    )
    parser.add_argument("path", metavar="DATA", type=Path, help="the data folder, or a back-up file")
    path: Path = parser.parse_args(argv).path
    try:
        log = find_log(path)
        with closing(LogFile(log.parent)) if log.name == NAME else nullcontext():
            report = check(log)
    except FanlineError as error:
        sys.stderr.write(f"fanline fsck: {error}\n")
        return NOT_CHECKED
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.write(describe(log, report))
    return DAMAGED if report.findings else SOUND


def find_log(path: Path) -> Path:
    """Return the main file of the log in a folder.

    A file that is itself given is returned.

    Raises:
        ConfigurationError: If there is none, or it cannot be got at.
    """
    try:
        log = path / NAME if path.is_dir() else path
        if log.is_file():
            return log
        wal = log.with_name(f"{log.name}-wal")
        there = f", but {wal.name} is there: restore a back-up" if wal.exists() else ""
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    raise ConfigurationError(f"{log}: there is no log{there}")


def check(log: Path) -> CheckReport:
    """Check a log, and show on a terminal how far it is.

    Raises:
        ConfigurationError: If a newer version wrote it.
        StoreError: If it cannot be read for another reason than damage.
    """
    with translated(log), showing() as progress:
        return examine(log, progress)


def describe(log: Path, report: CheckReport) -> str:
    """Return what was found, in words."""
    if not report.findings:
        return f"{log}: sound; {report.messages:,} messages, the newest position is {report.head:,}\n"
    said = "".join(f"\n  {finding}\n" for finding in report.findings)
    return f"{log}: damaged\n{said}"


@contextmanager
def showing() -> Iterator[sqlite_check.Progress]:
    """Show progress on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)

        def progress(what: str, done: int, total: int) -> None:
            shown.update(task, description=what, completed=done, total=total or None)

        yield progress


if __name__ == "__main__":
    sys.exit(main())
