"""Rule that counts each frame once, and none after its sender's timeout.

It does no I/O.

The sender has one frame on the way at a time, and numbers them. A frame that comes again, because it was sent
again, has a number that was there already. One that comes after its sender gave it up has a lower number than
the next one that was applied. Both are left out.
"""

from typing import Final

# How long a sender is remembered that does not send any more; no frame stays on the way for so long.
KEEP_MS: Final = 86_400_000


class Fences:
    """Tells which frames count.

    Args:
        numbers: Highest number applied of each origin, and the time of the log at that.
    """

    def __init__(self, numbers: dict[str, tuple[int, int]]) -> None:
        self._numbers = dict(numbers)

    @property
    def numbers(self) -> dict[str, tuple[int, int]]:
        """A copy of what it was made of, as it is now."""
        return dict(self._numbers)

    def admit(self, origin: str, number: int, now: int) -> bool:
        """Return whether a frame counts, and remember it if so.

        Args:
            origin: Who sent it.
            number: Its number.
            now: The time of the log, in milliseconds; it never goes back.
        """
        known = self._numbers.get(origin)
        if known is not None and number <= known[0]:
            return False
        if known is None:
            self._numbers = {other: last for other, last in self._numbers.items() if last[1] >= now - KEEP_MS}
        self._numbers[origin] = (number, now)
        return True
