"""Interface between a msgqueue and the journal of its cluster.

The journal is one sequence of frames. Their ``index`` counts from 1, without holes. Sending a frame promises
nothing: it may be stored later than one that was sent after it, more than once, or never. What is certain
comes from reading: every msgqueue reads the same frames in the same order.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fanline.errors import FanlineError


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame in the journal.

    Attributes:
        index: Its place: that of the entry before it, and 1.
        time: When the journal took it, in Unix milliseconds; the same for every reader.
        frame: Its bytes.
    """

    index: int
    time: int
    frame: bytes


class Ends(NamedTuple):
    """Indexes of the oldest and of the newest entry.

    Of an empty journal ``first`` is ``last`` + 1.
    """

    first: int
    last: int


class JournalError(FanlineError):
    """The journal did not answer, or refused; retrying may help."""


class JournalDamage(FanlineError):
    """The journal is another one than before, or has lost frames."""


class Journal(ABC):
    """One msgqueue's connection to the journal.

    Every method may be called while others run.
    """

    @abstractmethod
    async def append(self, frame: bytes, *, is_first: bool = False) -> None:
        """Send a frame; only reading tells whether it arrives.

        Args:
            frame: The frame.
            is_first: Store it only if the journal is empty.

        Raises:
            JournalError: If the journal refused it or cannot be reached. It may be stored all the same.
        """

    @abstractmethod
    def follow(self, last: int) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield the entries after ``last``, in their order, as they come.

        Entries that are there together come together. The generator reconnects by itself, and never ends. The
        last entry that was read comes again after each reconnect, so that it can be compared, unless it has
        been trimmed; a server that lags may send earlier ones before it. Only one such generator is open at a
        time; close it.

        Args:
            last: Index of the last entry that was read; 0 if there is none.

        Raises:
            JournalDamage: If the journal has not what comes next.
        """

    @abstractmethod
    async def ends(self) -> Ends:
        """Return the ends of the journal.

        Raises:
            JournalError: If they cannot be asked for.
        """

    @abstractmethod
    async def trim(self, first: int) -> None:
        """Remove the entries before an index.

        Raises:
            JournalError: If that fails; it may be done all the same.
        """

    @abstractmethod
    def change_server(self) -> None:
        """Leave the current server for another one.

        To be called when frames that were sent do not arrive.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""
