"""Topics that were published on lately, to count new ones. No I/O."""

from collections.abc import Iterable, Sequence
from typing import Final

from fanline.errors import Rejected
from fanline.protocol import NewMessage

# Topics that are remembered at least.
MAX_RECENT: Final = 100_000


class KnownTopics:
    """Remembers topics that were published on lately, by any user.

    Args:
        max_recent: How many are remembered at least; twice as many at most.
    """

    def __init__(self, *, max_recent: int = MAX_RECENT) -> None:
        self._max_recent = max_recent
        self._recent: set[str] = set()
        self._older: set[str] = set()

    def find_new(self, entries: Sequence[NewMessage | Rejected]) -> set[str]:
        """Return the topics of some messages that are not remembered."""
        recent, older = self._recent, self._older
        if len(entries) == 1 and not isinstance(entries[0], Rejected) and entries[0].topic in recent:
            return set()  # the usual case
        return {
            entry.topic
            for entry in entries
            if not isinstance(entry, Rejected) and entry.topic not in recent and entry.topic not in older
        }

    def add(self, topics: Iterable[str]) -> None:
        """Remember topics."""
        self._recent.update(topics)
        if len(self._recent) >= self._max_recent:
            self._older, self._recent = self._recent, set()
