"""Interface between msgqueue and the engine that keeps the log.

The log is one sequence of records. ``seq``, a record's position, is 1 or more, grows strictly over all
topics, and is never given twice, even when everything was trimmed and the service restarted. ``time``, when a
record was committed, never goes back, even if the clock does. Positions may have holes.

Engines may have other writers than this process. So what stands above them learns of records only from
:meth:`Store.follow` and the reads, and never derives a position by counting.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from fanline.errors import StoreError
from fanline.protocol import NewMessage, Page, Record
from msgqueue.store.claims import ConsumerClaims
from msgqueue.store.figures import ClusterFigures

PAGE_RECORDS = 500
DEFAULT_PAGE_BYTES = 1 << 20

Listener = Callable[[Sequence[Record]], None]

Append = Callable[[Sequence[NewMessage]], Awaitable[list["AppendResult"]]]


class OutcomeUnknown(StoreError):
    """The messages may or may not have been stored.

    They must not be appended again without ids.
    """


class AppendResult(NamedTuple):
    """Position of a message in the log.

    It is a ``duplicate`` if an earlier message had its id; the position is then that of the earlier one.
    """

    seq: int
    duplicate: bool


class Bounds(NamedTuple):
    """Positions of the oldest and the newest record stored.

    Of an empty log ``first`` is ``last`` + 1.
    """

    first: int
    last: int


class RecordHeader(NamedTuple):
    """A record without its body, with the body's ``size`` in bytes."""

    seq: int
    topic: str
    time: int
    size: int


class Store(ABC):
    """A durable log of messages, and the cursors of its consumers.

    Every method may be called while others run. All of them raise :class:`~fanline.errors.StoreError` when
    the engine fails, after which the store goes on by itself once the cause is gone, and
    :class:`~fanline.errors.Closed` after :meth:`close`. Positions given must be from 0 to 2⁶³ - 1.

    Patterns are as in :mod:`fanline.protocol.topics`, and must be valid; None stands for every topic, the
    system's own included.
    """

    @property
    @abstractmethod
    def epoch(self) -> str:
        """Random name of the log.

        Positions of logs with different epochs cannot be compared.
        """

    @property
    @abstractmethod
    def damaged(self) -> int:
        """Number of damaged records that reads have left out."""

    @property
    def commit_bytes(self) -> int:
        """Number of bytes that an append should have at most.

        More is slower, but no error.
        """
        return 8 << 20

    @property
    def problem(self) -> str | None:
        """Return why other msgqueues should be used, or None."""
        return None

    @property
    def claims(self) -> ConsumerClaims:
        """Claims: what this msgqueue may deal out to durable consumers' connections."""
        return ConsumerClaims()

    @property
    def cluster(self) -> ClusterFigures | None:
        """The figures of this msgqueue's part in a cluster; None without one."""
        return None

    async def catch_up(self) -> None:  # noqa: B027 - an engine without other writers has nothing to do
        """Wait until everything committed so far can be read here.

        That includes what other writers had committed at the time of the call.

        Raises:
            StoreError: If that cannot be known.
        """

    @abstractmethod
    async def append(
        self, messages: Sequence[NewMessage], *, cursors: Mapping[str, int] | None = None
    ) -> list[AppendResult]:
        """Store messages in their order, all or none of them.

        They are on disk when this returns.

        A message whose sender used its id within the dedupe window, in this batch or an earlier one, is not
        stored again. An id that begins with ``$`` counts for that, but is not part of the stored message.

        Concurrent calls are stored in the order in which they were made. Cancelling a call leaves open
        whether it is stored; the same messages can be appended again by their ids.

        Args:
            messages: Checked messages; their content is stored byte for byte.
            cursors: Positions at which to put cursors of durable consumers, with the messages or not at all.

        Returns:
            One result per message, in their order.

        Raises:
            StoreError: If nothing of the batch could be stored.
            OutcomeUnknown: If it is not known whether it was; it is not stored after what is appended next.
        """

    @abstractmethod
    def follow(self, listener: Listener) -> None:
        """Call ``listener`` with every batch committed from now on.

        Batches of all writers count. The listener is called on the event loop, in the order of the log and
        without a record left out, for this process's own records before their :meth:`append` returns. It must
        not block or raise.
        """

    @abstractmethod
    async def read(
        self,
        after: int,
        *,
        patterns: Sequence[str] | None = None,
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> Page:
        """Return the oldest records after a position.

        All records that match, up to the page's own position, are there. Damaged records are left out, and
        are the page's gap: a page ends before one that is not its first.

        What one call costs is bounded, however long the log is: where few records match, a page may have few
        or none and yet move on. Its position is that of the newest record, or the one given if that is
        higher, once there is nothing more.

        Args:
            after: Only records with a higher ``seq``.
            patterns: Only records of matching topics.
            limit: Most records returned; at least 1.
            max_bytes: Most bytes of their bodies together; a first record that is larger comes alone.
        """

    @abstractmethod
    async def read_back(
        self,
        before: int,
        *,
        patterns: Sequence[str] | None = None,
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> list[Record]:
        """Return the newest records before a position, in ascending order.

        The list is empty if there is none. Unlike :meth:`read` it looks until it has filled the page or
        reached the start of the log, in steps that let other reads pass.

        Args:
            before: Only records with a lower ``seq``.
            patterns: Only records of matching topics.
            limit: Most records returned; at least 1.
            max_bytes: Most bytes of their bodies together; a newest record that is larger comes alone.
        """

    @abstractmethod
    async def read_newest(
        self,
        until: int,
        after: int,
        *,
        patterns: Sequence[str],
        limit: int = PAGE_RECORDS,
        max_bytes: int = DEFAULT_PAGE_BYTES,
    ) -> Page:
        """Return the newest record of each matching topic, page by page.

        Records after ``until`` do not count. The oldest comes first. A topic whose newest record has been
        removed is left out. The page's position is ``until`` once there is nothing more. Damaged records are
        as in :meth:`read`.

        The first page of a log costs a look at each matching topic, in steps that let other reads pass.

        Args:
            until: Only records up to this ``seq`` count.
            after: Only records with a higher ``seq``: the position of the page before, or 0.
            patterns: Which topics.
            limit: Most records returned; at least 1.
            max_bytes: Most bytes of their bodies together; a first record that is larger comes alone.
        """

    @abstractmethod
    async def headers(
        self, after: int, *, topic: str | None = None, limit: int = PAGE_RECORDS
    ) -> list[RecordHeader]:
        """Return the headers of records after a position, in order.

        Args:
            after: Only records with a higher ``seq``.
            topic: Only those of this topic; None stands for every topic.
            limit: Most headers returned; at least 1.
        """

    @abstractmethod
    async def bounds(self) -> Bounds:
        """Return the ends of the log."""

    @abstractmethod
    async def trimmed(self, patterns: Sequence[str] | None = None, *, after: int = 0) -> int:
        """Return the highest position that was trimmed from matching topics.

        It is 0 if none was.

        Args:
            patterns: Which topics.
            after: Only a higher ``seq`` counts; else the result is any up to this. What it costs depends on
                the topics trimmed after it, not on all that there are.
        """

    @abstractmethod
    async def trim(self, seqs: Sequence[int]) -> None:
        """Remove records, all or none of them.

        A position without a record is no error. Appends wait for a trim: call it repeatedly with a few
        hundred positions rather than once with many.
        """

    @abstractmethod
    async def cursors(self) -> dict[str, int]:
        """Return the position of every durable consumer, by name."""

    @abstractmethod
    async def set_cursor(self, name: str, seq: int) -> None:
        """Set the cursor of a durable consumer to a position, on disk.

        The consumer may be new. Once several msgqueues have claimed parts of the log for it, that means: what
        this one has claimed is done up to the position. It says nothing if this one has no such claim, or no
        longer.
        """

    @abstractmethod
    async def delete_cursor(self, name: str) -> None:
        """Forget a durable consumer; one that is unknown is no error."""

    @abstractmethod
    async def tidy(self) -> None:
        """Free what the engine does not need any more.

        To be called every few seconds.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what is running or waiting, and release the log.

        Closing again only waits for that.
        """
