"""Members who have gone, and of whom it is not in the log yet that they have left."""

import asyncio
from collections import deque

from chat.domain.events import Left, room_topic
from fanline.client import Publisher


class Farewells:
    """Sees to it that every ``left`` gets into the log, however long the pipeline is away.

    Each has the member for an id, so that several servers that write it store it once.
    """

    def __init__(self) -> None:
        self._due: dict[str, tuple[str, Left]] = {}
        self._unsent: deque[str] = deque()
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, room: str, left: Left) -> None:
        """Write that a member has left; once is enough."""
        if left.member in self._due:
            return
        self._due[left.member] = room_topic(room), left
        self._unsent.append(left.member)
        self._settled.clear()
        self._news.set()

    def discard(self, member: str) -> None:
        """Note that a member has left, or that there is nothing any more that could be left."""
        self._due.pop(member, None)
        if not self._due:
            self._settled.set()

    def clear(self) -> None:
        """Forget everything: there is another log."""
        self._due.clear()
        self._settled.set()

    async def settled(self) -> None:
        """Wait until everything has been written, and has come back."""
        await self._settled.wait()

    async def run(self, publisher: Publisher) -> None:
        """Write what is due, and what will be, until cancelled; begin with what an earlier publisher had."""
        self._unsent = deque(self._due)
        while True:
            while self._unsent:
                await self._send(publisher, self._unsent.popleft())
            self._news.clear()
            await self._news.wait()

    async def _send(self, publisher: Publisher, member: str) -> None:
        if member in self._due:
            topic, left = self._due[member]
            await publisher.send(topic, left, id=f"left:{member}")
