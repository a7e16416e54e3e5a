"""The interface through which services and tools use the log: :class:`QueueClient`."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from fanline.protocol import Ack, ConsumerState, GapRange, NewMessage, PageAnswer, Read, Record, Refusal


class ReplySlot(Protocol):
    """Receiver of the outcome of an appended message."""

    @property
    def group(self) -> object:
        """Sender of the message.

        When one message of a group is refused for its age, all of the group are.
        """
        ...

    def settle(self, outcome: Ack | Refusal) -> None:
        """Take the outcome; must not raise. A second one is ignored."""
        ...


class GeneratedIds:
    """Generates the ids of messages that come without one."""

    def __init__(self) -> None:
        self._prefix = f"${secrets.token_hex(6)}-"
        self._count = 0

    def next(self) -> str:
        """Return an id that was never returned before."""
        self._count += 1
        return f"{self._prefix}{self._count:x}"


class LogListener(Protocol):
    """Receiver of :meth:`QueueClient.follow`; its methods must neither wait nor raise."""

    @property
    def head(self) -> int:
        """Position of the newest record taken, or at which it began."""
        ...

    @property
    def is_ready(self) -> bool:
        """Return whether it has begun, and was not restarted since."""
        ...

    @property
    def can_resume(self) -> bool:
        """Return whether it began on a queue that keeps a log."""
        ...

    @property
    def epoch(self) -> str | None:
        """Return the epoch that it began with."""
        ...

    def begin(self, head: int, *, epoch: str | None, can_resume: bool) -> None:
        """Start at a position: everything after it comes.

        Args:
            head: The position.
            epoch: Random name of the log, if it has one.
            can_resume: Whether positions mean something: not with a queue that speaks the plain dialect.
        """
        ...

    def take(self, records: Sequence[Record]) -> None:
        """Take new records, in order."""
        ...

    def report(self, gap: GapRange) -> None:
        """Note that retention removed records before they could be taken."""
        ...

    def restart(self) -> None:
        """Forget everything: the log was replaced. :meth:`begin` follows."""
        ...


class QueueClient(ABC):
    """A way to the log, remote or in this process.

    It belongs to one event loop, and any number of its tasks may use it at once.
    """

    # Writing.

    @abstractmethod
    async def run(self) -> None:
        """Store what is appended, until cancelled. One call at a time."""

    @property
    def reconnects(self) -> int:
        """How many connections replaced a lost one."""
        return 0

    @property
    @abstractmethod
    def pending(self) -> int:
        """Number of appended messages without an outcome."""

    @abstractmethod
    def append(self, message: NewMessage, reply: ReplySlot | None, *, sender: object = None) -> None:
        """Append a message to the log, after all earlier ones.

        What is appended in one turn of the event loop travels together.

        Args:
            message: A checked message; without an id it may get one, so that it can be sent again.
            reply: Is settled with the outcome, later. None if the outcome does not matter; then the
                message is kept while msgqueue is away, however long that is.
            sender: Whose messages without a ``reply`` take turns with those of others: their connection.
        """

    @abstractmethod
    def is_full_for(self, user: str | None) -> bool:
        """Return whether a user should wait before it appends more.

        So it is when as much as the buffer's size has no outcome yet, and the user has its share of that: who
        floods the log does not keep others from it.

        Args:
            user: The sender of all that it appends; None if there are several, who then have no share.
        """

    @abstractmethod
    async def wait_for_space(self, user: str | None) -> None:
        """Wait while it is full for a user."""

    @abstractmethod
    async def flush(self) -> None:
        """Wait until every appended message has its outcome."""

    # Reading.

    @abstractmethod
    async def follow(self, listener: LogListener) -> None:
        """Feed a listener with all records after its head, until cancelled.

        A listener that has not begun begins at the end of the log. One call at a time.
        """

    @abstractmethod
    async def follow_topic(
        self, topic: str, take: Callable[[Sequence[Record]], None], caught_up: Callable[[], None]
    ) -> None:
        """Feed a function with all records of a topic, until cancelled.

        It begins with the first record that there is. While msgqueue is away it waits; when the log was
        replaced all records of the new one follow. A queue that speaks the plain dialect has none.

        Args:
            topic: The topic.
            take: Gets the records, in order; must neither wait nor raise.
            caught_up: Called whenever all that is stored was taken; must neither wait nor raise.
        """

    @abstractmethod
    async def read(self, read: Read) -> PageAnswer:
        """Return a page of the log, waiting while msgqueue is away.

        Raises:
            Rejected: If the request is refused, or msgqueue speaks the plain dialect, without a log.
        """

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """Reason why the log cannot be used now, or None.

        It is one sentence without secrets.
        """

    # Durable consumers.

    @abstractmethod
    async def consumers(self) -> Sequence[ConsumerState]:
        """Return the durable consumers that there are.

        Raises:
            Disconnected: If msgqueue does not answer in time.
        """

    @abstractmethod
    async def forget(self, consumer: str) -> None:
        """Remove a durable consumer.

        Raises:
            Rejected: If there is none of that name, or it is in use.
            Disconnected: If msgqueue does not answer in time.
        """
