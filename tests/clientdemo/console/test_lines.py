"""Tests of reading standard input."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies

from clientdemo.console.lines import Splitter, read_lines
from fanline import ConfigurationError


def split(*chunks: bytes, max_line: int = 10) -> list[bytes | None]:
    splitter = Splitter(max_line)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*lines, *splitter.end()]


@given(strategies.lists(strategies.binary(max_size=6)))
def test_chunks_do_not_matter(chunks: list[bytes]) -> None:
    """However the input is cut up, the lines are the same."""
    whole = b"".join(chunks)
    lines = whole.removesuffix(b"\n").split(b"\n") if whole else []
    assert split(*chunks, max_line=1_000) == lines


def test_lines_that_are_too_long_are_left_out() -> None:
    """A line over the limit costs no memory, and none of the others."""
    assert split(b"short\n", b"x" * 11, b"\n", b"0123456789\n") == [b"short", None, b"0123456789"]
    assert split(b"x" * 6, b"x" * 6, b"x" * 6, b"\nshort") == [None, b"short"]
    assert split(b"x" * 11) == [None]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


async def test_reads_a_pipe_as_it_is_written(pipe: tuple[int, int]) -> None:
    """A line is there as soon as it is complete; the last needs no line break."""
    lines = read_lines(pipe[0])
    os.write(pipe[1], b"one\ntw")
    assert await anext(lines) == b"one"
    second = asyncio.ensure_future(anext(lines))
    os.write(pipe[1], b"o\nthree")
    assert await second == b"two"
    os.close(pipe[1])
    assert [line async for line in lines] == [b"three"]


async def test_waiting_for_a_line_can_be_cancelled(pipe: tuple[int, int]) -> None:
    """No task is left waiting for input that does not come."""
    waiting = asyncio.ensure_future(anext(read_lines(pipe[0])))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.close(pipe[1])


async def test_reads_a_file(tmp_path: Path) -> None:
    """A file can be read to its end, of any size."""
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % n for n in range(50_000)))
    with path.open("rb") as file:
        lines = [line async for line in read_lines(file.fileno())]
    assert lines == [b"%d" % n for n in range(50_000)]


async def test_what_cannot_be_read_is_explained(tmp_path: Path) -> None:
    """A descriptor that is no input is the operator's mistake."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigurationError, match="standard input cannot be read: Is a directory"):
        await anext(read_lines(descriptor))
    os.close(descriptor)
