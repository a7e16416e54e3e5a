"""The history of a room, read from the log."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from chat.domain import sentences
from chat.domain.errors import Refused, Unavailable
from chat.domain.events import Chat, Joined, Left, RoomEvent, read_event, room_topic
from chat.domain.room import Room
from chat.domain.rooms import PAGE_MESSAGES
from chat.domain.views import MessagePage, RoomEntry, entry_of
from fanline import FanlineError, History, Message

# Messages per request, at most.
MAX_REQUEST: Final = 500

Filter = Callable[[RoomEvent], bool]


def is_event(event: RoomEvent) -> bool:
    """Return True: every event is wanted."""
    del event
    return True


def is_message(event: RoomEvent) -> bool:
    """Return whether an event is a message, no join or leave."""
    return isinstance(event, Chat)


class RoomHistory:
    """Read the events of rooms.

    Events that retention has removed are missing without notice.

    Args:
        history: Reads pages of the log.
        author: The user as which the chat servers publish.
    """

    def __init__(self, history: History, author: str) -> None:
        self._history = history
        self._author = author

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Return the connection, which must be open while rooms are read."""
        return self._history

    async def before(
        self, room: Room, before: int | None, limit: int, *, wanted: Filter = is_event
    ) -> list[RoomEntry]:
        """Return the newest entries before a position, oldest first.

        Args:
            room: The room.
            before: The position; None for the end of the log.
            limit: The number of entries; fewer are returned only if there are no more.
            wanted: Returns whether to include an event.

        Raises:
            Unavailable: If the log cannot be read.
        """
        found: list[RoomEntry] = []
        while len(found) < limit and (before is None or before > room.made):
            messages = await self._read(room, before=before, limit=limit - len(found))
            if not messages:
                break
            found = [*self._entries(room, messages, wanted), *found]
            before = messages[0].seq
        return found

    async def after(
        self,
        room: Room,
        after: int,
        limit: int,
        *,
        end: int | None = None,
        wanted: Filter = is_event,
    ) -> list[RoomEntry]:
        """Return the oldest entries after a position, oldest first.

        Args:
            room: The room.
            after: The position.
            limit: The number of entries; fewer are returned only if there are no more.
            end: The position before which to stop; None for the end of the log.
            wanted: Returns whether to include an event.

        Raises:
            Unavailable: If the log cannot be read.
        """
        found: list[RoomEntry] = []
        after = max(after, room.made)
        last = room.last if end is None else end - 1
        while len(found) < limit and after < last:
            messages = await self._read(room, after=after, limit=limit)
            if not messages:
                break
            found += (
                each for each in self._entries(room, messages, wanted) if end is None or each["seq"] < end
            )
            after = messages[-1].seq
        return found[:limit]

    async def page(self, room: Room, number: int | None) -> MessagePage:
        """Return a page of messages, without joins and leaves.

        Args:
            room: The room.
            number: The number of the page; None for the newest.

        Raises:
            Refused: If the number is out of range.
            Unavailable: If the log cannot be read.
        """
        starts = room.starts
        pages = max(1, len(starts))
        number = pages if number is None else number
        if not 1 <= number <= pages:
            raise Refused(sentences.BAD_PAGE, page=number, pages=pages)
        if not starts:
            return {"page": number, "pages": pages, "messages": []}
        end = starts[number] if number < len(starts) else None
        messages = await self.after(room, starts[number - 1] - 1, PAGE_MESSAGES, end=end, wanted=is_message)
        return {"page": number, "pages": pages, "messages": messages}

    def _entries(
        self, room: Room, messages: Sequence[Message], wanted: Filter = is_event
    ) -> Iterator[RoomEntry]:
        """Yield this room's entries, without earlier rooms of the same id."""
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
                room_topic(room.id), after=after, before=before, limit=min(limit, MAX_REQUEST)
            )
        except FanlineError as error:
            raise Unavailable(sentences.NOT_READABLE, problem=error) from error
        return page.messages
