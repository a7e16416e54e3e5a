"""Messages on their way: those that wait to be sent, and those sent that wait for their answer. No I/O."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import chain
from typing import Generic, TypeVar


class Parcel:
    """One message on its way.

    Attributes:
        id: The idempotency key that lets it be sent again safely.
        body: Its JSON text, as it is sent.
        withdrawn: Whether its sender has lost interest: it is not sent (again).
    """

    __slots__ = ("body", "id", "withdrawn")

    def __init__(self, id: str, body: bytes) -> None:  # noqa: A002 - wire name
        self.id = id
        self.body = body
        self.withdrawn = False


P = TypeVar("P", bound=Parcel)


class Flight(Generic[P]):
    """Parcels in one order: that in which they were added, are sent, and are answered.

    Args:
        max_count: Parcels with which it is full.
        max_bytes: Bytes of their bodies with which it is full.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[P, None] = OrderedDict()
        self._sent: deque[P] = deque()
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no further parcel should be added for now."""
        return len(self) >= self._max_count or self._bytes >= self._max_bytes

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def __iter__(self) -> Iterator[P]:
        return chain(self._sent, self._waiting)

    def add(self, parcel: P) -> None:
        """Let a parcel wait to be sent."""
        self._waiting[parcel] = None
        self._bytes += len(parcel.body)

    def take(self, max_bytes: int) -> list[P]:
        """Return the next parcels to send together: as many as fit, and one at least if any waits."""
        taken: list[P] = []
        size = 0
        while self._waiting:
            parcel = next(iter(self._waiting))
            size += len(parcel.body)
            if taken and size > max_bytes:
                break
            del self._waiting[parcel]
            taken.append(parcel)
        self._sent.extend(taken)
        return taken

    def answered(self, id: str | None) -> P | None:  # noqa: A002 - wire name
        """Take out the parcel that the next answer is for.

        Args:
            id: What the answer says; None if it does not.

        Returns:
            The oldest parcel sent, or None if that is another one than the answer says.
        """
        if not self._sent or id not in (None, self._sent[0].id):
            return None
        parcel = self._sent.popleft()
        self._bytes -= len(parcel.body)
        return parcel

    def withdraw(self, parcel: P) -> None:
        """Do not send a parcel (again); if it is on its way already, its answer is still to come."""
        parcel.withdrawn = True
        if parcel in self._waiting:
            del self._waiting[parcel]
            self._bytes -= len(parcel.body)

    def rewind(self) -> None:
        """Let everything without an answer wait to be sent again, except what was withdrawn."""
        self._waiting = OrderedDict.fromkeys(parcel for parcel in self if not parcel.withdrawn)
        self._sent.clear()
        self._bytes = sum(len(parcel.body) for parcel in self._waiting)

    def clear(self) -> list[P]:
        """Take everything out, and return it."""
        everything = list(self)
        self._waiting.clear()
        self._sent.clear()
        self._bytes = 0
        return everything

    def take_largest_sent(self) -> P | None:
        """Take out the largest parcel that waits for its answer; None if none does."""
        if not self._sent:
            return None
        largest = max(self._sent, key=lambda parcel: len(parcel.body))
        self._sent.remove(largest)
        self._bytes -= len(largest.body)
        return largest
