"""Application of frames to a log, the same for every replica.

It does no I/O.
"""

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
    ClaimShare,
    DeleteCursor,
    Frame,
    FrameError,
    Genesis,
    Operation,
    ReleaseShare,
    SetCursor,
    decode_frame,
    from_frame,
)
from msgqueue.store.base import AppendResult
from msgqueue.store.replica.agreement import Agreement, Verdict
from msgqueue.store.replica.shares import STEP_MS, Share, member_of, with_sender
from msgqueue.store.replica.trimming import with_mark, with_member
from msgqueue.store.sqlite.writer import Appended

# A sender's clock may be ahead of the journal's by so much.
AHEAD_MS: Final = 2_000

# Checksums remembered, to compare with those of other msgqueues.
MAX_CHAINS: Final = 10_000

_DIGEST_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


class ReplicaState(msgspec.Struct, frozen=True):
    """A log's progress in the journal, stored with the log.

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
        awake: Milliseconds that the journal has been running: as ``time``, but standing still with it.
        alive: The processes that are there, and how far ``awake`` was at the last frame of each.
        shares: The durable consumers that msgqueues have claimed parts of.
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
    awake: int = 0
    alive: dict[str, int] = {}
    shares: dict[str, Share] = {}


def new_origin(member: str) -> str:
    """Return a random name for a process of a member.

    A member is one data folder.
    """
    return f"{member}.{secrets.token_hex(8)}"


class Tables(Protocol):
    """The log that frames are applied to, within a transaction."""

    def append_at(self, messages: Sequence[NewMessage], clock: int, window: int) -> Appended:
        """Store messages at a time, or later if the log is later."""
        ...

    def head(self) -> int:
        """Return the position of the newest record."""
        ...

    def set_cursor(self, name: str, seq: int) -> None:
        """Put a cursor at a position."""
        ...

    def delete_cursor(self, name: str) -> None:
        """Forget a consumer."""
        ...


class AppliedFrame(NamedTuple):
    """Result of a frame that counted: results of each operation.

    An operation that stores no messages has none.
    """

    origin: str
    number: int
    results: list[list[AppendResult]]


class Step(NamedTuple):
    """Result of applying some entries, to be passed to :meth:`Replica.commit`.

    It counts once it has been passed.
    """

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
        origin: As given.
        state: How far it has got.
    """

    def __init__(self, state: ReplicaState, origin: str) -> None:
        self.state = state
        self.origin = origin
        self._chains = {state.index: state.chain}
        self._agreement = Agreement()

    @property
    def problem(self) -> str | None:
        """Return how this log differs from other msgqueues' logs, or None."""
        return self._agreement.problem

    def apply(self, entries: Sequence[Entry], tables: Tables) -> Step:
        """Apply the next entries, ignoring those applied before.

        The last one applied must be the same if it comes again. A server that lags delivers from its own end
        on, before what was asked for.

        Raises:
            JournalDamage: If they are not the next entries of this journal.
            StoreError: If the log cannot be written.
        """
        step = Step(self.state, [], [], {}, [])
        for entry in entries:
            step = self._apply(entry, tables, step)
        return step

    def commit(self, step: Step) -> None:
        """Continue from what was applied, once it is stored."""
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
        if seen is not None and frame.origin != self.origin:
            step.verdicts.append(Verdict(member_of(frame.origin), now, frame.seen, seen == frame.chain))
        fences = Fences(state.fences)
        is_new = frame.origin not in state.fences
        decisions: list[object] | None = None
        if fences.admit(frame.origin, frame.number, now):
            state = _running(state, frame.origin, now, is_new=is_new)
            performer = _Performer(tables, frame.origin, clock, state)
            for operation in frame.operations:
                performer.perform(operation)
            state = msgspec.structs.replace(state, shares=performer.shares)
            decisions = performer.decisions
            done = performer.appended
            step.frames.append(AppliedFrame(frame.origin, frame.number, [each.results for each in done]))
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


def _running(state: ReplicaState, origin: str, now: int, *, is_new: bool) -> ReplicaState:
    """Return the state after noting that a frame's sender is alive."""
    awake = state.awake + min(now - state.time, STEP_MS)
    alive = with_sender(state.alive, origin, awake, is_new=is_new)
    return msgspec.structs.replace(state, awake=awake, alive=alive)


class _Performer:
    """Performs the operations of one frame.

    Args:
        tables: The log.
        origin: Who sent the frame.
        clock: The time, in Unix milliseconds.
        state: The state before its operations.

    Attributes:
        appended: Result of each operation that stored messages.
        shares: The durable consumers, as they are now.
        decisions: What was decided, for the checksum.
    """

    def __init__(self, tables: Tables, origin: str, clock: int, state: ReplicaState) -> None:
        self.appended: list[Appended] = []
        self.shares = dict(state.shares)
        self.decisions: list[object] = []
        self._tables = tables
        self._origin = origin
        self._clock = clock
        self._state = state

    def perform(self, operation: Operation) -> None:
        """Perform an operation."""
        match operation:
            case Append(messages, cursors):
                self._append([from_frame(message) for message in messages])
                for name, position in cursors.items():
                    self._set_cursor(name, position)
            case SetCursor(name, position):
                self._set_cursor(name, position)
            case ClaimShare(name, after):
                share = self.shares.get(name) or Share(after)
                self._keep(name, share.claimed(self._origin, self._tables.head(), self._state.alive))
            case ReleaseShare(name, failures):
                if name in self.shares:
                    self._keep(name, self.shares[name].released(self._origin, failures))
            case DeleteCursor(name):
                self.shares.pop(name, None)
                self._tables.delete_cursor(name)
            case Genesis():
                pass

    def _append(self, messages: Sequence[NewMessage]) -> None:
        appended = self._tables.append_at(messages, self._clock, self._state.window)
        self.appended.append(appended)
        self.decisions.append((appended.time, appended.results))

    def _set_cursor(self, name: str, position: int) -> None:
        if name in self.shares:
            self._keep(name, self.shares[name].done(self._origin, position))
        else:
            self._tables.set_cursor(name, position)

    def _keep(self, name: str, share: Share) -> None:
        self.shares[name] = share
        self.decisions.append(share)
        self._tables.set_cursor(name, share.position)


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
