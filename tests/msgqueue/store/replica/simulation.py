"""Several replicas on one hostile journal, without I/O: everything depends on the seed alone."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import msgspec

from fanline.protocol import NewMessage, Record
from msgqueue.journal.base import Entry, JournalError
from msgqueue.journal.frame import (
    FRAME_VERSION,
    Append,
    ClaimShare,
    Frame,
    Genesis,
    Operation,
    ReleaseShare,
    SetCursor,
    encode_frame,
    to_frame,
)
from msgqueue.store.base import AppendResult
from msgqueue.store.replica.state import AppliedFrame, Replica, ReplicaState, first_state
from msgqueue.store.sqlite.writer import Appended
from tests.msgqueue.journal.memory_journal import HostileLog
from tests.msgqueue.store.store_model import START, Clock, Model

WINDOW_MS = 10_000
MOST_TOGETHER = 4

# Of the journal, for each entry: a member that sends none of so many is taken for gone.
ENTRY_MS = 400

JOBS = "jobs"

# So often each member works on a healed journal: until each has all its claims, and those of the gone.
MOST_ROUNDS = 30


class ListTables:
    """A log as a list, that frames are applied to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.model = Model(self.clock)

    def append_at(self, messages: Sequence[NewMessage], clock: int, window: int) -> Appended:
        assert window == WINDOW_MS
        self.clock.now = clock / 1000
        before = len(self.model.records)
        results = self.model.append(messages)
        return Appended(results, self.model.records[before:], self.model.time)

    def head(self) -> int:
        return self.model.last

    def set_cursor(self, name: str, seq: int) -> None:
        self.model.cursors[name] = seq

    def delete_cursor(self, name: str) -> None:
        self.model.cursors.pop(name, None)


class Work:
    """The work that members have done of a durable consumer's messages.

    Attributes:
        done: Which process has done each.
        gone: The processes that have been taken for gone.
    """

    def __init__(self) -> None:
        self.done: dict[int, str] = {}
        self.gone: set[str] = set()

    def do(self, seq: int, origin: str) -> None:
        """Do a message; none is done by two processes, unless one was taken for gone."""
        before = self.done.setdefault(seq, origin)
        assert before == origin or self.gone & {before, origin}, f"{seq} is done by {before} and by {origin}"
        self.done[seq] = origin

    def done_by(self, origin: str, first: int, last: int) -> int:
        """Return up to where a process has done a claim already, though that may not be known."""
        return next((seq - 1 for seq in range(first, last + 1) if self.done.get(seq) != origin), last)

    def check(self, before: ReplicaState, after: ReplicaState) -> None:
        """Take in what a replica has applied: nothing may be taken for done that is not."""
        self.gone |= before.alive.keys() - after.alive.keys()
        if (share := after.shares.get(JOBS)) is not None:
            assert all(seq in self.done for seq in range(1, share.position + 1))
            bounds = [seq for each in share.claims for seq in (each.first, each.last + 1)]
            assert bounds == sorted(bounds)


@dataclass
class Pending:
    """A frame that has not come back."""

    number: int
    data: bytes
    messages: list[NewMessage]
    releases: bool


class Member:
    """One msgqueue: it sends a frame until it comes back or is given up, and applies what it reads.

    Attributes:
        acked: The messages acknowledged, with their results.
        given_up: The messages of frames that were given up.
    """

    def __init__(
        self, name: str, log: HostileLog, random: Random, state: ReplicaState, work: Work | None = None
    ) -> None:
        self.name = name
        self.tables = ListTables()
        self.replica = Replica(state, f"{name}.1")
        self._work = work
        self.acked: list[tuple[NewMessage, AppendResult]] = []
        self.given_up: list[NewMessage] = []
        self._log = log
        self._random = random
        self._number = 0
        self._counter = 0
        self._may_have_released = False  # then nothing is done until a later frame has come back
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
        elif choice < 0.99:
            self._give_up()
        else:
            self._restart()

    def _give_up(self) -> None:
        if self.pending is not None:
            self.given_up += self.pending.messages
            self._may_have_released |= self.pending.releases
            self.pending = None

    def _restart(self) -> None:
        """Die, and be another process with the same log."""
        self._give_up()
        origin = self.replica.origin
        if self._work is not None:
            self._work.gone.add(origin)
        self.replica = Replica(self.replica.state, f"{self.name}.{int(origin.partition('.')[2]) + 1}")
        self._number = 0
        self._may_have_released = False

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
        for entry in entries:
            step = self.replica.apply([entry], self.tables)
            if self._work is not None:
                self._work.check(self.replica.state, step.state)
            self.replica.commit(step)
            for frame in step.frames:
                self._take(frame)

    def _take(self, frame: AppliedFrame) -> None:
        own = (self.replica.origin, self.pending.number if self.pending is not None else 0)
        if self.pending is not None and (frame.origin, frame.number) == own:
            results = [result for each in frame.results for result in each]
            self.acked += zip(self.pending.messages, results, strict=True)
            self._may_have_released = False
            self.pending = None

    def finish(self) -> int:
        """Do what is left of the durable consumer's messages, and say so; return its position."""
        if self._work is not None:
            self._propose(self._work_off(self._work, all_of_it=True))
        self.read(len(self._log.entries))
        return self.replica.state.shares[JOBS].position

    def _work_off(self, work: Work, *, all_of_it: bool = False) -> list[Operation]:
        """Do some of what is claimed, and say so; claim more, or give the rest back."""
        share = self.replica.state.shares.get(JOBS)
        operations: list[Operation] = []
        for first, last in share.of(self.replica.origin) if share and not self._may_have_released else ():
            done = work.done_by(self.replica.origin, first, last)
            position = last if all_of_it else self._random.randint(done, last)
            for seq in range(first, position + 1):
                work.do(seq, self.replica.origin)
            if position >= first:
                operations.append(SetCursor(JOBS, position))
        give_back = self._random.random() < 0.2 and not all_of_it and not self._may_have_released
        return [*operations, ReleaseShare(JOBS) if give_back else ClaimShare(JOBS, 0)]

    def _propose(self, operations: Sequence[Operation] = ()) -> None:
        self._number += 1
        messages = [self._message() for _ in range(0 if operations else self._random.randrange(4))]
        operations = [*operations, Append([to_frame(message) for message in messages])]
        if self._random.random() < 0.2:
            operations.append(SetCursor("c", self._random.randrange(100)))
        if self._work is not None and self._random.random() < 0.5:
            operations += self._work_off(self._work)
        clock = journal_time(self._log) + self._random.randrange(-20_000, 20_000)
        state = self.replica.state
        origin = self.replica.origin
        number, index, chain = self._number, state.index, state.chain
        frame = Frame(FRAME_VERSION, state.log, origin, number, clock, index, chain, operations)
        releases = any(isinstance(each, ReleaseShare) for each in operations)
        self.pending = Pending(self._number, encode_frame(frame), messages, releases)
        self.send()

    def _message(self) -> NewMessage:
        self._counter += 1
        id_ = str(self._random.randrange(20)) if self._random.random() < 0.3 else None
        content = msgspec.Raw(str(self._counter).encode())
        return NewMessage(f"t.{self.replica.origin}", content, id_, "shared" if id_ else self.name)


def journal_time(log: HostileLog) -> int:
    """Return the time of the next entry, in Unix milliseconds."""
    return round(START * 1000) + 30_000 + ENTRY_MS * len(log.entries)


def begun(random: Random, rate: float) -> tuple[HostileLog, ReplicaState]:
    """Return a journal that has begun, and the state of each member that joins it."""
    log = HostileLog(random, rate=rate, time=lambda: journal_time(log))
    log.begin(encode_frame(Frame(FRAME_VERSION, "e1", "first", 0, 0, 0, b"", [Genesis(0, WINDOW_MS)])))
    return log, first_state(log.entries[0])[0]


def simulate(seed: int, steps: int = 120) -> tuple[HostileLog, list[Member]]:
    """Have three members work on a hostile journal, then heal it and have them finish."""
    random = Random(seed)
    log, state = begun(random, rate=random.choice([0.05, 0.3, 0.6]))
    work = Work()
    members = [Member(name, log, random, state, work) for name in "abc"]
    for _ in range(steps):
        random.choice(members).step()
    log.heal()
    for member in members:
        member.send()
    for member in members:
        member.read(len(log.entries))
    for _ in range(MOST_ROUNDS):
        if min([member.finish() for member in members]) == members[0].tables.head():
            break
    for member in members:
        member.read(len(log.entries))
    return log, members
