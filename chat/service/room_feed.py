"""What happens to the rooms, for those who watch all of them: room lists, and counts of what is unread."""

import asyncio
from collections.abc import Callable
from typing import Final

from chat.domain.state import Room, State
from chat.domain.views import summary_of
from chat.service.members import Outbox
from fanline.protocol import encode
from fanline.security.tokens import Claims

# Seconds for which changes of a room are gathered.
WINDOW: Final = 0.3


class Watcher(Outbox):
    """Somebody who watches all rooms.

    Args:
        token: As for :class:`~chat.service.members.Outbox`.
        depart: Called once, when the watcher is closed.
    """

    def __init__(self, token: Claims | None, depart: Callable[["Watcher"], None]) -> None:
        super().__init__(token)
        self._note_departure = depart

    def _depart(self) -> None:
        self._note_departure(self)


class Feed:
    """Tells watchers what changes.

    Each gets JSON texts: first ``{"rooms": [...]}``, then ``{"made": {...}}``, ``{"deleted": {"roomId"}}``,
    and ``{"room": {...}}`` where somebody came, went or said something, a few times a second for each room at
    most.

    Args:
        state: The rooms.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._watchers: dict[Watcher, None] = {}
        self._changed: dict[str, None] = {}
        self._tick: asyncio.TimerHandle | None = None

    def watch(self, token: Claims | None) -> Watcher:
        """Return a new watcher; to be closed in the end."""
        watcher = Watcher(token, self._forget)
        self._watchers[watcher] = None
        watcher.push(encode({"rooms": [summary_of(room) for room in self._state.rooms.values()]}))
        return watcher

    def log_out(self, token: str) -> None:
        """Close those who watch with a token, by its id, that was logged out."""
        for watcher in tuple(self._watchers):
            watcher.log_out(token)

    def close(self, code: int, reason: str) -> None:
        """Close all watchers."""
        self._changed.clear()
        for watcher in tuple(self._watchers):
            watcher.close(code, reason)

    def made(self, room: Room) -> None:
        """Tell of a room that is new."""
        self._tell({"made": summary_of(room)})

    def deleted(self, room: Room) -> None:
        """Tell of a room that is gone."""
        self._changed.pop(room.id, None)
        self._tell({"deleted": {"roomId": room.id}})

    def changed(self, room: Room) -> None:
        """Tell of a room, soon, how many members and messages it has."""
        if not self._watchers:
            return
        self._changed[room.id] = None
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(WINDOW, self._tell_changes)

    def _tell_changes(self) -> None:
        self._tick = None
        changed, self._changed = self._changed, {}
        for room in changed:
            self._tell({"room": summary_of(self._state.rooms[room])})

    def _tell(self, news: object) -> None:
        if not self._watchers:
            return
        body = encode(news)
        for watcher in tuple(self._watchers):
            watcher.push(body)

    def _forget(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)
