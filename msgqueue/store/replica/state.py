"""Apply frames to a log, so that every msgqueue that reads the journal computes the same. No I/O."""

import secrets
from collections import ChainMap
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec

from fanline.protocol import NewMessage, Record
from msgqueue.journal.base import Entry, JournalDamage
from msgqueue.journal.fence import Fences
from msgqueue.journal.frame import (
    Append,
    DeleteCursor,
    Frame,
    FrameError,
    Genesis,
    Operation,
    SetCursor,
    decode_frame,
    from_frame,
)
from msgqueue.store.base import Receipt
from msgqueue.store.replica.agreement import Agreement, Verdict
from msgqueue.store.replica.trimming import with_mark, with_member
from msgqueue.store.sqlite.writer import Appended

# A sender's clock may be ahead of the journal's by so much.
AHEAD_MS: Final = 2_000

# Checksums remembered, to compare with those of other msgqueues.
MAX_CHAINS: Final = 10_000

_DIGEST_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


class ReplicaState(msgspec.Struct, frozen=True):
    """How far a log has applied the journal; stored with what was applied.

    Attributes:
        log: Epoch of the log.
        window: Milliseconds for which an id counts.
        index: Of the last entry applied; 0 if there is none.
        time: The time of the journal, in Unix milliseconds; it never goes back.
        digest: Checksum of the last entry applied.
        chain: Checksum of all that was applied and decided.
        fences: Of each sender the highest number applied, and the time of that.
        members: Of each msgqueue the entry up to which it has everything on disk, and when it said so.
        marks: Times of some entries, and their indexes.
    """

    log: str
    window: int
    index: int = 0
    time: int = 0
    digest: bytes = b""
    chain: bytes = b""
    fences: dict[str, tuple[int, int]] = {}
    members: dict[str, tuple[int, int]] = {}
    marks: list[tuple[int, int]] = []


def new_origin(member: str) -> str:
    """Return a random name for a process of a member, which is one data folder."""
    return f"{member}.{secrets.token_hex(8)}"


def member_of(origin: str) -> str:
    """Return the member that a process belongs to."""
    return origin.partition(".")[0]


class Tables(Protocol):
    """The log that frames are applied to, within a transaction."""

    def append_at(self, messages: Sequence[NewMessage], clock: int, window: int) -> Appended:
        """Store messages at a time, or later if the log is later."""
        ...

    def set_cursor(self, name: str, seq: int) -> None:
        """Put a cursor at a position."""
        ...

    def delete_cursor(self, name: str) -> None:
        """Forget a consumer."""
        ...


class AppliedFrame(NamedTuple):
    """Result of a frame that counted: the receipts of each operation that stored messages, else none."""

    origin: str
    number: int
    receipts: list[list[Receipt]]


class Step(NamedTuple):
    """Result of applying some entries; it counts once it is passed to :meth:`Replica.commit`."""

    state: ReplicaState
    frames: list[AppliedFrame]
    records: list[Record]
    chains: dict[int, bytes]
    verdicts: list[Verdict]


class Replica:
    """A log's way through the journal.

    Args:
        state: Where it begins.
        origin: Name of this process in its frames.

    Attributes:
        state: How far it has got.
    """

    def __init__(self, state: ReplicaState, origin: str) -> None:
        self.state = state
        self._origin = origin
        self._chains = {state.index: state.chain}
        self._agreement = Agreement()

    @property
    def problem(self) -> str | None:
        """Say what is wrong if this log differs from those of the other msgqueues."""
        return self._agreement.problem

    def apply(self, entries: Sequence[Entry], tables: Tables) -> Step:
        """Apply the next entries. Those before the last one applied are ignored; that one must be the same.

        A server that lags delivers from its own end on, before what was asked for.

        Raises:
            JournalDamage: If they are not the next entries of this journal.
            StoreError: If the log cannot be written.
        """
        step = Step(self.state, [], [], {}, [])
        for entry in entries:
            step = self._apply(entry, tables, step)
        return step

    def commit(self, step: Step) -> None:
        """Go on from what was applied, once it is stored."""
        self.state = step.state
        self._chains |= step.chains
        while len(self._chains) > MAX_CHAINS:
            del self._chains[next(iter(self._chains))]
        for verdict in step.verdicts:
            self._agreement.note(verdict)

    def _apply(self, entry: Entry, tables: Tables, step: Step) -> Step:
        state = step.state
        if entry.index < state.index:
            return step
        digest = _digest(entry.frame)
        if entry.index == state.index:
            _require_same(entry, digest == state.digest)
            return step
        frame = _decoded(entry, state)
        clock = min(frame.clock, entry.time + AHEAD_MS)
        now = max(state.time, clock)
        seen = ChainMap(step.chains, self._chains).get(frame.seen)
        if seen is not None and frame.origin != self._origin:
            step.verdicts.append(Verdict(frame.origin, now, frame.seen, seen == frame.chain))
        fences = Fences(state.fences)
        decisions: list[tuple[int, list[Receipt]]] | None = None
        if fences.admit(frame.origin, frame.number, now):
            appended = [_perform(each, tables, clock, state.window) for each in frame.operations]
            done = [each for each in appended if each is not None]
            decisions = [(each.time, each.receipts) for each in done]
            step.frames.append(AppliedFrame(frame.origin, frame.number, [each.receipts for each in done]))
            step.records.extend(record for each in done for record in each.records)
        chain = _digest(state.chain + digest + _encode(decisions))
        step.chains[entry.index] = chain
        return step._replace(
            state=msgspec.structs.replace(
                state,
                index=entry.index,
                time=now,
                digest=digest,
                chain=chain,
                fences=fences.numbers,
                members=with_member(state.members, member_of(frame.origin), frame.seen, now),
                marks=with_mark(state.marks, entry.index, now),
            )
        )


def first_state(entry: Entry) -> tuple[ReplicaState, Genesis]:
    """Return where a log begins, by the first entry of its journal.

    Raises:
        JournalDamage: If a journal does not begin with that.
    """
    frame = _frame_of(entry)
    genesis = frame.operations[0] if frame.operations else None
    if entry.index != 1 or not isinstance(genesis, Genesis):
        raise JournalDamage("the journal does not begin as a journal does: it is something else's stream")
    return ReplicaState(frame.log, genesis.window), genesis


def _perform(operation: Operation, tables: Tables, clock: int, window: int) -> Appended | None:
    match operation:
        case Append(messages, cursors):
            appended = tables.append_at([from_frame(message) for message in messages], clock, window)
            for name, position in cursors.items():
                tables.set_cursor(name, position)
            return appended
        case SetCursor(name, position):
            tables.set_cursor(name, position)
        case DeleteCursor(name):
            tables.delete_cursor(name)
        case Genesis():
            pass
    return None


def _decoded(entry: Entry, state: ReplicaState) -> Frame:
    if entry.index != state.index + 1:
        raise JournalDamage(
            f"the journal has lost entries: {entry.index} came after {state.index}; nothing more is applied"
        )
    frame = _frame_of(entry)
    if frame.log != state.log:
        raise JournalDamage(f"entry {entry.index} of the journal belongs to another log, {frame.log}")
    return frame


def _frame_of(entry: Entry) -> Frame:
    try:
        return decode_frame(entry.frame)
    except FrameError as error:
        raise JournalDamage(f"entry {entry.index} of the journal cannot be read: {error}") from None


def _require_same(entry: Entry, is_same: bool) -> None:
    if not is_same:
        raise JournalDamage(
            f"entry {entry.index} of the journal is another one than this msgqueue has applied: the journal"
            " has lost entries, or is another one"
        )


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
