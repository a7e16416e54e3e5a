"""Turns for those who read pages: by user, a few at a time."""

import asyncio
from collections import OrderedDict, deque
from typing import Final

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read
from fanline.queue.base import QueueClient

# More give no more pages a second, as msgqueue reads one at a time, and would wait there instead of here.
AT_ONCE: Final = 4


class PageTurns:
    """Reads pages for users in turn, so that none waits for all that another one has asked for.

    Args:
        queue: Where the pages are read.
        at_once: How many requests are in progress at a time.
    """

    def __init__(self, queue: QueueClient, *, at_once: int = AT_ONCE) -> None:
        self._queue = queue
        self._at_once = at_once
        self._running = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def read(self, user: str, read: Read, *, most_waiting: int | None = None) -> PageAnswer:
        """Return a page, in the user's turn; a cancelled request gives its turn to the next one.

        Args:
            user: Name of the user that it is for.
            read: The page.
            most_waiting: How many requests of the user may wait already.

        Raises:
            Rejected: If so many wait, or msgqueue refuses.
        """
        if most_waiting is not None and len(self._waiting.get(user, ())) >= most_waiting:
            reason = f"{most_waiting} requests of {user} wait for the log already; try again"
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason)
        await self._wait_for_turn(user)
        try:
            return await self._queue.read(read)
        finally:
            self._pass_on()

    async def _wait_for_turn(self, user: str) -> None:
        if self._running < self._at_once:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a turn that has ended to the user who has waited longest for one."""
        while self._waiting:
            user, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[user] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1
