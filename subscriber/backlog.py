"""The backlog of one subscriber: records of the log to send before it is live. No I/O.

A subscriber is either live, and has been sent everything up to the head, or it is catching up: it reads the
log from a position of its own. There is one position for all of its patterns, so that records are sent in
the order of the log, each of them once, however many patterns match it.
"""

from collections.abc import Iterable
from typing import Final

from fanline.protocol.topics import has_wildcard, matches

# Records of the first page: in a long log, each may have to be fetched from another place on the disk, and
# the subscriber waits for the first of them.
FIRST_PAGE_RECORDS: Final = 64

# Each further page has twice as many, up to this.
MAX_PAGE_RECORDS: Final = 512


class Backlog:
    """Patterns, the position after which each of them is wanted, and how far the log was read.

    Args:
        patterns: The patterns to begin with.
        after: The position after which they are wanted.

    Attributes:
        position: The next page to read begins after it.
        limit: How many records that page may have.
    """

    __slots__ = ("_after", "_wildcards", "limit", "position")

    def __init__(self, patterns: Iterable[str] = (), after: int = 0) -> None:
        self.position = after
        self.limit = FIRST_PAGE_RECORDS
        self._after = dict.fromkeys(patterns, after)
        self._wildcards = self._find_wildcards()

    @property
    def patterns(self) -> list[str]:
        """The patterns to read for."""
        return list(self._after)

    def __bool__(self) -> bool:
        return bool(self._after)

    def add(self, pattern: str, after: int) -> None:
        """Add a pattern; reading goes back to ``after`` if that is before :attr:`position`."""
        for each, start in self._after.items():
            self._after[each] = max(start, self.position)
        self.position = min(after, self.position) if self._after else after
        self._after[pattern] = after
        self._wildcards = self._find_wildcards()

    def remove(self, pattern: str) -> None:
        """Remove a pattern, if it is there."""
        self._after.pop(pattern, None)
        self._wildcards = self._find_wildcards()

    def position_of(self, pattern: str) -> int:
        """Return the position up to which a pattern's records were sent."""
        return max(self._after[pattern], self.position)

    def wants(self, topic: str, seq: int) -> bool:
        """Return whether to send a record; ``seq`` must be after :attr:`position`."""
        after = self._after.get(topic)
        if after is not None and seq > after:
            return True
        return any(seq > self._after[each] and matches(each, topic) for each in self._wildcards)

    def is_complete(self, head: int) -> bool:
        """Return whether everything up to ``head`` was sent, and nothing after it."""
        return self.position == head and all(after <= head for after in self._after.values())

    def advance(self, position: int) -> None:
        """Note that everything up to ``position`` was sent; an earlier one changes nothing."""
        self.limit = min(2 * self.limit, MAX_PAGE_RECORDS)
        self.position = max(self.position, position)

    def _find_wildcards(self) -> list[str]:
        return [each for each in self._after if has_wildcard(each)]
