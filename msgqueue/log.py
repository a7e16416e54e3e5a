"""The one ordered log: group commit, a store, and a record cache.

While one transaction is being brought to disk, everything that arrives gathers for the next. So the cost of
an fsync is shared by all messages that arrive during the one before, and a single message waits for at most
two of them.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple

from fanline.change_notifier import ChangeNotifier
from fanline.errors import Closed, StoreError
from fanline.protocol import NewMessage, Page, Record
from fanline.queue.record_cache import RecordCache
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.store.base import PAGE_RECORDS, Append, AppendResult, Listener, OutcomeUnknown, Store
from msgqueue.store.claims import ConsumerClaims
from msgqueue.store.figures import ClusterFigures

logger = logging.getLogger(__name__)

# What one transaction takes at most: more saves little, and delays the acks of all of it.
MAX_COMMIT_MESSAGES: Final = 4_096

PAGE_BYTES: Final = 256 << 10

# Approximate size of a waiting message without its content.
MESSAGE_OVERHEAD: Final = 512

_RETRY_SECONDS: Final = 0.2
TIDY_SECONDS: Final = 5.0

# Seconds after the last failure during which the log counts as failing.
WRITE_ERROR_SECONDS: Final = 30.0


class _Waiting(NamedTuple):
    messages: Sequence[NewMessage]
    size: int
    results: asyncio.Future[list[AppendResult]]


def _do_nothing(seconds: float, results: Sequence[AppendResult]) -> None:
    del seconds, results


class Log:
    """The log as the service sees it.

    Args:
        store: Where it is kept; the log closes it.
        cache_bytes: Memory for the newest messages.
        buffer_bytes: Size of uncommitted messages above which :meth:`wait_for_space` makes writers wait.
        timeout: Seconds until the messages of a failing commit are refused, or a long commit is an error.
        on_commit: Called after each commit with the seconds that it took and the results of its messages.
        append: How a commit is made; None for as the store does.

    Attributes:
        grown: Fires whenever messages were committed.
    """

    def __init__(
        self,
        store: Store,
        *,
        cache_bytes: int,
        buffer_bytes: int,
        timeout: float,
        on_commit: Callable[[float, Sequence[AppendResult]], None] = _do_nothing,
        append: Append | None = None,
    ) -> None:
        self._store = store
        self._append = append or store.append
        self._timeout = timeout
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._cache = RecordCache(cache_bytes)
        self._buffer_bytes = buffer_bytes
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._followers: dict[Listener, None] = {}  # of all topics
        self._by_topic: dict[str, dict[Listener, None]] = {}
        self.grown = ChangeNotifier()
        self._last: asyncio.Future[list[AppendResult]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._failure = ""
        self._failed_at = 0.0
        self._failing_since: float | None = None
        self._committing_since: float | None = None

    async def start(self) -> None:
        """Find the end of the log, and begin to commit.

        Raises:
            StoreError: If the store cannot be read.
        """
        bounds = await self._store.bounds()
        self._cache.restart(bounds.last)
        self._store.follow(self._take_in)
        self._tasks += map(start_task, (self._commit_forever(), self._tidy_forever()))

    async def flush(self) -> None:
        """Wait until all appended so far is committed or has failed."""
        if self._last is not None:
            await asyncio.wait([self._last])

    async def close(self) -> None:
        """Close the store, and fail appends that still wait with ``Closed``."""
        await cancel_and_wait(*self._tasks)
        for waiting in self._waiting:
            if not waiting.results.done():  # its writer may have been cancelled
                waiting.results.set_exception(Closed("the log is closed"))
        await self._store.close()

    @property
    def head(self) -> int:
        """Position of the newest message."""
        return self._cache.head

    @property
    def epoch(self) -> str:
        """Random name of the log: positions of another one mean nothing here."""
        return self._store.epoch

    @property
    def damaged(self) -> int:
        """Number of damaged messages that reads have left out."""
        return self._store.damaged

    @property
    def problem(self) -> str | None:
        """Reason to use another msgqueue, or None; see :attr:`Store.problem`."""
        return self._store.problem

    @property
    def cluster(self) -> ClusterFigures | None:
        """The figures of this msgqueue's part in a cluster; None without one."""
        return self._store.cluster

    @property
    def write_error(self) -> str | None:
        """Reason why commits fail or take too long lately, or None."""
        if self._committing_since is not None:
            seconds = self._loop.time() - self._committing_since
            if seconds > self._timeout:
                return f"a commit has not been finished for {seconds:.0f} s"
        is_recent = (
            self._failing_since is not None and self._loop.time() - self._failed_at < WRITE_ERROR_SECONDS
        )
        return self._failure if is_recent else None

    # Writing.

    def append(self, messages: Sequence[NewMessage]) -> asyncio.Future[list[AppendResult]]:
        """Put messages in line for the next commit.

        Returns:
            A future of one result per message, in order, done when all of them are on disk. It fails with
            :class:`~fanline.errors.StoreError` if none of them is, or that is not known. Appends are
            committed in the order of the calls. Cancelling the future does not take the messages back.
        """
        results: asyncio.Future[list[AppendResult]] = self._loop.create_future()
        size = sum(len(message.content) for message in messages) + MESSAGE_OVERHEAD * (1 + len(messages))
        self._waiting.append(_Waiting(messages, size, results))
        self._waiting_bytes += size
        if self._waiting_bytes > self._buffer_bytes:
            self._has_room.clear()
        self._work.set()
        self._last = results
        # The caller may no longer await the future when it fails; the event loop must not log that.
        results.add_done_callback(lambda done: done.cancelled() or done.exception())
        return results

    @property
    def is_full(self) -> bool:
        """Return whether more than the buffer's size is waiting to be committed."""
        return not self._has_room.is_set()

    async def wait_for_space(self) -> None:
        """Wait until what waits for a commit fits into the buffer."""
        await self._has_room.wait()

    async def _commit_forever(self) -> None:
        while True:
            await self._work.wait()
            await self._commit(self._next_commit())

    def _next_commit(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        count = size = 0
        while self._waiting and (count < MAX_COMMIT_MESSAGES and size < self._store.commit_bytes):
            waiting = self._waiting.popleft()
            taken.append(waiting)
            count += len(waiting.messages)
            size += waiting.size
        if not self._waiting:
            self._work.clear()
        return taken

    async def _commit(self, taken: list[_Waiting]) -> None:
        messages = [message for waiting in taken for message in waiting.messages]
        while True:
            began = self._committing_since = self._loop.time()
            try:
                results = await self._append(messages)
            except StoreError as error:
                if not self._is_worth_waiting(error) or isinstance(error, OutcomeUnknown):
                    self._fail(taken, error)
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:
                logger.exception("a commit has failed by a defect")
                self._note_failure(repr(error))
                self._fail(taken, StoreError(f"a defect of msgqueue, which its log tells: {error!r}"))
                return
            else:
                self._failing_since = None
                self._on_commit(self._loop.time() - began, results)
                _hand_out(taken, results)
                self._release(taken)
                return
            finally:
                self._committing_since = None

    def _is_worth_waiting(self, error: StoreError) -> bool:
        """Note a failure, and return whether writers still wait for another try."""
        if self._failing_since is None:
            logger.error("cannot store messages, trying again: %s", error)
        return self._note_failure(str(error)) < self._timeout

    def _note_failure(self, reason: str) -> float:
        """Note that the log fails, and return since how many seconds."""
        now = self._failed_at = self._loop.time()
        if self._failing_since is None:
            self._failing_since = now
        self._failure = reason
        return now - self._failing_since

    def _fail(self, taken: list[_Waiting], error: StoreError) -> None:
        """Reject what cannot be stored, and, to keep order, all after it."""
        refused = [*taken, *self._waiting]
        self._waiting.clear()
        self._work.clear()
        for waiting in refused:
            if not waiting.results.done():
                waiting.results.set_exception(error)
        self._release(refused)

    async def _tidy_forever(self) -> None:
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._store.tidy()
            except StoreError as error:
                logger.warning("cannot tidy up, will try again: %s", error)

    def _release(self, taken: list[_Waiting]) -> None:
        self._waiting_bytes -= sum(waiting.size for waiting in taken)
        if self._waiting_bytes <= self._buffer_bytes:
            self._has_room.set()

    # Reading.

    async def reach(self, position: int) -> None:
        """Catch up with other msgqueues, if a position is after the head.

        Raises:
            StoreError: If that cannot be known.
        """
        if position > self.head:
            await self._store.catch_up()

    async def read(
        self, after: int, patterns: Sequence[str] | None = None, limit: int = PAGE_RECORDS
    ) -> Page:
        """Return the next page of the log after a position.

        Raises:
            StoreError: If the store cannot be read.
        """
        if self._cache.covers(after):
            return self._cache.read(after, patterns=patterns, limit=limit, max_bytes=PAGE_BYTES)
        return await self._store.read(after, patterns=patterns, limit=limit, max_bytes=PAGE_BYTES)

    async def read_back(self, before: int, patterns: Sequence[str], limit: int) -> Sequence[Record]:
        """Return the newest matching records before a position, in ascending order.

        Raises:
            StoreError: If the store cannot be read.
        """
        return await self._store.read_back(before, patterns=patterns, limit=limit)

    async def read_newest(self, until: int, after: int, patterns: Sequence[str], limit: int) -> Page:
        """Return the newest record of each matching topic, page by page.

        Only records after ``after`` and up to ``until`` count.

        Raises:
            StoreError: If the store cannot be read.
        """
        return await self._store.read_newest(
            until, after, patterns=patterns, limit=limit, max_bytes=PAGE_BYTES
        )

    def covers(self, after: int) -> bool:
        """Return whether records after a position are in memory, beyond retention's reach."""
        return self._cache.covers(after)

    async def trimmed(self, patterns: Sequence[str] | None, after: int) -> int:
        """Return the highest position after ``after`` trimmed from matching topics."""
        return await self._store.trimmed(patterns, after=after)

    @contextmanager
    def followed_by(self, listener: Listener, topics: Collection[str] | None = None) -> Iterator[None]:
        """Call ``listener`` with all that is committed while the block runs.

        The listener must not block or raise. One that has read up to :attr:`head` misses nothing.

        Args:
            listener: Gets the records.
            topics: The topics whose records it gets, all of them for None. Listeners of other topics cost
                nothing.
        """
        for topic in topics or ():
            self._by_topic.setdefault(topic, {})[listener] = None
        if topics is None:
            self._followers[listener] = None
        try:
            yield
        finally:
            self._followers.pop(listener, None)
            for topic in topics or ():
                del self._by_topic[topic][listener]
                if not self._by_topic[topic]:
                    del self._by_topic[topic]

    def _take_in(self, records: Sequence[Record]) -> None:
        for record in records:
            self._cache.add(record)
        for follower in tuple(self._followers):
            follower(records)
        if self._by_topic:
            self._take_in_topics([record for record in records if record.topic in self._by_topic])
        self.grown.fire()

    def _take_in_topics(self, records: Sequence[Record]) -> None:
        found: defaultdict[Listener, list[Record]] = defaultdict(list)
        for record in records:
            for follower in self._by_topic[record.topic]:
                found[follower].append(record)
        for follower, wanted in found.items():
            follower(wanted)

    # Cursors of durable consumers.

    async def cursors(self) -> dict[str, int]:
        """Return the position of every durable consumer."""
        return await self._store.cursors()

    async def set_cursor(self, consumer: str, position: int) -> None:
        """Remember how far a durable consumer has got; durable when it returns."""
        await self._store.set_cursor(consumer, position)

    async def append_and_set_cursor(self, message: NewMessage, consumer: str, position: int) -> None:
        """Store a message and a consumer's new position, both or neither.

        Raises:
            StoreError: If that fails.
        """
        await self._store.append([message], cursors={consumer: position})

    @property
    def claims(self) -> ConsumerClaims:
        """The claims: what this msgqueue may deal out to durable consumers."""
        return self._store.claims

    async def delete_cursor(self, consumer: str) -> None:
        """Forget how far a durable consumer has got."""
        await self._store.delete_cursor(consumer)


def _hand_out(taken: list[_Waiting], results: Sequence[AppendResult]) -> None:
    """Give each append its share of a commit's results."""
    in_order = iter(results)
    for waiting in taken:
        share = list(islice(in_order, len(waiting.messages)))
        if not waiting.results.done():
            waiting.results.set_result(share)
