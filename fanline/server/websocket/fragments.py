"""Messages in fragments (RFC 6455, 5.4), and texts in UTF-8. No I/O."""


class Fragments:
    """The fragments of one message, of which at most about a limit is kept.

    Args:
        limit: Bytes after which further fragments are discarded; None if the parser bounds the message.
        is_text: Whether the message is text.
    """

    __slots__ = ("_is_cut", "_is_text", "_limit", "_parts", "_size")

    def __init__(self, limit: int | None, is_text: bool) -> None:
        self._limit = limit
        self._is_text = is_text
        self._is_cut = False
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Append the next fragment."""
        if self._limit is None or self._size < self._limit:
            self._parts.append(data)
        else:
            self._is_cut = True
        self._size += len(data)

    @property
    def kept_size(self) -> int:
        """Bytes that are kept."""
        return sum(map(len, self._parts))

    def join(self) -> tuple[bytes, bool]:
        """Return the message, and whether it must be valid UTF-8: a text that was cut need not be."""
        return b"".join(self._parts), self._is_text and not self._is_cut


def is_utf8(text: bytes) -> bool:
    """Return whether a text is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
