"""Rooms, members, message counts and revoked tokens: the state that the log leads to.

Every server applies the same events in the same order, and so reaches the same state. No event is an error;
an event that does not count is ignored.
"""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from chat.domain.errors import RoomExists, TooManyRooms, UnknownRoom
from chat.domain.events import Beat, Chat, Deleted, Event, Joined, Left, LoggedEvent, Made, Revoked, RoomEvent
from chat.domain.names import (
    is_room_id,
    new_key,
    new_room_id,
    random_name,
    require_name,
    require_room_id,
)
from fanline import ErrorCode, Rejected

LOBBY: Final = "lobby"
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class RoomMember:
    """A member of a room.

    Attributes:
        id: Unique among all members at all times.
        name: The display name; not unique.
        server: The id of the server that the member is connected to.
        user: The id of the person; empty for a guest without a token.
    """

    id: str
    name: str
    server: str
    user: str = ""


def _no_positions() -> "array[int]":
    return array("q")


@dataclass(eq=False, slots=True)
class Room:
    """A room.

    Attributes:
        id: The id, unique among the current rooms.
        name: The display name.
        key: Unique among all rooms at all times.
        made: The position at which the room was made.
        last: The position of the newest event of the room.
        count: The number of messages.
        members: The present members by id, in order of arrival.
        starts: The positions of the first message and of every hundredth after it.
    """

    id: str
    name: str
    key: str
    made: int
    last: int
    count: int = 0
    members: dict[str, RoomMember] = field(default_factory=dict)
    starts: "array[int]" = field(default_factory=_no_positions)


Membership: TypeAlias = tuple[Room, RoomMember]


class Change(NamedTuple):
    """The effect of an event that counts.

    Attributes:
        event: The event.
        room: The room of the event, as it is after the event; None if the event is not about a room.
        dead: The members of servers that this event shows to be dead.
    """

    event: Event
    room: Room | None = None
    dead: Sequence[Membership] = ()


class Rooms:
    """All rooms and revoked tokens, as of some position of the log. Without I/O or a clock.

    Attributes:
        by_id: The rooms by id, in the order in which they were made.
        population: The number of members of each server that has members.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Room] = {}
        self.population: Counter[str] = Counter()
        self._revoked: dict[str, int] = {}
        self._expiries: list[tuple[int, str]] = []

    def get(self, room_id: str) -> Room:
        """Return a room.

        Raises:
            UnknownRoom: If no room has this id.
        """
        try:
            return self.by_id[room_id]
        except KeyError:
            raise UnknownRoom(room_id) from None

    def members_of(self, server: str) -> Iterator[Membership]:
        """Yield the members of a server, each with the room."""
        for room in self.by_id.values():
            for member in room.members.values():
                if member.server == server:
                    yield room, member

    def is_revoked(self, token: str) -> bool:
        """Return whether a token id was revoked; expired tokens may be forgotten."""
        return token in self._revoked

    # Decisions about commands: each returns the event to be written.

    def plan_room(self, room_id: str | None, name: str | None, by: str, *, limit: int) -> Made:
        """Return the event that makes a room.

        Args:
            room_id: The id; None for a random one.
            name: The display name; None for a random one.
            by: The name of the user.
            limit: The number of rooms allowed.

        Raises:
            Rejected: If the id or name is invalid.
            RoomExists: If a room has this id.
            TooManyRooms: If the limit is reached.
        """
        room_id = new_room_id() if room_id is None else room_id
        require_room_id(room_id)
        name = random_name() if name is None else require_name(name)
        if room_id in self.by_id:
            raise RoomExists(room_id)
        if len(self.by_id) >= limit:
            raise TooManyRooms(limit)
        return Made(room_id, name, new_key(), by)

    def plan_deletion(self, room_id: str, by: str) -> Deleted:
        """Return the event that deletes a room.

        Raises:
            UnknownRoom: If no room has this id.
            Rejected: With ``forbidden``, if the room is the lobby.
        """
        room = self.get(room_id)
        if room_id == LOBBY:
            raise Rejected(ErrorCode.FORBIDDEN, "the lobby cannot be deleted")
        return Deleted(room_id, room.key, by)

    # Events.

    def apply(self, logged: LoggedEvent) -> Change | None:
        """Apply an event, and return its effect.

        Args:
            logged: An event after all earlier ones in the log.

        Returns:
            The effect; None if the event does not count.
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

    def clear(self) -> None:
        """Forget everything, to begin with another log."""
        self.by_id.clear()
        self.population.clear()
        self._revoked.clear()
        self._expiries.clear()

    def _make(self, event: Made, seq: int) -> Change | None:
        if event.room in self.by_id or not is_room_id(event.room):
            return None
        room = self.by_id[event.room] = Room(event.room, event.name, event.key, made=seq, last=seq)
        return Change(event, room)

    def _delete(self, event: Deleted) -> Change | None:
        room = self.by_id.get(event.room)
        if room is None or room.key != event.key or room.id == LOBBY:
            return None
        del self.by_id[room.id]
        for member in room.members.values():
            self._uncount(member.server)
        return Change(event, room)

    def _apply_to_room(self, logged: LoggedEvent, event: RoomEvent) -> Change | None:
        room = self.by_id.get(logged.room)
        if room is None or room.key != event.key or not self._apply_inside(room, event, logged.seq):
            return None
        room.last = logged.seq
        return Change(event, room)

    def _apply_inside(self, room: Room, event: RoomEvent, seq: int) -> bool:
        match event:
            case Chat():
                if room.count % PAGE == 0:
                    room.starts.append(seq)
                room.count += 1
                return True
            case Joined():
                return self._join(room, event)
            case Left():
                return self._leave(room, event)

    def _join(self, room: Room, event: Joined) -> bool:
        if event.member in room.members:
            return False
        room.members[event.member] = RoomMember(event.member, event.name, event.server, event.user)
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
        """Record a token; forget those that have expired by the clock of the log."""
        if event.token not in self._revoked:
            self._revoked[event.token] = event.until
            heapq.heappush(self._expiries, (event.until, event.token))
        while self._expiries and self._expiries[0][0] * 1000 < time:
            del self._revoked[heapq.heappop(self._expiries)[1]]
        return Change(event)
