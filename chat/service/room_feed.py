"""Feed of all rooms: room lists, members' and messages' counts."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from chat.domain.room import Room
from chat.domain.rooms import Rooms
from chat.domain.views import encode, pipeline_state, summary_of
from chat.service.members import DeliveryQueue
from fanline.server import Claims

# Seconds for which changes of a room are collected.
_WINDOW: Final = 0.3

# Rooms in one text of the list with which a feed begins.
_PAGE: Final = 200


class FeedSubscriber(DeliveryQueue):
    """A client of the feed. Made by :meth:`RoomFeed.subscribe`."""

    def __init__(self, token: Claims | None, feed: "RoomFeed", rooms: Sequence[Room]) -> None:
        super().__init__(token)
        self._feed = feed
        self._pages = _pages(rooms)
        self._next_page = next(self._pages, None)

    def take_all(self) -> list[bytes]:
        """Return the next page of rooms, or all waiting texts.

        The texts begin with the last page.
        """
        page = self._next_page
        if page is None:
            return super().take_all()
        self._next_page = next(self._pages, None)
        if self._next_page is None:
            return [page, *super().take_all()]
        self.on_change()  # there is more to take
        return [page]

    async def take(self) -> list[bytes]:
        """Return what :meth:`take_all` does; wait while there is nothing."""
        return self.take_all() if self._next_page is not None else await super().take()

    def _on_close(self) -> None:
        self._feed.unsubscribe(self)


class RoomFeed:
    """Tell subscribers about changes of all rooms.

    Each gets JSON texts: first all rooms in pages, ``{"rooms": [...], "more": true}``, of which the last has
    no ``more``; then ``{"made": {...}}``, ``{"deleted": {"roomId"}}``,
    and ``{"room": {...}}`` after a join, leave or message, at most once per window and room.

    Args:
        rooms: The rooms.
        window: Seconds for which changes of a room are collected.
    """

    def __init__(self, rooms: Rooms, *, window: float = _WINDOW) -> None:
        self._rooms = rooms
        self._window = window
        self._subscribers: dict[FeedSubscriber, None] = {}
        self._changed: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of subscribers."""
        return len(self._subscribers)

    @property
    def has_changes(self) -> bool:
        """True while changes are being collected."""
        return self._timer is not None or bool(self._changed)

    def subscribe(self, token: Claims | None) -> FeedSubscriber:
        """Return a new subscriber, which must be closed in the end."""
        subscriber = FeedSubscriber(token, self, tuple(self._rooms.by_id.values()))
        self._subscribers[subscriber] = None
        return subscriber

    def unsubscribe(self, subscriber: FeedSubscriber) -> None:
        """Remove a subscriber, if present."""
        self._subscribers.pop(subscriber, None)

    def revoke(self, token: str) -> None:
        """Close the subscribers that use the token with this id."""
        for subscriber in tuple(self._subscribers):
            subscriber.revoke(token)

    def close(self, code: int, reason: str) -> None:
        """Close all subscribers."""
        self._changed.clear()
        for subscriber in tuple(self._subscribers):
            subscriber.close(code, reason)

    def pipeline_changed(self, problem: str | None) -> None:
        """Tell about the pipeline's loss, or its return if None."""
        self._tell(pipeline_state(problem))

    def room_made(self, room: Room) -> None:
        """Tell about a new room."""
        self._tell({"made": summary_of(room)})

    def room_deleted(self, room: Room) -> None:
        """Tell about a deleted room."""
        self._changed.pop(room.id, None)
        self._tell({"deleted": {"roomId": room.id}})

    def room_changed(self, room: Room) -> None:
        """Tell about a room's counts, at the end of the window."""
        if not self._subscribers:
            return
        self._changed[room.id] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window, self._tell_changes)

    def _tell_changes(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, {}
        for room in changed:
            self._tell({"room": summary_of(self._rooms.by_id[room])})

    def _tell(self, news: object) -> None:
        if not self._subscribers:
            return
        body = encode(news)
        for subscriber in tuple(self._subscribers):
            subscriber.push(body)


def _pages(rooms: Sequence[Room]) -> Iterator[bytes]:
    """Yield the list of rooms as JSON texts, at least one.

    Each is made when it is taken.
    """
    for start in range(0, max(1, len(rooms)), _PAGE):
        page = {"rooms": [summary_of(room) for room in rooms[start : start + _PAGE]]}
        yield encode(page | {"more": True} if start + _PAGE < len(rooms) else page)
