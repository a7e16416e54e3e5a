"""A listener that appends events to a file."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

from fanline.errors import ConfigurationError
from fanline.hub.event import Event
from fanline.hub.stream import Missed

_encoder = msgspec.json.Encoder()


class JsonLinesFile:
    """Appends events to a file as lines of JSON.

    Missed events become ``{"type":"missed","count":3}``. Existing content is never changed. A thread opens
    the file for each write, so the file may be moved away at any time, and a slow disk does not block the
    event loop. One object may be attached to several hubs.

    Args:
        path: The file, created if missing.

    Raises:
        ConfigurationError: If the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._writing = Lock()
        try:
            self._append(b"")
        except OSError as error:
            raise ConfigurationError(f"events cannot be appended to {path}: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"JsonLinesFile({str(self._path)!r})"

    async def __call__(self, events: Sequence[Event | Missed]) -> None:
        """Append events; raise :class:`OSError` if that fails."""
        await asyncio.to_thread(self._append, _encode_lines(events))

    def _append(self, lines: bytes) -> None:
        with self._writing, self._path.open("ab+") as file:
            if lines and _ends_within_a_line(file):
                lines = b"\n" + lines
            file.write(lines)


def _encode_lines(events: Sequence[Event | Missed]) -> bytes:
    try:
        return _encoder.encode_lines(events)
    except UnicodeEncodeError:  # half a surrogate pair: not possible in UTF-8, but as an escape
        return "".join(f"{json.dumps(msgspec.to_builtins(event))}\n" for event in events).encode()


def _ends_within_a_line(file: BinaryIO) -> bool:
    """Return whether the last writer was interrupted and left an incomplete line."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
