"""Several replicas on one hostile journal, without I/O: everything depends on the seed alone."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import msgspec

from fanline.protocol import NewMessage, Record
from msgqueue.journal.base import Entry, JournalError
from msgqueue.journal.frame import (
    VERSION,
    Append,
    Frame,
    Genesis,
    Operation,
    SetCursor,
    encode_frame,
    to_frame,
)
from msgqueue.store.base import Receipt
from msgqueue.store.replica.state import Replica, ReplicaState, first_state
from msgqueue.store.sqlite.writer import Appended
from tests.msgqueue.journal.memory_journal import HostileLog
from tests.msgqueue.store.store_model import START, Clock, Model

WINDOW_MS = 10_000
MOST_TOGETHER = 4


class ListTables:
    """A log as a list, that frames are applied to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.model = Model(self.clock)

    def append_at(self, messages: Sequence[NewMessage], clock: int, window: int) -> Appended:
        assert window == WINDOW_MS
        self.clock.now = clock / 1000
        before = len(self.model.records)
        receipts = self.model.append(messages)
        return Appended(receipts, self.model.records[before:], self.model.time)

    def set_cursor(self, name: str, seq: int) -> None:
        self.model.cursors[name] = seq

    def delete_cursor(self, name: str) -> None:
        self.model.cursors.pop(name, None)


@dataclass
class Pending:
    """A frame that has not come back."""

    number: int
    data: bytes
    messages: list[NewMessage]


class Member:
    """One msgqueue: it sends a frame until it comes back or is given up, and applies what it reads.

    Attributes:
        acked: The messages acknowledged, with their receipts.
        given_up: The messages of frames that were given up.
    """

    def __init__(self, name: str, log: HostileLog, random: Random, state: ReplicaState) -> None:
        self.name = name
        self.tables = ListTables()
        self.replica = Replica(state, name)
        self.acked: list[tuple[NewMessage, Receipt]] = []
        self.given_up: list[NewMessage] = []
        self._log = log
        self._random = random
        self._number = 0
        self._counter = 0
        self.pending: Pending | None = None

    @property
    def records(self) -> list[Record]:
        return self.tables.model.records

    def step(self) -> None:
        """Do the next thing that a msgqueue could."""
        choice = self._random.random()
        if choice < 0.5:
            self.read(self._random.randrange(1, MOST_TOGETHER))
        elif self.pending is None:
            self._propose()
        elif choice < 0.95:
            self.send()
        else:
            self.given_up += self.pending.messages
            self.pending = None

    def send(self) -> None:
        """Send what has not come back, again."""
        if self.pending is not None:
            with contextlib.suppress(JournalError):
                self._log.send(self.name, self.pending.data)

    def read(self, most: int) -> None:
        """Apply what has come."""
        index = self.replica.state.index
        entries = self._log.entries[self._log.first_sent(index) : index + most]
        if entries and self._log.reaches(self.name):
            self.apply(entries)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply entries, and take acknowledgements from them."""
        step = self.replica.apply(entries, self.tables)
        self.replica.commit(step)
        for frame in step.frames:
            if self.pending is not None and (frame.origin, frame.number) == (self.name, self.pending.number):
                receipts = [receipt for each in frame.receipts for receipt in each]
                self.acked += zip(self.pending.messages, receipts, strict=True)
                self.pending = None

    def _propose(self) -> None:
        self._number += 1
        messages = [self._message() for _ in range(self._random.randrange(4))]
        operations: list[Operation] = [Append([to_frame(message) for message in messages])]
        if self._random.random() < 0.2:
            operations.append(SetCursor("c", self._random.randrange(100)))
        clock = round(START * 1000) + self._random.randrange(60_000)
        state = self.replica.state
        frame = Frame(
            VERSION, state.log, self.name, self._number, clock, state.index, state.chain, operations
        )
        self.pending = Pending(self._number, encode_frame(frame), messages)
        self.send()

    def _message(self) -> NewMessage:
        self._counter += 1
        id_ = str(self._random.randrange(20)) if self._random.random() < 0.3 else None
        content = msgspec.Raw(str(self._counter).encode())
        return NewMessage(f"t.{self.name}", content, id_, "shared" if id_ else self.name)


def begun(random: Random, rate: float) -> tuple[HostileLog, ReplicaState]:
    """Return a journal that has begun, and the state of each member that joins it."""
    log = HostileLog(random, rate=rate, time=lambda: round(START * 1000) + 30_000)
    log.begin(encode_frame(Frame(VERSION, "e1", "first", 0, 0, 0, b"", [Genesis(0, WINDOW_MS)])))
    return log, first_state(log.entries[0])[0]


def simulate(seed: int, steps: int = 120) -> tuple[HostileLog, list[Member]]:
    """Have three members work on a hostile journal, then heal it and have them finish."""
    random = Random(seed)
    log, state = begun(random, rate=random.choice([0.05, 0.3, 0.6]))
    members = [Member(name, log, random, state) for name in "abc"]
    for _ in range(steps):
        random.choice(members).step()
    log.heal()
    for member in members:
        member.send()
    for member in members:
        member.read(len(log.entries))
    return log, members
