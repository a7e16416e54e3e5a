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
    """Parcels in one order: that in which they were added, are sent, and are answered."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[P, None] = OrderedDict()
        self._sent: deque[P] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    def __iter__(self) -> Iterator[P]:
        return chain(self._sent, self._waiting)

    def add(self, parcel: P) -> None:
        """Let a parcel wait to be sent."""
        self._waiting[parcel] = None

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
        return self._sent.popleft()

    def withdraw(self, parcel: P) -> bool:
        """Do not send a parcel (again); return whether it is out, or else still waits for its answer."""
        parcel.withdrawn = True
        if parcel not in self._waiting:
            return False
        del self._waiting[parcel]
        return True

    def rewind(self) -> list[P]:
        """Let everything without an answer wait to be sent again; return what was withdrawn, and is out."""
        everything = list(self)
        self._sent.clear()
        self._waiting = OrderedDict.fromkeys(parcel for parcel in everything if not parcel.withdrawn)
        return [parcel for parcel in everything if parcel.withdrawn]

    def take_largest_sent(self) -> P | None:
        """Take out the largest parcel that waits for its answer; None if none does."""
        if not self._sent:
            return None
        largest = max(self._sent, key=lambda parcel: len(parcel.body))
        self._sent.remove(largest)
        return largest
