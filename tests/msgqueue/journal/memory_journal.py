"""A journal in memory that does what a real one may do wrong."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from enum import Enum
from random import Random
from typing import Final, Self

from fanline.change_notifier import ChangeNotifier
from msgqueue.journal.base import Ends, Entry, Journal, JournalError

# Sends during which the journal has no leader, or a member is cut off.
LONGEST_OUTAGE: Final = 12

# How many entries a server may lag.
LARGEST_LAG: Final = 5

MOST_TOGETHER: Final = 10


class Fault(Enum):
    """A misfortune of a frame that is sent."""

    LOST = "not stored, and not answered"
    REFUSED = "not stored, with an error"
    ACK_LOST = "stored, with an error"
    REPEATED = "stored twice"
    DELAYED = "stored after frames that are sent later"
    NO_LEADER = "not stored for some time, and what was delayed is lost or stored"
    PARTITION = "its sender neither sends nor reads for some time"


class HostileLog:
    """A sequence of entries, and the way there. No I/O, and the same for the same seed.

    Args:
        random: Decides what goes wrong.
        rate: How often something does, from 0 to 1.
        time: Returns the time of the entries, in Unix milliseconds.
        faults: What may go wrong.

    Attributes:
        entries: All that was stored.
        first: Index of the first that is still there.
        happened: How often each fault was met.
    """

    def __init__(
        self,
        random: Random,
        *,
        rate: float = 0.0,
        time: Callable[[], int] = lambda: 1 << 60,
        faults: Sequence[Fault] = tuple(Fault),
    ) -> None:
        self.entries: list[Entry] = []
        self.first = 1
        self.happened = dict.fromkeys(Fault, 0)
        self._random = random
        self._rate = rate
        self._time = time
        self._faults = faults
        self._failure = ""
        self._late: list[bytes] = []
        self._leaderless = 0
        self._cut_off: dict[str, int] = {}

    def send(self, sender: str, frame: bytes) -> None:
        """Send a frame.

        Args:
            sender: Which member sends it.
            frame: The frame.

        Raises:
            JournalError: As a real journal would; the frame may be stored all the same.
        """
        if self._failure:
            raise JournalError(self._failure)
        if not self.reaches(sender):
            raise JournalError("this member is cut off")
        if self._leaderless:
            self._leaderless -= 1
            raise JournalError("there is no leader")
        if self._random.random() >= self._rate:
            self._store(frame)
            self._deliver_late()
            return
        fault = self._random.choice(self._faults)
        self.happened[fault] += 1
        self._suffer(fault, sender, frame)

    def trim(self, first: int) -> None:
        """Remove the entries before an index."""
        self.first = max(self.first, first)

    def first_sent(self, last: int) -> int:
        """Return the number of entries before the first that a new reader gets, who has read up to ``last``.

        It begins with the last one read, or on a server that lags, with an earlier one.
        """
        lag = self._random.randrange(LARGEST_LAG) if self._random.random() < self._rate else 0
        return max(0, last - 1 - lag, self.first - 1)

    def begin(self, frame: bytes) -> None:
        """Store the first frame, if there is none.

        Raises:
            JournalError: If there is one.
        """
        if self.entries:
            raise JournalError("the journal is not empty")
        self._store(frame)

    def reaches(self, member: str) -> bool:
        """Return whether a member reaches the journal; each attempt brings the end of a partition nearer."""
        left = self._cut_off.get(member, 0)
        self._cut_off[member] = max(0, left - 1)
        return not left

    def fail(self, reason: str) -> None:
        """Refuse all that is sent, until it is healed."""
        self._failure = reason

    def cut_off(self, member: str) -> None:
        """Cut a member off, until it is healed."""
        self._cut_off[member] = sys.maxsize

    def heal(self) -> None:
        """Work without a fault from now on; what is on the way arrives."""
        self._rate = 0.0
        self._failure = ""
        self._leaderless = 0
        self._cut_off.clear()
        while self._late:
            self._deliver_late()

    def _suffer(self, fault: Fault, sender: str, frame: bytes) -> None:
        if fault in (Fault.REPEATED, Fault.ACK_LOST):
            self._store(frame)
        if fault is Fault.REPEATED:
            self._store(frame)
        elif fault is Fault.DELAYED:
            self._late.append(frame)
        elif fault is Fault.NO_LEADER:
            self._leaderless = self._random.randrange(LONGEST_OUTAGE)
            self._random.shuffle(self._late)
            del self._late[self._random.randrange(len(self._late) + 1) :]
        elif fault is Fault.PARTITION:
            self._cut_off[sender] = self._random.randrange(LONGEST_OUTAGE)
        if fault in (Fault.REFUSED, Fault.ACK_LOST):
            raise JournalError(f"the journal failed: {fault.value}")

    def _deliver_late(self) -> None:
        for frame in self._random.sample(self._late, self._random.randrange(len(self._late) + 1)):
            self._late.remove(frame)
            self._store(frame)

    def _store(self, frame: bytes) -> None:
        self.entries.append(Entry(len(self.entries) + 1, self._time(), frame))


class MemoryJournal(Journal):
    """A member's connection to a :class:`HostileLog`.

    Args:
        log: What all members share.
        grown: Fires when an entry was stored; shared as well.
        member: Name of this one.
    """

    def __init__(self, log: HostileLog, grown: ChangeNotifier, member: str) -> None:
        self._log = log
        self._grown = grown
        self._member = member

    @classmethod
    def connected(cls, log: HostileLog, members: Sequence[str]) -> list[Self]:
        """Return a connection for each of some members."""
        grown = ChangeNotifier()
        return [cls(log, grown, member) for member in members]

    async def append(self, frame: bytes, *, is_first: bool = False) -> None:
        """See :meth:`Journal.append`."""
        await asyncio.sleep(0)
        try:
            if is_first:
                self._log.begin(frame)
            else:
                self._log.send(self._member, frame)
        finally:
            self._grown.fire()

    async def follow(self, last: int) -> AsyncGenerator[Sequence[Entry], None]:
        """See :meth:`Journal.follow`."""
        after = self._log.first_sent(last)
        while True:
            changed = self._grown.next
            found = self._log.entries[after : after + MOST_TOGETHER]
            if found and self._log.reaches(self._member):
                yield found
                after = found[-1].index
            else:
                await asyncio.wait([changed])

    async def ends(self) -> Ends:
        """See :meth:`Journal.ends`."""
        return Ends(self._log.first, len(self._log.entries))

    async def trim(self, first: int) -> None:
        """See :meth:`Journal.trim`."""
        self._log.trim(first)

    def change_server(self) -> None:
        """See :meth:`Journal.change_server`; there is no other one."""

    async def close(self) -> None:
        """See :meth:`Journal.close`; others go on."""
