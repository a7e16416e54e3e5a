"""A listener: has the events of a hub handed to it, in a task of its own."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from fanline.hub.event import Event
from fanline.hub.stream import Missed, Stream

logger = logging.getLogger(__name__)

# Seconds that a listener has to take what is left, when it is stopped.
STOP_TIMEOUT: Final = 10.0


class Listener(Protocol):
    """Anything that can be called so; an ``async def`` with one argument will do."""

    async def __call__(self, events: Sequence[Event | Missed], /) -> None:
        """Take the next events, all that there are; it is called again when it is done with them.

        Where events did not fit a :class:`~fanline.hub.stream.Missed` says how many. Those of a call that
        raises, all of them, are counted as missed as well, and the next call begins with their number.
        """
        ...


class Attachment:
    """A listener that is attached to a hub; needs a running event loop.

    Args:
        listener: Who takes the events.
        events: Where they come from.

    Attributes:
        events: As given.
        task: What hands them over; it ends when the stream has.
    """

    def __init__(self, listener: Listener, events: Stream[Event]) -> None:
        self.events = events
        self._listener = listener
        self._in_hand: list[Event | Missed] = []
        self.task = asyncio.get_running_loop().create_task(self._hand_over_all())

    async def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Detach the listener, and wait until it has taken all events up to now.

        Again it does no harm. If cancelled, the listener is cut short as well.

        Args:
            timeout: Seconds after which it is cut short; what it has not taken is logged as lost.
        """
        self.events.close()
        try:
            await asyncio.wait({self.task}, timeout=timeout)
        finally:
            self.task.cancel()
            await asyncio.wait({self.task})

    async def _hand_over_all(self) -> None:
        try:
            while await self.events.wait():
                self._in_hand += self.events.take_all()
                await self._hand_over()
        except asyncio.CancelledError:
            lost = _count([*self._in_hand, *self.events.take_all()])
            if lost:
                logger.error(
                    "%r was stopped before it had taken all; events missed: %d", self._listener, lost
                )
            raise

    async def _hand_over(self) -> None:
        try:
            await self._listener(self._in_hand)
            self._in_hand = []
        except Exception:
            lost = _count(self._in_hand)
            logger.exception("%r has failed; events missed: %d", self._listener, lost)
            self._in_hand = [Missed(lost)]


def _count(events: Iterable[Event | Missed]) -> int:
    return sum(event.count if isinstance(event, Missed) else 1 for event in events)
