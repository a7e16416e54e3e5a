"""Messages to be sent, and sent ones without an outcome. No I/O.

It reads no clock.
"""

import math
import sys
from collections import deque
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Generic, TypeVar

import msgspec


class PendingMessage(msgspec.Struct, eq=False):
    """One message without an outcome.

    It is a struct, because one is made for each message.

    Attributes:
        id: The idempotency key that lets it be sent again safely.
        body: Its JSON text, as it is sent.
        group: Messages with the same one expire together; a message with None never expires.
        deadline: When it expires, by the owner's clock.
        was_sent: Whether it was sent, on this connection or an earlier one.
        is_abandoned: Whether its sender does not wait for it any more: it is not sent (again).
        is_waiting: Whether it is still to be sent on this connection.
    """

    id: str
    body: bytes
    group: object = None
    deadline: float = math.inf
    was_sent: bool = False
    is_abandoned: bool = False
    is_waiting: bool = True


P = TypeVar("P", bound=PendingMessage)


class Outbox(Generic[P]):
    """Pending messages in one order: added, sent, and settled.

    Args:
        max_count: Messages with which it is full.
        max_bytes: Bytes of their bodies with which it is full.

    Attributes:
        size: Bytes of their bodies.
    """

    def __init__(self, *, max_count: int = sys.maxsize, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._waiting: deque[P] = deque()  # abandoned messages among them are skipped
        self._sent: deque[P] = deque()
        self._abandoned = 0
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Return whether no further message should be added for now."""
        count = len(self._waiting) - self._abandoned + len(self._sent)  # not len(self): asked per message
        return self.size >= self._max_bytes or count >= self._max_count

    @property
    def has_waiting(self) -> bool:
        """Return whether there is something to send."""
        return len(self._waiting) > self._abandoned

    def __len__(self) -> int:
        return len(self._waiting) - self._abandoned + len(self._sent)

    def __iter__(self) -> Iterator[P]:
        return chain(self._sent, (message for message in self._waiting if not message.is_abandoned))

    def add(self, message: P) -> None:
        """Add a message to be sent, after all others."""
        self._waiting.append(message)
        self.size += len(message.body)

    def take(self, max_bytes: int, max_count: int = sys.maxsize) -> list[P]:
        """Return the next messages that fit together, at least one."""
        waiting = self._waiting
        taken: list[P] = []
        size = 0
        while waiting and len(taken) < max_count:
            message = waiting[0]
            if message.is_abandoned:
                waiting.popleft()
                self._abandoned -= 1
                continue
            size += len(message.body)
            if taken and size > max_bytes:
                break
            waiting.popleft()
            message.was_sent, message.is_waiting = True, False
            taken.append(message)
        self._sent.extend(taken)
        return taken

    def settle_next(self, id: str | None) -> P | None:  # noqa: A002 - wire name
        """Remove the message of the next reply, for replies in order.

        Args:
            id: What the reply says; None if it does not.

        Returns:
            The oldest message sent, or None if that is another one than the reply says.
        """
        sent = self._sent
        if not sent or (id is not None and id != sent[0].id):
            return None
        message = sent.popleft()
        self.size -= len(message.body)
        return message

    def settle(self, id: str) -> P | None:  # noqa: A002 - wire name
        """Remove the sent message of an id, for replies in any order.

        The result is None if there is none.
        """
        for index, message in enumerate(self._sent):
            if message.id == id:
                del self._sent[index]
                return self._removed(message)
        return None

    def settle_largest(self) -> P | None:
        """Remove the largest message that this connection sent, if any."""
        if not self._sent:
            return None
        largest = max(self._sent, key=lambda message: len(message.body))
        self._sent.remove(largest)
        return self._removed(largest)

    def abandon(self, message: P) -> None:
        """Do not send a message (again).

        If it was sent on this connection, its reply is still to come.
        """
        if message.is_waiting and not message.is_abandoned:
            self._abandoned += 1
            self._removed(message)
        message.is_abandoned = True
        if 2 * self._abandoned > len(self._waiting):
            self._drop_abandoned()

    def expire(self, now: float, groups: Collection[object] = ()) -> list[P]:
        """Abandon every message past its deadline, with all of its group.

        Messages of the given groups are abandoned too. If later messages of a sender were kept, they would
        overtake the expired one when it is sent again.

        Returns:
            What was abandoned, in order.
        """
        overdue = {message.group for message in self if message.deadline <= now and not message.is_abandoned}
        overdue = (overdue | set(groups)) - {None}
        if not overdue:
            return []
        expired = [message for message in self if message.group in overdue and not message.is_abandoned]
        for message in expired:
            self.abandon(message)
        return expired

    def put_back(self) -> None:
        """Mark sent messages without outcome to be sent again, in order.

        Abandoned ones are dropped.
        """
        for message in self._sent:
            message.is_waiting = True
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._drop_abandoned()
        self.size = sum(len(message.body) for message in self._waiting)

    def clear(self) -> list[P]:
        """Remove everything, and return it."""
        everything = list(self)
        self._waiting.clear()
        self._sent.clear()
        self._abandoned = self.size = 0
        return everything

    def _drop_abandoned(self) -> None:
        self._waiting = deque(message for message in self._waiting if not message.is_abandoned)
        self._abandoned = 0

    def _removed(self, message: P) -> P:
        self.size -= len(message.body)
        return message
