"""What the disk itself takes: the floor under every durable acknowledgement on this machine."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.receivers import QUANTILES
from bench.samples import Sample
from bench.setup import Site
from bench.stats import quantile

_TIMES: Final = 500
_BYTES: Final = bytes(4096)


def measure(site: Site, rounds: int) -> Iterator[Sample]:
    """Yield how long an fsync takes, and a transaction of SQLite with one row, round after round."""
    for _ in range(rounds):
        folder = site.place()
        yield _sample("fsync of 4 KiB", _fsyncs(folder / "file"))
        yield _sample("SQLite commit", _commits(folder / "database"))


def _sample(what: str, times: list[float]) -> Sample:
    times.sort()
    return Sample("disk", what, {}, {name: quantile(times, share) for name, share in QUANTILES.items()})


def _fsyncs(path: Path) -> list[float]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)

    def append() -> None:
        os.write(descriptor, _BYTES)
        os.fsync(descriptor)

    try:
        return _time(append)
    finally:
        os.close(descriptor)


def _commits(path: Path) -> list[float]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        return _time(lambda: connection.execute("INSERT INTO messages (body) VALUES (?)", [_BYTES[:128]]))


def _time(perform: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(_TIMES):
        began = time.monotonic()
        perform()
        times.append(time.monotonic() - began)
    return times
