"""Leaves that are not yet in the log."""

import asyncio
from collections import deque

from chat.domain.events import Left, room_topic
from fanline import Publisher


class PendingLeaves:
    """Write each ``left`` to the log, however long the pipeline is away.

    Each message has an id made from the member's, so that it is stored once even if several servers write it.
    """

    def __init__(self) -> None:
        self._pending: dict[str, tuple[str, Left]] = {}
        self._unsent: deque[str] = deque()
        self._added = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """Return the number of leaves that have not come back from the log."""
        return len(self._pending)

    def add(self, room: str, left: Left) -> None:
        """Write a leave, unless it is pending already."""
        if left.member in self._pending:
            return
        self._pending[left.member] = room_topic(room), left
        self._unsent.append(left.member)
        self._empty.clear()
        self._added.set()

    def discard(self, member: str) -> None:
        """Forget a leave that has come back, or whose room is deleted."""
        self._pending.pop(member, None)
        if not self._pending:
            self._empty.set()

    def clear(self) -> None:
        """Forget all leaves, to begin with another log."""
        self._pending.clear()
        self._empty.set()

    async def wait_until_empty(self) -> None:
        """Wait until all leaves have been written and have come back."""
        await self._empty.wait()

    async def run(self, publisher: Publisher) -> None:
        """Write pending leaves until cancelled, beginning with those that an earlier publisher had."""
        self._unsent = deque(self._pending)
        while True:
            while self._unsent:
                await self._send(publisher, self._unsent.popleft())
            self._added.clear()
            await self._added.wait()

    async def _send(self, publisher: Publisher, member: str) -> None:
        if member in self._pending:
            topic, left = self._pending[member]
            await publisher.send(topic, left, id=f"left:{member}")
