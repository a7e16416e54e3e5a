"""Logging to standard error, one line per event, in UTC.

It never delays the event loop. Whatever a stranger put into a line is escaped and cut here, for all callers.
Lines of one kind, which are those of one ``logger`` call, are limited in rate; those left out are counted in
the next one that is written.
"""

import contextlib
import copy
import json
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final

# Characters that are kept of a message, and of a line of a traceback; lines that are kept of a traceback.
MAX_CHARACTERS: Final = 1_000
MAX_TRACEBACK_LINES: Final = 60

# Lines of one kind that may come at once, and seconds until one more may.
BURST: Final = 20
SECONDS_PER_LINE: Final = 0.5

# Lines that wait to be written before further ones are lost.
_MAX_WAITING: Final = 2_000

# Seconds that the end of a process waits for its last lines.
FLUSH_TIMEOUT: Final = 1.0

STDERR: Final = 2

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def escaped(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Return the beginning of a text, with unprintable characters escaped.

    Args:
        text: Anything.
        limit: Characters of it that are kept.
    """
    more = len(text) - limit
    if more > 0:
        text = f"{text[:limit]}… ({more} more characters)"
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def quoted(text: str, limit: int = 100) -> str:
    """Return a stranger's text as ASCII in quotes, to stand out."""
    return ascii(text if len(text) <= limit else f"{text[:limit]}…")


class LineFormatter(logging.Formatter):
    """Formats a record as one line; a traceback's own lines follow.

    Args:
        service: Name that every line carries.
    """

    def __init__(self, service: str) -> None:
        super().__init__(
            f"%(asctime)s.%(msecs)03dZ {service} %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - of the standard library
        """Format the end of a traceback."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(map(escaped, lines[-MAX_TRACEBACK_LINES:]))


class JsonFormatter(LineFormatter):
    """Formats a record as one line of JSON, traceback included.

    Args:
        service: Value of the member ``service``.
    """

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        members = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "service": self._service,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            members["traceback"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=False)


_FORMATTERS: Final = {"text": LineFormatter, "json": JsonFormatter}


class LineRates:
    """Limits for the rate of each kind of line, as token buckets.

    No I/O.

    Args:
        burst: Lines that may come at once.
        seconds_per_line: Seconds until one more may.
    """

    def __init__(self, burst: int = BURST, seconds_per_line: float = SECONDS_PER_LINE) -> None:
        self._burst = burst
        self._seconds_per_line = seconds_per_line
        self._buckets: dict[object, tuple[float, float, int]] = {}  # tokens, since when, lines left out

    def admit(self, kind: object, now: float) -> int | None:
        """Return how many lines of a kind were left out before.

        None means to leave this one out as well.

        Args:
            kind: What the line has in common with others, such as its place in the source.
            now: Seconds of any clock, which may go back.
        """
        tokens, since, left_out = self._buckets.get(kind, (float(self._burst), now, 0))
        tokens = min(self._burst, tokens + max(0.0, now - since) / self._seconds_per_line)
        is_admitted = tokens >= 1
        self._buckets[kind] = (tokens - 1, now, 0) if is_admitted else (tokens, now, left_out + 1)
        return left_out if is_admitted else None


class LogHandler(logging.Handler):
    """Writes lines to a descriptor: at once, or during :meth:`background` by thread.

    Args:
        service: Name that every line carries.
        style: How a line is spelled, ``text`` or ``json``.
        descriptor: Where to write.
        rates: Limits of rates.
        max_waiting: Lines that wait for the thread before further ones are lost, and counted.
    """

    def __init__(
        self,
        service: str,
        *,
        style: str = "text",
        descriptor: int = STDERR,
        rates: LineRates | None = None,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        super().__init__()
        self.setFormatter(_FORMATTERS[style](service))
        self._descriptor = descriptor
        self._rates = rates or LineRates()
        self._max_waiting = max_waiting
        self._put: Callable[[bytes], None] = self._write

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless too many of its kind came before."""
        left_out = self._rates.admit((record.pathname, record.lineno), record.created)
        if left_out is None:
            return
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong call of a logger must not harm its caller
            said = f"a line could not be formatted: {record.msg}"
        said = escaped(said)
        if left_out:
            said += f" ({left_out} more of this kind were left out before)"
        record = copy.copy(record)  # other handlers may have it as well
        record.msg, record.args = said, None
        self._put(f"{self.format(record)}\n".encode(errors="backslashreplace"))

    @contextlib.contextmanager
    def background(self, flush_timeout: float = FLUSH_TIMEOUT) -> Iterator[None]:
        """Write by a thread during the block.

        So a standard error that is not read delays nothing.

        Args:
            flush_timeout: Seconds that the end of the block waits for the lines that are not written yet.
        """
        writer = _Writer(self._write, self._max_waiting)
        self._put = writer.put
        try:
            yield
        finally:
            self._put = self._write if writer.close(flush_timeout) else _discard

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # the only place to complain is the log
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:  # another program has made the terminal or pipe so
                    select.select([], [self._descriptor], [])


class _Writer:
    """A thread that writes lines in order.

    Args:
        write: Writes one; may wait.
        max_waiting: Lines that wait before further ones are lost.
    """

    def __init__(self, write: Callable[[bytes], None], max_waiting: int) -> None:
        self._write = write
        self._waiting: queue.Queue[bytes | None] = queue.Queue(max_waiting)
        self._lost = 0
        # A daemon: a write that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Write a line later; never waits."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self, timeout: float) -> bool:
        """Write what waits, and return whether that was possible within ``timeout`` seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._write(line)
            if self._lost and self._waiting.empty():
                lost, self._lost = self._lost, 0
                self._write(b"%d lines of this log are lost: they came faster than it was read\n" % lost)


def _discard(line: bytes) -> None:
    del line


@contextlib.contextmanager
def background() -> Iterator[None]:
    """Write this process's log by a thread during the block.

    Only if it was configured here.
    """
    with contextlib.ExitStack() as stack:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LogHandler):
                stack.enter_context(handler.background())
        yield


def configure(service: str, level: str, style: str = "text") -> None:
    """Send this process's log to standard error.

    Args:
        service: Name that every line carries.
        level: Least level that is written: ``debug``, ``info``, ``warning`` or ``error``.
        style: How a line is spelled, ``text`` or ``json``.
    """
    logging.basicConfig(level=level.upper(), handlers=[LogHandler(service, style=style)], force=True)
    # The libraries tell of every request and connection, and at debug level of every frame and header: that
    # is noise at best, and credentials at worst.
    for library in ("websockets", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(library).setLevel(logging.ERROR)
