"""Replies to one publishing connection, in its messages' order. No I/O."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

import msgspec

from fanline.protocol import Ack, Refusal

Outcome = Ack | Refusal


class Reply(msgspec.Struct, eq=False):
    """The place of one reply, sent after all before it.

    It is settled once. A struct, because it is made for each message.

    Attributes:
        group: The replies of the same connection, which this is one of.
        outcome: What to reply; None until it is settled.
    """

    group: "OrderedReplies"
    outcome: Outcome | None = None

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome, unless there is one already."""
        if self.outcome is None:
            self.outcome = outcome
            self.group.on_settled()


class OrderedReplies(ABC):
    """Replies in order; settled ones at the front can be sent.

    A subclass and not a callback says what follows: the callback would be a reference cycle, which keeps a
    lost connection in memory until the garbage collector runs.
    """

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque()

    @abstractmethod
    def on_settled(self) -> None:
        """Call :meth:`take`, now or later, because a reply is settled."""

    def __len__(self) -> int:
        return len(self._replies)

    def open(self) -> Reply:
        """Return a place after all others."""
        reply = Reply(self)
        self._replies.append(reply)
        return reply

    def take(self) -> Sequence[Outcome]:
        """Remove and return the outcomes that no unsettled reply precedes."""
        taken = []
        while self._replies and (outcome := self._replies[0].outcome) is not None:
            self._replies.popleft()
            taken.append(outcome)
        return taken
