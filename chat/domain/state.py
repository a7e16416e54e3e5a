"""What there is: rooms, their members, how much was said in them, and which tokens were logged out.

It follows from the log alone. Every server applies the same events in the same order, and so every server
comes to the same rooms and members; no event is ever an error, it counts or it does not.
"""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from chat.domain.events import Beat, Chat, Deleted, Event, Joined, Left, Logged, Made, Revoked, RoomEvent
from chat.domain.names import is_room_id

LOBBY: Final = "lobby"
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a room.

    Attributes:
        id: Unique among all members of all times.
        name: How they are called; others may be called the same.
        server: The server that they are connected to.
    """

    id: str
    name: str
    server: str


def _no_positions() -> "array[int]":
    return array("q")


@dataclass(eq=False, slots=True)
class Room:
    """A room.

    Attributes:
        id: What it is known by.
        name: How it is called.
        key: Unique among all rooms of all times.
        made: The position at which it was made.
        members: Who is there, by id, in the order in which they came.
        count: How many messages were said in it.
        last: The position of the newest thing that happened to it.
        starts: The positions of the first message, and of every hundredth behind it.
    """

    id: str
    name: str
    key: str
    made: int
    last: int
    count: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    starts: "array[int]" = field(default_factory=_no_positions)


class Change(NamedTuple):
    """What an event has changed.

    Attributes:
        event: The event.
        room: The room that it is about, as it is after the event; None if it is about none.
    """

    event: Event
    room: Room | None = None


class State:
    """The state that a stretch of the log leads to. Without I/O or a clock.

    Attributes:
        rooms: The rooms, by id, in the order in which they were made.
        population: How many members each server has; servers without any are not in it.
    """

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.population: Counter[str] = Counter()
        self._revoked: dict[str, int] = {}
        self._expiries: list[tuple[int, str]] = []

    def apply(self, logged: Logged) -> Change | None:
        """Let one event count.

        Args:
            logged: The event; later in the log than all before it.

        Returns:
            What it has changed; None if it does not count.
        """
        match logged.event:
            case Chat() | Joined() | Left() as event:
                return self._apply_to_room(logged, event)
            case Beat() as event:
                return Change(event)
            case Made() as event:
                return self._make(event, logged.seq)
            case Deleted() as event:
                return self._delete(event)
            case Revoked() as event:
                return self._revoke(event, logged.time)

    def restart(self) -> None:
        """Forget everything: there is another log."""
        self.__init__()  # type: ignore[misc]

    def is_revoked(self, token: str) -> bool:
        """Whether a token, by its id, was logged out; one that has expired since may be forgotten."""
        return token in self._revoked

    def members_of(self, server: str) -> Iterator[tuple[Room, Member]]:
        """Yield the members that a server has, each with the room that they are in."""
        for room in self.rooms.values():
            for member in room.members.values():
                if member.server == server:
                    yield room, member

    def _make(self, event: Made, seq: int) -> Change | None:
        if event.room in self.rooms or not is_room_id(event.room):
            return None
        room = self.rooms[event.room] = Room(event.room, event.name, event.key, made=seq, last=seq)
        return Change(event, room)

    def _delete(self, event: Deleted) -> Change | None:
        room = self.rooms.get(event.room)
        if room is None or room.key != event.key or room.id == LOBBY:
            return None
        del self.rooms[room.id]
        for member in room.members.values():
            self._uncount(member.server)
        return Change(event, room)

    def _apply_to_room(self, logged: Logged, event: RoomEvent) -> Change | None:
        room = self.rooms.get(logged.room)
        if room is None or room.key != event.key or not self._apply_inside(room, event, logged.seq):
            return None
        room.last = logged.seq
        return Change(event, room)

    def _apply_inside(self, room: Room, event: RoomEvent, seq: int) -> bool:
        match event:
            case Chat():
                _count_message(room, seq)
                return True
            case Joined():
                return self._join(room, event)
            case Left():
                return self._leave(room, event)

    def _join(self, room: Room, event: Joined) -> bool:
        if event.member in room.members:
            return False
        room.members[event.member] = Member(event.member, event.name, event.server)
        self.population[event.server] += 1
        return True

    def _leave(self, room: Room, event: Left) -> bool:
        member = room.members.pop(event.member, None)
        if member is None:
            return False
        self._uncount(member.server)
        return True

    def _uncount(self, server: str) -> None:
        self.population[server] -= 1
        if not self.population[server]:
            del self.population[server]

    def _revoke(self, event: Revoked, time: int) -> Change:
        """Note a token, and forget those that have expired since, by the clock of the log."""
        if event.token not in self._revoked:
            self._revoked[event.token] = event.until
            heapq.heappush(self._expiries, (event.until, event.token))
        while self._expiries and self._expiries[0][0] * 1000 < time:
            del self._revoked[heapq.heappop(self._expiries)[1]]
        return Change(event)


def _count_message(room: Room, seq: int) -> None:
    if room.count % PAGE == 0:
        room.starts.append(seq)
    room.count += 1
