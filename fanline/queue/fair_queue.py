"""Queue of many senders' messages, which take turns. No I/O.

A flood of one sender delays no other.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator
from typing import Final, Generic, TypeVar

# What a sender may have taken in one turn; what it does not use up for a larger message is kept for its next.
QUANTUM: Final = 16_384

# Added to the size of each message: small ones cost work too.
OVERHEAD: Final = 64

# What may be on its way to the log, without a reply, at a time. The rest waits in a fair queue: so a message
# waits for this much and for its turn. More would not make the log faster: one commit takes all that wait.
WINDOW_COUNT: Final = 1_024
WINDOW_BYTES: Final = 1 << 20

M = TypeVar("M")


class FairQueue(Generic[M]):
    """A queue for each sender, with deficit round robin.

    The turns go over users, and over the senders of each. The messages of a sender keep their order.

    Args:
        quantum: Bytes that a sender may have taken in one turn.

    Attributes:
        size: Bytes of all messages, as they were added.
    """

    def __init__(self, quantum: int = QUANTUM) -> None:
        self.size = 0
        self._quantum = quantum
        self._count = 0
        self._passed: Counter[str | None] = Counter()  # bytes that have not waited, since the last replies
        self._users: OrderedDict[str | None, _Lanes[M]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def add(self, message: M, size: int, *, user: str | None, sender: object) -> None:
        """Add a message after all others of its sender.

        The sender is one of the user's.
        """
        lanes = self._users.get(user)
        if lanes is None:
            lanes = self._users[user] = _Lanes()
        lane = lanes.get(sender)
        if lane is None:
            lane = lanes[sender] = _Lane()
        lane.messages.append((message, size))
        lanes.size += size
        self.size += size
        self._count += 1

    def take_turn(self) -> list[M]:
        """Remove and return the messages of the next turn.

        There are none while a sender saves for a large one.
        """
        user, lanes = next(iter(self._users.items()))
        sender, lane = next(iter(lanes.items()))
        messages = lane.messages
        deficit = lane.deficit + self._quantum
        taken: list[M] = []
        before = deficit
        while messages and messages[0][1] + OVERHEAD <= deficit:
            message, size = messages.popleft()
            deficit -= size + OVERHEAD
            taken.append(message)
        size = before - deficit - OVERHEAD * len(taken)
        self.size -= size
        lanes.size -= size
        self._count -= len(taken)
        lane.deficit = deficit
        lanes.move_to_end(sender)
        self._users.move_to_end(user)
        if not messages:
            self._drop(user, sender)
        return taken

    def may_pass(self, user: str | None, size: int, *, count: int, total: int) -> bool:
        """Return whether a message need not be added.

        That is so for a little of each user that has none waiting. Else it would wait until the window has
        room, and then for all that is in it.

        Args:
            user: The user.
            size: Bytes of the message.
            count: Messages that are on their way.
            total: Bytes that are on their way.
        """
        passed = self._passed[user] + size
        is_crowded = total >= 2 * WINDOW_BYTES or count >= 2 * WINDOW_COUNT
        if is_crowded or passed > self._quantum or user in self._users:
            return False
        self._passed[user] = passed
        return True

    def note_replies(self) -> None:
        """Permit each user a little again, because the window has room."""
        self._passed.clear()

    def has_share(self, user: str | None, limit: int) -> bool:
        """Return whether a user has its share of a limit waiting.

        The share is half of the limit, divided by the users that wait.
        """
        lanes = self._users.get(user)
        return lanes is not None and lanes.size * 2 * len(self._users) >= limit

    def first_of_each(self) -> Iterator[M]:
        """Yield the oldest message of each sender."""
        for lanes in self._users.values():
            for lane in lanes.values():
                yield lane.messages[0][0]

    def remove(self, senders: Collection[object]) -> list[M]:
        """Remove and return all messages of some senders."""
        found = [
            (user, sender) for user, lanes in self._users.items() for sender in lanes if sender in senders
        ]
        removed: list[M] = []
        for user, sender in found:
            messages = self._users[user][sender].messages
            removed += (message for message, _ in messages)
            size = sum(size for _, size in messages)
            self.size -= size
            self._users[user].size -= size
            self._drop(user, sender)
        self._count -= len(removed)
        return removed

    def _drop(self, user: str | None, sender: object) -> None:
        lanes = self._users[user]
        del lanes[sender]
        if not lanes:
            del self._users[user]


class _Lanes(OrderedDict[object, "_Lane[M]"], Generic[M]):
    """The senders of one user, and their messages' size together."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


class _Lane(Generic[M]):
    """Messages of one sender with sizes, and its unused turns' bytes."""

    __slots__ = ("deficit", "messages")

    def __init__(self) -> None:
        self.messages: deque[tuple[M, int]] = deque()
        self.deficit = 0
