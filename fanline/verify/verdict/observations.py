"""Records of sent and received messages, for the final check. No I/O.

Both are arrays, so that a message costs sixteen bytes where it is sent, and as many for each reader that
gets it. A message is known by its *key*, one number made of its publisher's and its own.
"""

from array import array
from collections.abc import Sequence
from typing import Final

_NUMBER_BITS: Final = 40

# The key of what was received, but never sent like that.
UNKNOWN: Final = 2**64 - 1


def key_of(publisher: int, number: int) -> int:
    """Return the key of a publisher's message; both count from 0."""
    return publisher << _NUMBER_BITS | number


def split_key(key: int) -> tuple[int, int]:
    """Return the number of the publisher, and that of the message."""
    return key >> _NUMBER_BITS, key & ((1 << _NUMBER_BITS) - 1)


class Sent:
    """Messages of one publisher, and their answers.

    The messages are numbered from 0 on, and go to the topics in turn.

    Args:
        name: Who it is, for people.
        topics: Where it publishes.
        patience: Seconds after which the service may refuse a message because msgqueue is away.

    Attributes:
        seqs: The position that the first ack of each message told; 0 while there is none.
        handed_over: When each message was, in seconds of the caller's clock.
        changed: Messages of which a later ack told another position, and that position.
        troubles: What the publisher was told other than an ack, in words.
        repeats: Messages that were sent again although they had their ack.
        longest_wait: The most seconds between a message and its ack.
        acked: How many have an ack.
    """

    def __init__(self, name: str, topics: Sequence[str], *, patience: float) -> None:
        self.name = name
        self.topics = topics
        self.seqs = array("Q")
        self.handed_over = array("d")
        self.changed: list[tuple[int, int]] = []
        self.troubles: list[str] = []
        self.repeats = 0
        self.longest_wait = 0.0
        self.acked = 0
        self._patience = patience
        self._excused: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.seqs)

    def topic(self, number: int) -> str:
        """Return where a message goes."""
        return self.topics[number % len(self.topics)]

    def hand_over(self, now: float) -> int:
        """Note that one more message is sent, and return its number."""
        self.seqs.append(0)
        self.handed_over.append(now)
        return len(self.seqs) - 1

    def ack(self, number: int, seq: int, now: float) -> None:
        """Note an ack, the first one for a message or another one."""
        first = self.seqs[number]
        if first:
            if first != seq:
                self.changed.append((number, seq))
            return
        self.seqs[number] = seq
        self.acked += 1
        waited = now - self.handed_over[number]
        self.longest_wait = max(self.longest_wait, waited)
        if waited >= self._patience:
            self._excuse(number, len(self.seqs) - 1)

    def may_be_overtaken(self, number: int) -> bool:
        """Return whether later messages may stand before this one in the log.

        While msgqueue comes back, those that it took already can precede those that were refused and are
        sent again. Refused is what waited for the service's patience, and all that was sent behind it.
        """
        return any(first <= number <= last for first, last in self._excused)

    def _excuse(self, first: int, last: int) -> None:
        if self._excused and first <= self._excused[-1][1]:
            first, _ = self._excused.pop()
        self._excused.append((first, last))


class Received:
    """Messages that one reader has received.

    Args:
        name: Who it is, for people.
        patterns: What it is subscribed to.
        start: Position after which it should receive everything.

    Attributes:
        seqs: The positions, in the order in which they came.
        keys: Key of each; :data:`UNKNOWN` if no publisher has sent it in this form.
        gaps: First and last position of what it was told to be gone.
        troubles: What it was told other than that, in words.
        position: The highest position that came.
    """

    def __init__(self, name: str, patterns: Sequence[str], start: int) -> None:
        self.name = name
        self.patterns = patterns
        self.start = start
        self.seqs = array("Q")
        self.keys = array("Q")
        self.gaps: list[tuple[int, int]] = []
        self.troubles: list[str] = []
        self.position = start

    def __len__(self) -> int:
        return len(self.seqs)

    def start_at(self, seq: int) -> None:
        """Set the start position of a reader that did not choose it."""
        self.start = self.position = seq

    def note(self, seq: int, key: int) -> None:
        """Note a message."""
        self.seqs.append(seq)
        self.keys.append(key)
        self.position = max(self.position, seq)

    def was_told_of(self, seq: int) -> bool:
        """Return whether a position lies in an announced gap."""
        return any(first <= seq <= last for first, last in self.gaps)
