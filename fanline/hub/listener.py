"""Calls of a listener with a hub's events, in its own task."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from fanline.hub.event import Event
from fanline.hub.stream import Missed, Stream

logger = logging.getLogger(__name__)

# Seconds that a listener has for its last events when it is stopped.
STOP_TIMEOUT: Final = 10.0


class Listener(Protocol):
    """A callable that takes events, such as an ``async def``."""

    async def __call__(self, events: Sequence[Event | Missed], /) -> None:
        """Take all events that wait.

        The next call follows when this one has returned. A :class:`~fanline.hub.stream.Missed` stands for
        events that did not fit. All events of a call that raises count as missed, and the next call begins
        with their number.
        """
        ...


class Attachment:
    """A listener that is attached to a hub.

    It needs a running event loop.

    Args:
        listener: Takes the events.
        events: Source of the events.

    Attributes:
        events: Source of the events.
        task: Calls the listener; ends after the stream.
    """

    def __init__(self, listener: Listener, events: Stream[Event]) -> None:
        self.events = events
        self._listener = listener
        self._taken: list[Event | Missed] = []
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Detach the listener, after it has taken all events so far.

        May be called again. If cancelled, the listener is cancelled too.

        Args:
            timeout: Seconds after which it is cancelled; the events it has not taken are logged as lost.
        """
        self.events.close()
        try:
            await asyncio.wait({self.task}, timeout=timeout)
        finally:
            self.task.cancel()
            await asyncio.wait({self.task})

    async def _run(self) -> None:
        try:
            while await self.events.wait():
                self._taken += self.events.take_all()
                await self._call_listener()
        except asyncio.CancelledError:
            lost = _count([*self._taken, *self.events.take_all()])
            if lost:
                logger.error(
                    "%r was stopped before it had taken all; events missed: %d", self._listener, lost
                )
            raise

    async def _call_listener(self) -> None:
        try:
            await self._listener(self._taken)
            self._taken = []
        except Exception:
            lost = _count(self._taken)
            logger.exception("%r has failed; events missed: %d", self._listener, lost)
            self._taken = [Missed(lost)]


def _count(events: Iterable[Event | Missed]) -> int:
    return sum(event.count if isinstance(event, Missed) else 1 for event in events)
