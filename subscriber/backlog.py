"""What one connection still has to be sent from the log before it is live. No I/O.

A connection is either live, and then everything of its topics up to the head has been handed to it, or it
catches up: it reads the log from a position of its own and is sent what its subscriptions want. There is
one position per connection, not one per subscription, so that what it is sent is always in the order of
the log, each message once, however many of its subscriptions match it.
"""

from typing import Final

from fanline.protocol.topics import has_wildcard, matches

# Records of the first page; of a long log each may have to be fetched from another place on the disk, and
# somebody waits for the first of them.
FIRST_PAGE: Final = 64

# Each further page has twice as many, until it is that large.
LARGEST_PAGE: Final = 512


class Catchup:
    """Subscriptions, from where each of them wants the log, and how far the log was read.

    Attributes:
        position: The next page to read begins after it.
        limit: How many records it may have.
        version: Changes with every subscription; a page asked for under another version is of no use.
    """

    def __init__(self) -> None:
        self.position = 0
        self.limit = FIRST_PAGE
        self.version = 0
        self._after: dict[str, int] = {}
        self._wildcards: list[str] = []

    @property
    def patterns(self) -> list[str]:
        """The patterns that are read for."""
        return list(self._after)

    def __bool__(self) -> bool:
        return bool(self._after)

    def add(self, pattern: str, after: int) -> None:
        """Want everything of a pattern after a position; if that is further back, reading goes back to it."""
        self.version += 1
        for each, start in self._after.items():
            self._after[each] = max(start, self.position)
        self.position = min(after, self.position) if self._after else after
        self._after[pattern] = after
        self._wildcards = [each for each in self._after if has_wildcard(each)]

    def remove(self, pattern: str) -> None:
        """Want no more of a pattern."""
        self.version += 1
        self._after.pop(pattern, None)
        self._wildcards = [each for each in self._after if has_wildcard(each)]

    def position_of(self, pattern: str) -> int:
        """Return the position after which everything of a wanted pattern is still to come."""
        return max(self._after[pattern], self.position)

    def wants(self, topic: str, seq: int) -> bool:
        """Whether a record that lies after :attr:`position` is to be sent."""
        after = self._after.get(topic)
        if after is not None and seq > after:
            return True
        return any(seq > self._after[each] and matches(each, topic) for each in self._wildcards)

    def is_complete(self, head: int) -> bool:
        """Whether everything up to ``head`` was sent, and everything after it is wanted: it can go live."""
        return self.position == head and all(after <= head for after in self._after.values())

    def advance(self, position: int) -> None:
        """Note that everything up to ``position`` was sent."""
        self.limit = min(2 * self.limit, LARGEST_PAGE)
        self.position = max(self.position, position)
