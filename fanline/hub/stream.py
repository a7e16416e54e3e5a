"""What waits for one reader: bounded, and open about what did not fit."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

import msgspec

from fanline.hub.errors import BadLimit

T = TypeVar("T")


class Missed(msgspec.Struct, frozen=True, tag_field="type", tag="missed"):
    """Stands in the place of items that are missing: ``count`` of them."""

    count: int


class Stream(Generic[T]):
    """Items in order, from whoever puts them to a reader, who can never hold the others up.

    An item that comes while the stream is full is dropped and counted. In its place, behind what came before
    and ahead of what comes next, the reader finds a :class:`Missed`.

    Any number of tasks may read: each item goes to one of them. Only waiting needs an event loop. Not
    thread-safe.

    Args:
        max_count: Items with which it is full; 1 at least.
        max_size: What the items may measure together; whatever the size of one, it fits if it is alone.
        size_of: Measures an item, each time the same; by default none has a size.

    Attributes:
        missed: Items that did not fit, so far.

    Raises:
        BadLimit: If there would never be room for an item.
    """

    def __init__(
        self, max_count: int, *, max_size: int = 0, size_of: Callable[[T], int] = lambda _: 0
    ) -> None:
        if max_count < 1:
            raise BadLimit("max_count", max_count, lowest=1)
        self.missed = 0
        self._max_count = max_count
        self._max_size = max_size
        self._size_of = size_of
        self._items: deque[T | Missed] = deque()
        self._count = 0
        self._size = 0
        self._missing = 0  # behind the last of the items
        self._is_closed = False
        self._news = asyncio.Event()

    def __len__(self) -> int:
        """Return how much can be taken now, each :class:`Missed` included."""
        return len(self._items) + bool(self._missing)

    # The writer's side.

    def put(self, item: T) -> bool:
        """Add an item, or count it as missed; never waits, and never raises.

        Returns:
            Whether it was added. A closed stream takes nothing, and counts nothing.
        """
        if self._is_closed:
            return False
        size = self._size_of(item)
        fits = self._fits(size)
        if fits:
            self._append(item, size)
        else:
            self._missing += 1
            self.missed += 1
        self._news.set()
        return fits

    def close(self, *last: T) -> None:
        """End the stream: the reader still gets what is in it, and then ``last``, for which there is room.

        Closing it again changes nothing.
        """
        if self._is_closed:
            return
        for item in last:
            self._append(item, self._size_of(item))
        self._is_closed = True
        self._news.set()

    # The reader's side.

    async def wait(self) -> bool:
        """Wait until something can be taken; cancelling it loses nothing.

        Returns:
            False if the stream has ended: there is nothing, and nothing will come.
        """
        while not self and not self._is_closed:
            self._news.clear()
            await self._news.wait()
        return bool(self)

    def take_all(self) -> list[T | Missed]:
        """Take everything that is there, in order; an empty list if there is nothing."""
        self._note_missing()
        taken = list(self._items)
        self._items.clear()
        self._count = self._size = 0
        return taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T | Missed:
        if not await self.wait():
            raise StopAsyncIteration
        return self._take()

    # What both are made of.

    def _fits(self, size: int) -> bool:
        if not self._count:
            return True
        return self._count < self._max_count and self._size + size <= self._max_size

    def _append(self, item: T, size: int) -> None:
        self._note_missing()
        self._items.append(item)
        self._count += 1
        self._size += size

    def _note_missing(self) -> None:
        if self._missing:
            self._items.append(Missed(self._missing))
            self._missing = 0

    def _take(self) -> T | Missed:
        if not self._items:
            self._note_missing()
        item = self._items.popleft()
        if not isinstance(item, Missed):
            self._count -= 1
            self._size -= self._size_of(item)
        return item
