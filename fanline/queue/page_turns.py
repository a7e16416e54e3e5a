"""Turns for readers of pages: by user, a few at once."""

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Final, Protocol

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import PageAnswer, Read

# More give no more pages a second, as msgqueue reads one at a time, and would wait there instead of here.
AT_ONCE: Final = 4


class PageSource(Protocol):
    """Source of pages."""

    async def read(self, read: Read) -> PageAnswer:
        """Return a page of the log."""
        ...


class PageTurns:
    """Reads pages for users in turn.

    So no user waits for all that another one has asked for.

    Args:
        source: Where the pages are read.
        at_once: How many requests are in progress at a time; of one user all but one, so that another one's
            need not wait for long reads.
    """

    def __init__(self, source: PageSource, *, at_once: int = AT_ONCE) -> None:
        self._source = source
        self._at_once = at_once
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def read(self, user: str, read: Read, *, most_waiting: int | None = None) -> PageAnswer:
        """Return a page, in the user's turn.

        A cancelled request gives its turn to the next one.

        Args:
            user: Name of the user that it is for.
            read: The page.
            most_waiting: How many requests of the user may wait already.

        Raises:
            Rejected: If so many requests wait, or msgqueue refuses.
        """
        if most_waiting is not None and len(self._waiting.get(user, ())) >= most_waiting:
            reason = f"{most_waiting} requests of {user} wait for the log already; try again"
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason)
        await self._wait_for_turn(user)
        try:
            return await self._source.read(read)
        finally:
            self._pass_on(user)

    async def _wait_for_turn(self, user: str) -> None:
        if self._may_run(user):
            self._running[user] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on(user)
            raise

    def _may_run(self, user: str) -> bool:
        return self._running.total() < self._at_once and self._running[user] < max(1, self._at_once - 1)

    def _pass_on(self, ended: str) -> None:
        """Pass an ended turn on to the user that waited longest.

        A user that may not have another one now is passed over.
        """
        self._running[ended] -= 1
        self._running += Counter()  # without those who have none
        while (user := next(filter(self._may_run, self._waiting), None)) is not None:
            turns = self._waiting.pop(user)
            turn = turns.popleft()
            if turns:
                self._waiting[user] = turns
            if not turn.done():
                self._running[user] += 1
                turn.set_result(None)
