"""What has happened in a room, read back from the log."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from chat.domain.errors import BadPage, Unavailable
from chat.domain.events import Chat, Joined, Left, RoomEvent, read_event, room_topic
from chat.domain.state import PAGE, Room
from chat.domain.views import Entry, entry_of
from fanline.client import History
from fanline.errors import FanlineError
from fanline.protocol import Message

# Messages that are asked for at a time, at most.
STEP: Final = 500

Wanted = Callable[[RoomEvent], bool]


class Page(msgspec.Struct, frozen=True):
    """A page of the messages of a room.

    Attributes:
        page: Its number, from 1 on.
        pages: How many there are.
        messages: Those on it, oldest first.
    """

    page: int
    pages: int
    messages: Sequence[Entry]


class Transcript:
    """Reads rooms back. What retention has removed from the log is not there any more, and nothing says so.

    Args:
        history: What to read with.
        author: The user as which the chat servers write.
    """

    def __init__(self, history: History, author: str) -> None:
        self._history = history
        self._author = author

    async def before(self, room: Room, before: int | None, limit: int) -> list[Entry]:
        """Return the newest entries in front of a position, oldest first.

        Args:
            room: The room.
            before: The position; None for the end.
            limit: How many; fewer mean that there are no more.

        Raises:
            Unavailable: If the log cannot be read.
        """
        found: list[Entry] = []
        while len(found) < limit and (before is None or before > room.made):
            messages = await self._read(room, before=before, limit=limit - len(found))
            if not messages:
                break
            found = [*self._entries(room, messages), *found]
            before = messages[0].seq
        return found

    async def after(
        self,
        room: Room,
        after: int,
        limit: int,
        *,
        end: int | None = None,
        wanted: Wanted = lambda _: True,
    ) -> list[Entry]:
        """Return the oldest entries behind a position, oldest first.

        Args:
            room: The room.
            after: The position.
            limit: How many; fewer mean that there are no more.
            end: Only those in front of this position; None for all.
            wanted: Only those for which this is true.

        Raises:
            Unavailable: If the log cannot be read.
        """
        found: list[Entry] = []
        after = max(after, room.made)
        last = room.last if end is None else end - 1
        while len(found) < limit and after < last:
            messages = await self._read(room, after=after, limit=limit)
            if not messages:
                break
            found += (each for each in self._entries(room, messages, wanted) if end is None or each.seq < end)
            after = messages[-1].seq
        return found[:limit]

    async def page(self, room: Room, number: int | None) -> Page:
        """Return a page of messages, without joins and leaves.

        Args:
            room: The room.
            number: Which page; None for the newest.

        Raises:
            BadPage: If there is no such page.
            Unavailable: If the log cannot be read.
        """
        starts = room.starts
        pages = max(1, len(starts))
        number = pages if number is None else number
        if not 1 <= number <= pages:
            raise BadPage(number, pages)
        if not starts:
            return Page(number, pages, [])
        end = starts[number] if number < len(starts) else None
        messages = await self.after(room, starts[number - 1] - 1, PAGE, end=end, wanted=_is_message)
        return Page(number, pages, messages)

    def _entries(
        self, room: Room, messages: Sequence[Message], wanted: Wanted = lambda _: True
    ) -> Iterator[Entry]:
        """Yield what belongs to this room, and not to another one that had the same id before."""
        for message in messages:
            logged = read_event(message, self._author)
            if logged is None or not isinstance(logged.event, Chat | Joined | Left):
                continue
            if logged.event.key == room.key and wanted(logged.event):
                yield entry_of(logged, logged.event)

    async def _read(
        self, room: Room, *, after: int | None = None, before: int | None = None, limit: int
    ) -> Sequence[Message]:
        try:
            page = await self._history.page(
                room_topic(room.id), after=after, before=before, limit=min(limit, STEP)
            )
        except FanlineError as error:
            raise Unavailable(f"the log cannot be read: {error}") from error
        return page.messages


def _is_message(event: RoomEvent) -> bool:
    return isinstance(event, Chat)
