"""Violations of promises: the number of each kind, and examples."""

from collections import Counter, defaultdict
from enum import StrEnum
from typing import Final

MAX_EXAMPLES: Final = 5


class Breach(StrEnum):
    """Kinds of problems; :attr:`meaning` is a sentence."""

    LOST = "lost"
    MOVED = "moved"
    STORED_TWICE = "stored-twice"
    DISAGREEMENT = "disagreement"
    OUT_OF_ORDER = "out-of-order"
    OVERTAKEN = "overtaken"
    SILENT_GAP = "silent-gap"
    UNDELIVERED = "undelivered"
    NOT_IN_LOG = "not-in-log"
    ALTERED = "altered"
    UNACKED = "unacked"
    REFUSED = "refused"
    COPIES_DIFFER = "copies-differ"
    TOO_FEW_COPIES = "too-few-copies"
    DIED = "died"
    UNCLEAN_STOP = "unclean-stop"

    @property
    def meaning(self) -> str:
        """Description, and the promise that it breaks."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Breach.LOST: "acknowledged, and not in the log (promise 1: acked means on disk)",
    Breach.MOVED: "acknowledged at one position, and found at another (promise 2: one order)",
    Breach.STORED_TWICE: "in the log more than once (promise 3: stored once)",
    Breach.DISAGREEMENT: "two messages at the same position (promise 2: one order)",
    Breach.OUT_OF_ORDER: "delivered out of order, or again (promise 2: one order)",
    Breach.OVERTAKEN: "stored in another order than its publisher sent it (promise 2: one order)",
    Breach.SILENT_GAP: "passed over without a word (promise 4: no silent gap)",
    Breach.UNDELIVERED: "not delivered, with everything healed (promise 6: nothing silently dropped)",
    Breach.NOT_IN_LOG: "delivered, and not in the log for that subscription (promise 1: acked means on disk)",
    Breach.ALTERED: "delivered other than it was published, or never published",
    Breach.UNACKED: "without an answer, with everything healed (promise 6: nothing silently dropped)",
    Breach.REFUSED: "refused or answered wrongly, with nothing wrong about it",
    Breach.COPIES_DIFFER: "two msgqueues of a cluster have different logs (promise 2: one order)",
    Breach.TOO_FEW_COPIES: "not on all NATS servers, with everything healed (promise 1: acked means on disk)",
    Breach.DIED: "a service ended by itself, or did not start again",
    Breach.UNCLEAN_STOP: "SIGTERM was not followed by exit code 0 in time (promise 8: stop is clean)",
}


class Findings:
    """Violations of one run, with only the first few in words.

    Attributes:
        counts: How many there are of each kind.
        examples: The first few of each kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[Breach] = Counter()
        self.examples: defaultdict[Breach, list[str]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, kind: Breach, example: str) -> None:
        """Note one violation."""
        self.counts[kind] += 1
        if len(self.examples[kind]) < MAX_EXAMPLES:
            self.examples[kind].append(example)

    def update(self, others: "Findings") -> None:
        """Note the violations of another part of the run."""
        self.counts.update(others.counts)
        for kind, examples in others.examples.items():
            self.examples[kind] = [*self.examples[kind], *examples][:MAX_EXAMPLES]
