"""Lines of standard input, read without threads and in bounded memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Final

from fanline import ConfigurationError

STDIN: Final = 0

CHUNK_BYTES: Final = 65_536

# Far above the largest message that a service accepts.
_MAX_LINE: Final = 16 * 2**20


class Splitter:
    """Splits chunks into lines. No I/O.

    An incomplete last line waits for the next chunk. Lines have no line break. A line of more than
    ``max_line`` bytes becomes None.
    """

    def __init__(self, max_line: int = _MAX_LINE) -> None:
        self._max_line = max_line
        self._rest = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield the lines that ``chunk`` completes."""
        first, *others = chunk.split(b"\n")
        self._extend(first)
        for part in others:
            yield self._complete()
            self._extend(part)

    def end(self) -> Iterator[bytes | None]:
        """Yield the last line, if it has no line break."""
        if self._rest or self._skipping:
            yield self._complete()

    def _extend(self, part: bytes) -> None:
        if len(self._rest) + len(part) > self._max_line:
            self._skipping = True
            self._rest.clear()
        elif not self._skipping:
            self._rest += part

    def _complete(self) -> bytes | None:
        line = None if self._skipping else bytes(self._rest)
        self._skipping = False
        self._rest.clear()
        return line


async def read_lines(fd: int) -> AsyncIterator[bytes | None]:
    """Yield the lines of a file descriptor as they arrive.

    A line that is too long becomes None.

    Raises:
        ConfigurationError: If the descriptor cannot be read.
    """
    splitter = Splitter()
    try:
        while chunk := await _read(fd):
            for line in splitter.feed(chunk):
                yield line
    except OSError as error:
        raise ConfigurationError(f"standard input cannot be read: {error.strerror}") from error
    for line in splitter.end():
        yield line


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(fd, readable.set)
    except PermissionError:  # a regular file: always readable, so epoll does not accept it
        return os.read(fd, CHUNK_BYTES)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, CHUNK_BYTES)
