"""Writing of events to the log, until they come back."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from chat.domain import sentences
from chat.domain.errors import Unavailable
from chat.domain.events import Event
from chat.domain.room import Change
from fanline import FanlineError, Publisher, Rejected


class Written(NamedTuple):
    """The result of writing an event.

    Attributes:
        seq: The position of the event.
        has_come_back: Whether its effect is known. It is not if an earlier attempt had stored the event, or
            if the event is stored but has not come back in time.
        change: The effect; None if the event does not count.
    """

    seq: int
    has_come_back: bool
    change: Change | None = None


class EventWriter:
    """Write events, and recognize them when they come back.

    Concurrent calls are allowed.

    Attributes:
        timeout: Seconds that a write may take.
        position: The position up to which the log has come back.
    """

    def __init__(self, timeout: float) -> None:
        self.position = 0
        self._publisher: Publisher | None = None
        self.timeout = timeout
        self._waiting: defaultdict[str, list[asyncio.Future[Written]]] = defaultdict(list)

    @property
    def waiting(self) -> int:
        """The number of events that are being written."""
        return len(self._waiting)

    @contextmanager
    def connected(self, publisher: Publisher) -> Iterator[None]:
        """Write with this publisher during the block.

        Without a publisher, writing fails at once.
        """
        self._publisher = publisher
        try:
            yield
        finally:
            self._publisher = None

    async def write(self, topic: str, event: Event, event_id: str | None = None) -> Written:
        """Write an event, and wait until it has come back.

        If cancelled, the event may or may not be stored.

        Args:
            topic: The topic.
            event: The event.
            event_id: An id with which repeated writes are stored once; None for a random one.

        Raises:
            Rejected: If the pipeline refuses the event.
            Unavailable: If the pipeline has not stored the event in time. It may still be stored, unless the
                text says otherwise; writing it again with the same id is safe.
        """
        event_id = event_id or secrets.token_urlsafe(12)
        written: Written | None = None
        with self._wait_for(event_id) as arrival:
            try:
                async with asyncio.timeout(self.timeout):
                    written = await self._store(topic, event, event_id)
                    if written.seq > self.position:
                        await arrival
            except TimeoutError:
                pass
            if arrival.done() and not arrival.cancelled():
                return arrival.result()
        if written is None:
            raise Unavailable(sentences.NOT_IN_TIME, problem=self._problem)
        return written

    def settle(self, seq: int, event_id: str | None, change: Change | None) -> None:
        """Record that the log has come back up to a position.

        Args:
            seq: The position.
            event_id: The id of the message at this position, if any.
            change: The effect of the message; None if it does not count.
        """
        self.position = seq
        if event_id is None:
            return
        for arrival in self._waiting.pop(event_id, ()):
            if not arrival.done():
                arrival.set_result(Written(seq, has_come_back=True, change=change))

    async def _store(self, topic: str, event: Event, event_id: str) -> Written:
        if self._publisher is None:
            raise Unavailable(sentences.NOT_CONNECTED)
        try:
            ack = await self._publisher.publish(topic, event, id=event_id)
        except Rejected:
            raise
        except FanlineError as error:
            raise Unavailable(sentences.NOT_STORED, problem=error) from error
        return Written(ack.seq, has_come_back=False)

    @property
    def _problem(self) -> str:
        problem = self._publisher and self._publisher.problem
        return problem or "the pipeline does not answer"

    @contextmanager
    def _wait_for(self, event_id: str) -> Iterator[asyncio.Future[Written]]:
        arrival: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting[event_id].append(arrival)
        try:
            yield arrival
        finally:
            if event_id in self._waiting:
                self._waiting[event_id].remove(arrival)
                if not self._waiting[event_id]:
                    del self._waiting[event_id]
