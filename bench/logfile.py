"""Logs that are not new: begun at a position, or filled."""

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
    """Make a log whose first message will stand behind ``position``, as if all before it had been removed."""
    log = LogFile(folder)
    try:
        log.prepare()
        with closing(log.connect()) as connection:
            connection.execute("UPDATE log SET trimmed = ?", [position])
            connection.commit()
    finally:
        log.close()


def fill(folder: Path, rows: int, on_progress: Callable[[int], None] = lambda _: None) -> None:
    """Make a log with so many messages of 120 bytes, in turn on a thousand topics; several million a minute.

    Args:
        folder: Where to.
        rows: How many.
        on_progress: Called now and then with how many there are.
    """
    log = LogFile(folder)
    try:
        log.prepare()
        with closing(log.connect()) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # made anew if it is interrupted
            writer = Writer(connection, dedupe_window=1, clock=time.time)
            batch = [_message(number) for number in range(TOPICS)] * (_BATCH // TOPICS)
            for done in range(0, rows, _BATCH):
                writer.append(batch[: rows - done])
                on_progress(done)
    finally:
        log.close()


def rounded_length(folder: Path) -> int:
    """Return how many messages a log was filled with, in millions, whatever measurements have added since."""
    log = LogFile(folder)
    try:
        log.require_whole()
        with closing(log.connect()) as connection:
            (rows,) = connection.execute("SELECT max(seq) FROM messages").fetchone()
    finally:
        log.close()
    return int(rows // 1_000_000 * 1_000_000)


def topic(number: int) -> str:
    """Return one of the topics of a log that was filled."""
    return f"log.{number % TOPICS:03}"


def _message(number: int) -> NewMessage:
    return NewMessage(topic(number), msgspec.Raw(b'"%s"' % (b"x" * 40)), sender=DEMO_USER)
