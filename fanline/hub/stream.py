"""Bounded queue for one reader, which learns how many items it missed."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

import msgspec

from fanline.hub.errors import BadLimit

T = TypeVar("T")


class Missed(msgspec.Struct, frozen=True, tag_field="type", tag="missed"):
    """Placeholder for ``count`` items that did not fit."""

    count: int


class Stream(Generic[T]):
    """Items in order for a reader that never blocks the writer.

    An item put into a full stream is dropped and counted. In its place the reader gets a :class:`Missed`.

    Any number of tasks may read: each item goes to one of them. Only waiting needs an event loop. Not
    thread-safe.

    Args:
        max_count: Largest number of items, at least 1.
        max_size: Largest total size of the items; a single item fits whatever its size.
        size_of: Returns the size of an item, always the same; 0 by default.

    Attributes:
        missed: Number of items that did not fit.

    Raises:
        BadLimit: If ``max_count`` is less than 1.
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
        self._missing = 0  # after the last item
        self._is_closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of items that can be taken, each :class:`Missed` included."""
        return len(self._items) + bool(self._missing)

    # For the writer.

    def put(self, item: T) -> bool:
        """Add an item, or count it as missed; never waits or raises.

        Returns:
            Whether it was added. A closed stream adds and counts nothing.
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
        self._changed.set()
        return fits

    def close(self, *last: T) -> None:
        """End the stream: the reader still gets its items, then ``last``.

        The items of ``last`` fit even if the stream is full. May be called again.
        """
        if self._is_closed:
            return
        for item in last:
            self._append(item, self._size_of(item))
        self._is_closed = True
        self._changed.set()

    # For the reader.

    async def wait(self) -> bool:
        """Wait until an item can be taken; cancellation loses nothing.

        Returns:
            False if the stream has ended and is empty.
        """
        while not self and not self._is_closed:
            self._changed.clear()
            await self._changed.wait()
        return bool(self)

    def take_all(self) -> list[T | Missed]:
        """Take all items in order; an empty list if there are none."""
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
