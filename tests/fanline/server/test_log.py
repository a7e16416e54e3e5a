"""The log: short lines whatever they hold, limited in rate, and written without delaying the caller."""

import json
import logging
import os
import sys
from datetime import datetime

import pytest

from fanline.server.log import LineRates, LogHandler


class Pipe:
    """A standard error that a test reads, or does not."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self._reader = os.fdopen(reader)

    def read_line(self) -> str:
        return self._reader.readline().removesuffix("\n")

    def read(self) -> list[str]:
        """Return all lines, and close."""
        os.close(self.writer)
        with self._reader as reader:
            return reader.read().splitlines()


@pytest.fixture
def pipe() -> Pipe:
    """A pipe, which holds 64 KiB; each test reads it to its end."""
    return Pipe()


def record(text: str, *args: object, line: int = 1, failed: bool = False) -> logging.LogRecord:
    """Return what one call of a logger makes."""
    exc_info = sys.exc_info() if failed else None
    return logging.LogRecord("fanline.test", logging.INFO, "place.py", line, text, args, exc_info)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ä日 ok", "ä日 ok"),
        ("\x1b[31m\r\n\x07\x00", "\\x1b[31m\\r\\n\\x07\\x00"),
        ("a\u202eb\ud800", "a\\u202eb\\ud800"),
        ("x" * 970_000, "x" * 980 + "… (969021 more characters)"),
    ],
)
def test_values_are_escaped_and_cut(pipe: Pipe, value: str, shown: str) -> None:
    """Whatever a stranger put into a line, it is one line, of bounded length."""
    LogHandler("echo", descriptor=pipe.writer).emit(record("a value of someone: %s.", value))
    [line] = pipe.read()
    assert line.split(" echo INFO ")[1].removesuffix(".") == f"a value of someone: {shown}"


def test_a_traceback_is_bounded(pipe: Pipe) -> None:
    """A traceback keeps its lines, each escaped and cut."""
    try:
        raise ValueError("\x1b" * 100_000)
    except ValueError:
        LogHandler("echo", descriptor=pipe.writer).emit(record("it has failed", failed=True))
    lines = pipe.read()
    assert lines[0].endswith("it has failed")
    assert lines[-1].startswith("ValueError: \\x1b\\x1b")
    assert all(line.isprintable() for line in lines)
    assert sum(map(len, lines)) < 10_000


def test_a_wrong_call_is_written_all_the_same(pipe: Pipe) -> None:
    """A line whose values do not fit its text is written as far as possible."""
    LogHandler("echo", descriptor=pipe.writer).emit(record("%d and %d", "one"))
    [line] = pipe.read()
    assert line.endswith("echo INFO a line could not be formatted: %d and %d")


def test_a_json_line_is_one_object(pipe: Pipe) -> None:
    """With the style ``json`` each line is an object, escaped and cut alike, with its traceback (line 56)."""
    handler = LogHandler("echo", style="json", descriptor=pipe.writer)
    handler.emit(record('a "value": %s', "\x1b" + "x" * 2_000))
    try:
        raise ValueError("no\nline")
    except ValueError:
        handler.emit(record("it has failed", failed=True))
    first, second = map(json.loads, pipe.read())
    assert first["message"].startswith('a "value": \\x1bxxx')
    assert len(first["message"]) < 1_100
    assert (first["service"], first["level"], first["logger"]) == ("echo", "info", "fanline.test")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert (second["message"], second["traceback"].splitlines()[-1]) == ("it has failed", "line")


def test_the_rate_of_a_kind_is_limited() -> None:
    """A burst is written; later lines of its kind as time allows, with the number of those left out."""
    rates = LineRates(burst=3, seconds_per_line=10)
    assert [rates.admit("a", 100) for _ in range(5)] == [0, 0, 0, None, None]
    assert rates.admit("b", 100) == 0
    assert rates.admit("a", 109) is None
    assert rates.admit("a", 119) == 3
    assert rates.admit("a", 119) is None
    assert [rates.admit("a", 1_000) for _ in range(4)] == [1, 0, 0, None]
    assert rates.admit("a", 0) is None  # the clock was set back
    assert rates.admit("a", 20) == 2


def test_lines_left_out_are_counted(pipe: Pipe) -> None:
    """Many lines of one place in the code become few; others are not affected."""
    handler = LogHandler("echo", descriptor=pipe.writer, rates=LineRates(burst=2, seconds_per_line=10))
    for number in range(100):
        handler.emit(record("refused %d", number))
    handler.emit(record("other", line=2))
    later = record("refused %d", 100)
    later.created += 60
    handler.emit(later)
    assert [line.split(" INFO ")[1] for line in pipe.read()] == [
        "refused 0",
        "refused 1",
        "other",
        "refused 100 (98 more of this kind were left out before)",
    ]


def test_an_unread_log_delays_nothing(pipe: Pipe) -> None:
    """With a standard error that is not read lines are lost, and counted, but no caller waits."""
    handler = LogHandler("echo", descriptor=pipe.writer, max_waiting=10)
    written = lost = 0
    with handler.background():
        for number in range(1_000):
            handler.emit(record("%s", "x" * 900, line=number))
        while written + lost < 1_000:
            line = pipe.read_line()
            if "are lost" in line:
                lost += int(line.split()[0])
            else:
                written += 1
        handler.emit(record("end"))
    assert written < 200
    assert pipe.read()[-1].endswith("end")


def test_the_end_does_not_wait_for_a_reader(pipe: Pipe) -> None:
    """A process ends although nothing reads its last lines."""
    handler = LogHandler("echo", descriptor=pipe.writer)
    with handler.background(flush_timeout=0.1):
        for number in range(200):
            handler.emit(record("%s", "x" * 900, line=number))
    handler.emit(record("dropped"))
    for _ in range(200):
        assert pipe.read_line()
    assert pipe.read() == []
