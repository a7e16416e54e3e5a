"""Messages in fragments (RFC 6455, 5.4), slices of bytes, and UTF-8.

No I/O.
"""

from typing import Final

# The first slice; each further one is larger, as long as few frames are found.
FIRST_SLICE: Final = 4_096
GROWTH: Final = 4
FEW_FRAMES: Final = 16


class Fragments:
    """The fragments of one message, kept up to about a limit.

    They are joined as they come, so that a tiny or empty one takes no more memory than its bytes.

    Args:
        limit: Bytes after which further fragments are discarded; None if the parser bounds the message.
        is_text: Whether the message is text.
    """

    __slots__ = ("_is_cut", "_is_text", "_kept", "_limit")

    def __init__(self, limit: int | None, is_text: bool) -> None:
        self._limit = limit
        self._is_text = is_text
        self._is_cut = False
        self._kept = bytearray()

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Append the next fragment."""
        if self._limit is None or len(self._kept) < self._limit:
            self._kept += data
        else:
            self._is_cut = True

    @property
    def kept_size(self) -> int:
        """Bytes that are kept."""
        return len(self._kept)

    def join(self) -> tuple[bytes, bool]:
        """Return the message, and whether it must be valid UTF-8.

        A text that was cut need not be.
        """
        return bytes(self._kept), self._is_text and not self._is_cut


class Unparsed:
    """Bytes that wait to be parsed.

    A frame may have two bytes: what is received at once may hold so many that others would have to wait.

    Args:
        data: What was received.
    """

    __slots__ = ("_chunks", "_size", "_start")

    def __init__(self, data: bytes) -> None:
        self._chunks = [data]
        self._start = 0
        self._size = FIRST_SLICE

    def add(self, data: bytes) -> None:
        """Append what was received next."""
        self._chunks.append(data)

    def next(self) -> bytes:
        """Remove and return the next slice; it is empty at the end."""
        while self._chunks:
            piece = self._chunks[0][self._start : self._start + self._size]
            self._start += len(piece)
            if piece:
                return piece
            self._start = 0
            del self._chunks[0]
        return b""

    def note(self, frames: int) -> None:
        """Adapt the next slice's size to the last one's number of frames."""
        self._size = self._size * GROWTH if frames <= FEW_FRAMES else FIRST_SLICE


def is_utf8(text: bytes) -> bool:
    """Return whether a text is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
