"""Logs made without a service: empty ones, and long ones.

Empty ones begin at a position.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from fanline.protocol import NewMessage
from fanline.settings import DEMO_USER
from msgqueue.store.sqlite.file import LogFile
from msgqueue.store.sqlite.writer import Writer

TOPICS: Final = 1_000
_BATCH: Final = 20_000


def begin_at(folder: Path, position: int) -> None:
    """Make an empty log whose first message will come after ``position``."""
    with closing(LogFile(folder)) as log:
        log.prepare()
        with closing(log.connect()) as connection:
            connection.execute("UPDATE log SET trimmed = ?", [position])
            connection.commit()


def fill(
    folder: Path, rows: int, on_progress: Callable[[int], None] = lambda _: None, *, topics: int = TOPICS
) -> None:
    """Make a log of many messages of 120 bytes.

    The topics have their turns. This makes several million a minute.

    Args:
        folder: Its folder, a ``data_dir``.
        rows: Number of messages.
        on_progress: Called with the number of messages written so far.
        topics: Number of topics.
    """
    with closing(LogFile(folder)) as log:
        log.prepare()
        with closing(Writer(log, dedupe_window=1, clock=time.time)) as writer:
            writer.connection.execute("PRAGMA synchronous = OFF")  # an interrupted log is made again
            for done in range(0, rows, _BATCH):
                writer.append([_message(n % topics) for n in range(done, min(rows, done + _BATCH))])
                on_progress(done)


def rounded_length(folder: Path) -> int:
    """Return the length of a log, rounded down to millions.

    So what measurements added is left out.
    """
    with closing(LogFile(folder)) as log:
        log.require_whole()
        with closing(log.connect()) as connection:
            (rows,) = connection.execute("SELECT max(seq) FROM messages").fetchone()
    return int(rows // 1_000_000 * 1_000_000)


def topic(number: int) -> str:
    """Return one of the topics of a filled log."""
    return _topic(number % TOPICS)


def _topic(number: int) -> str:
    return f"log.{number:03}"


def _message(number: int) -> NewMessage:
    return NewMessage(_topic(number), msgspec.Raw(b'"%s"' % (b"x" * 40)), sender=DEMO_USER)
