"""The engine of a cluster: a SQLite log written through the journal.

A commit is a frame. It is sent until it comes back from the journal, which means that a quorum has it on
disk, and has been applied to this log, with those of other msgqueues and in the same order everywhere. Only
then is it acknowledged. One frame is on the way at a time; what arrives in between gathers for the next.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Self

from fanline.change_notifier import ChangeNotifier
from fanline.errors import Closed, ConfigurationError, StoreError
from fanline.protocol import NewMessage
from fanline.tasks import cancel_and_wait
from msgqueue.journal.base import Entry, Journal, JournalDamage, JournalError
from msgqueue.journal.frame import (
    FRAME_VERSION,
    Append,
    DeleteCursor,
    Frame,
    Operation,
    SetCursor,
    encode_frame,
    to_frame,
)
from msgqueue.store.base import AppendResult, OutcomeUnknown
from msgqueue.store.claims import ConsumerClaims
from msgqueue.store.figures import ClusterFigures
from msgqueue.store.replica.claims import SharedClaims
from msgqueue.store.replica.patience import Patience
from msgqueue.store.replica.start import begin
from msgqueue.store.replica.state import AppliedFrame, Replica, Step, new_origin
from msgqueue.store.replica.state_table import save_state
from msgqueue.store.replica.trimming import TrimRule
from msgqueue.store.sqlite.engine import LogFiles, SqliteEngine, close_files, open_files

logger = logging.getLogger(__name__)

# What one frame takes, besides what a single append has.
FRAME_MESSAGES: Final = 4_096
JOURNAL_FRAME_BYTES: Final = 1 << 20

# Seconds until applying is tried again, when the log could not be written.
_RETRY_SECONDS: Final = 1.0


class _Proposal(NamedTuple):
    operation: Operation | None
    size: int
    done: asyncio.Future[list[AppendResult]]


class ReplicaStore(SqliteEngine):
    """A log that several msgqueues write through a journal. Made by :meth:`join`.

    Args:
        files: The log of this msgqueue.
        journal: Its connection to the journal; closed by the store.
        replica: How far the log has got.
        origin: Name of this process in its frames.
        clock: Tells the time, in Unix seconds.
        patience: How long it waits for what.
    """

    def __init__(
        self,
        files: LogFiles,
        journal: Journal,
        replica: Replica,
        origin: str,
        clock: Callable[[], float],
        patience: Patience,
    ) -> None:
        super().__init__(*files)
        self._journal = journal
        self._replica = replica
        self._origin = origin
        self._claims = SharedClaims(replica, self._propose)
        self._clock = clock
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._proposals: deque[_Proposal] = deque()
        self._on_the_way: list[_Proposal] = []
        self._proposed = asyncio.Event()
        self._applied = ChangeNotifier()
        self._own: AppliedFrame | None = None  # the last frame of this process that was applied
        self._own_at: float | None = None
        self._joined_at = self._trimmed_at = self._loop.time()
        self._figures = ClusterFigures()
        self._failure = ""
        self._stopped = ""
        self._is_finishing = False
        self._following = asyncio.create_task(self._follow_forever())
        self._following.add_done_callback(self._stop_after_defect)
        self._proposing = asyncio.create_task(self._propose_forever())
        self._proposing.add_done_callback(self._stop_after_defect)

    @classmethod
    async def join(
        cls,
        folder: Path,
        journal: Journal,
        *,
        dedupe_window: float,
        disk_reserve: int = 0,
        clock: Callable[[], float],
        patience: Patience = Patience(),  # noqa: B008 - it is immutable
    ) -> Self:
        """Open the log in a folder, and continue in the journal.

        Args:
            folder: Where it is; made if it is missing.
            journal: The journal; closed if this fails.
            dedupe_window: Seconds for which an id counts, if the journal is new.
            disk_reserve: Bytes to be left free on the disk for trims.
            clock: Tells the time, in Unix seconds.
            patience: How long the store waits for what.

        Raises:
            ConfigurationError: If the log cannot be opened, or is none of this journal.
        """
        try:
            files = await open_files(
                folder, dedupe_window=dedupe_window, disk_reserve=disk_reserve, clock=clock, is_replica=True
            )
            origin = new_origin(files.file.epoch)
            try:
                state = await begin(files, journal, window=round(dedupe_window * 1000), origin=origin)
            except BaseException:
                close_files(files)
                raise
        except (JournalDamage, JournalError) as error:
            await journal.close()
            raise ConfigurationError(f"data_dir {folder}: {error}") from error
        except BaseException:
            await journal.close()
            raise
        return cls(files, journal, Replica(state, origin), origin, clock, patience)

    @property
    def epoch(self) -> str:
        """See :meth:`Store.epoch`; that of the journal, the same on every replica."""
        return self._replica.state.log

    @property
    def commit_bytes(self) -> int:
        """See :meth:`Store.commit_bytes`."""
        return JOURNAL_FRAME_BYTES

    @property
    def problem(self) -> str | None:
        """See :meth:`Store.problem`."""
        if self._stopped:
            return self._stopped
        if self._own_at is None:
            return f"this replica has yet to reach the end of the journal{self._because}"
        seconds = self._loop.time() - self._own_at
        if seconds > self._patience.ready:
            return f"nothing has come back from the journal for {seconds:.0f} s{self._because}"
        return None

    async def append(
        self, messages: Sequence[NewMessage], *, cursors: Mapping[str, int] | None = None
    ) -> list[AppendResult]:
        """See :meth:`Store.append`."""
        if not messages:
            return []
        size = sum(len(message.content) for message in messages)
        append = Append([to_frame(message) for message in messages], dict(cursors or {}))
        return await self._propose(append, size)

    async def set_cursor(self, name: str, seq: int) -> None:
        """See :meth:`Store.set_cursor`."""
        await self._propose(SetCursor(name, seq))

    async def delete_cursor(self, name: str) -> None:
        """See :meth:`Store.delete_cursor`."""
        await self._propose(DeleteCursor(name))

    @property
    def cluster(self) -> ClusterFigures:
        """See :meth:`Store.cluster`."""
        wait = self._loop.time() - (self._own_at or self._joined_at)
        alive = len(self._replica.state.alive)
        return replace(self._figures, wait=wait, msgqueues=alive, is_stopped=bool(self._stopped))

    @property
    def claims(self) -> ConsumerClaims:
        """See :meth:`Store.claims`."""
        return self._claims

    async def catch_up(self) -> None:
        """See :meth:`Store.catch_up`."""
        await self._propose(None)

    async def tidy(self) -> None:
        """See :meth:`Store.tidy`; now and then it also trims the journal."""
        await super().tidy()
        if self._loop.time() < self._trimmed_at + self._patience.trim:
            return
        self._trimmed_at = self._loop.time()
        state = self._replica.state
        first = TrimRule().first_needed(state.members, state.marks, state.time)
        try:
            if not self._stopped and first > (await self._journal.ends()).first:
                await self._journal.trim(first)
                logger.info("the journal has been trimmed up to entry %d", first - 1)
        except JournalError as error:
            logger.warning("cannot trim the journal, will try again: %s", error)

    async def close(self) -> None:
        """See :meth:`Store.close`; what is on the way is waited for."""
        self._is_finishing = True
        self._proposed.set()
        if not self._on_the_way and not self._proposals:
            self._proposing.cancel()
        await asyncio.wait([self._proposing])
        await super().close()

    async def _close(self) -> None:
        await cancel_and_wait(self._following)
        await self._journal.close()
        await super()._close()

    # Writing.

    def _propose(self, operation: Operation | None, size: int = 0) -> asyncio.Future[list[AppendResult]]:
        if self._is_finishing:
            raise Closed(f"the log {self._file.path} has been closed")
        if self._stopped:
            raise StoreError(self._stopped)
        done: asyncio.Future[list[AppendResult]] = self._loop.create_future()
        self._proposals.append(_Proposal(operation, size, done))
        self._proposed.set()
        return done

    async def _propose_forever(self) -> None:
        while self._proposals or not self._is_finishing:
            self._on_the_way = self._next_proposals()
            try:
                results = iter(await self._send(self._on_the_way))
            except StoreError as error:
                _fail(self._on_the_way, error)
            else:
                for proposal in self._on_the_way:
                    stored = next(results) if isinstance(proposal.operation, Append) else []
                    if not proposal.done.done():
                        proposal.done.set_result(stored)
            self._on_the_way = []
            if not self._proposals and not self._is_finishing:
                self._proposed.clear()
                await self._wait_for_work()

    async def _wait_for_work(self) -> None:
        try:
            async with asyncio.timeout(self._patience.tick):
                await self._proposed.wait()
        except TimeoutError:
            pass  # the next frame has no operations: it shows the others that this one is there

    def _next_proposals(self) -> list[_Proposal]:
        taken: list[_Proposal] = []
        count = size = 0
        while self._proposals and count < FRAME_MESSAGES and size < JOURNAL_FRAME_BYTES:
            taken.append(self._proposals.popleft())
            size += taken[-1].size
            operation = taken[-1].operation
            count += len(operation.messages) if isinstance(operation, Append) else 1
        return taken

    async def _send(self, proposals: Sequence[_Proposal]) -> list[list[AppendResult]]:
        """Send a frame until it has come back, and return its results."""
        if self._stopped:
            raise StoreError(self._stopped)
        self._number += 1
        state = self._replica.state
        operations = [each.operation for each in proposals if each.operation is not None]
        clock = round(self._clock() * 1000)
        frame = Frame(
            FRAME_VERSION, state.log, self._origin, self._number, clock, state.index, state.chain, operations
        )
        data = encode_frame(frame)
        began = self._loop.time()
        patience, moved = self._patience.resend, 0.0
        while (waited := self._loop.time() - began) < self._patience.give_up:
            try:
                await self._journal.append(data)
            except JournalError as error:
                self._failure = str(error)
            if await self._comes_back(self._number, patience):
                assert self._own is not None
                return self._own.results
            if waited - moved > self._patience.move:
                moved = waited
                self._journal.change_server()
            self._figures.resent += 1
            patience = min(2 * patience, self._patience.resend_most)
        raise OutcomeUnknown(f"the journal has not confirmed for {waited:.0f} s{self._because}")

    async def _comes_back(self, number: int, timeout: float) -> bool:
        """Return whether the frame of this number is applied in time.

        Raise StoreError if nothing is applied any more.
        """
        deadline = self._loop.time() + timeout
        while True:
            changed = self._applied.next
            if self._stopped:
                raise OutcomeUnknown(self._stopped)
            if self._own is not None and self._own.number == number:
                return True
            left = deadline - self._loop.time()
            if left <= 0:
                return False
            await asyncio.wait([changed], timeout=left)

    @property
    def _because(self) -> str:
        return f": {self._failure}" if self._failure else ""

    # Reading the journal.

    async def _follow_forever(self) -> None:
        try:
            async with aclosing(self._journal.follow(self._replica.state.index)) as following:
                async for entries in following:
                    await self._apply(entries)
        except JournalDamage as error:
            self._stop(f"{error}; a back-up of a sound msgqueue, or a new journal, is needed")

    async def _apply(self, entries: Sequence[Entry]) -> None:
        while not self._stopped:
            try:
                await self._writing.call(self._translated(self._store, entries), self._take_in)
            except StoreError as error:
                if self._failure != str(error):
                    logger.error("cannot apply the journal, trying again: %s", error)
                self._failure = str(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _store(self, entries: Sequence[Entry]) -> Step:
        """Apply entries in one transaction; on the writer's thread."""
        with self._writer.transaction():
            step = self._replica.apply(entries, self._writer)
            save_state(self._writer.connection, step.state)
        return step

    def _take_in(self, step: Step) -> None:
        self._replica.commit(step)
        self._figures.entries += len(step.chains)
        self._figures.fenced += len(step.chains) - len(step.frames)
        self._announce(step.records)
        for frame in step.frames:
            if frame.origin == self._origin:
                self._own = frame
                self._own_at = self._loop.time()
                self._failure = ""
        if problem := self._replica.problem:
            self._stop(problem)
        self._applied.fire()

    def _stop_after_defect(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._stop(f"this is a defect, please report it: {error!r}")
            _fail([*self._on_the_way, *self._proposals], OutcomeUnknown(self._stopped))

    def _stop(self, reason: str) -> None:
        if not self._stopped:
            logger.critical("nothing is acknowledged any more: %s", reason)
            self._stopped = reason
        self._applied.fire()


def _fail(proposals: Sequence[_Proposal], error: StoreError) -> None:
    for proposal in proposals:
        if not proposal.done.done():
            proposal.done.set_exception(error)
