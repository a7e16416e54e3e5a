"""Rooms, members, message counts and revoked tokens, as the log says.

Every server applies the same events in the same order, and so reaches the same state. No event is an error;
an event that does not count is ignored.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Final

from chat.domain import sentences
from chat.domain.errors import Refused, quoted
from chat.domain.events import (
    Beat,
    Chat,
    Deleted,
    Here,
    Joined,
    Left,
    LoggedEvent,
    Made,
    Restored,
    Revoked,
    RoomEvent,
)
from chat.domain.names import (
    fold,
    is_room_id,
    new_key,
    new_room_id,
    random_name,
    require_name,
    require_room_id,
    room_id_from,
)
from chat.domain.person import NamesInUse, Person, Role
from chat.domain.room import Change, RestorableRoom, Room, RoomLimits, RoomMember

LOBBY: Final = "lobby"
PAGE_MESSAGES: Final = 100

# Seconds for which a deleted room can be restored, and how many such rooms there are at most.
RESTORABLE_SECONDS: Final = 86_400
MAX_RESTORABLE: Final = 1_000

# Members whose leaves are remembered, since what a server wrote of them just before may follow.
MAX_DEPARTED: Final = 10_000


class Rooms:
    """All rooms and revoked tokens, as of some position of the log.

    There is no I/O, and no clock.

    Attributes:
        by_id: The rooms by id, in the order in which they were made.
        names: The names of the members who are present and have a token.
        restorable: The deleted rooms that can be restored, by id.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Room] = {}
        self.names = NamesInUse()
        self.restorable: dict[str, RestorableRoom] = {}
        self._owned: Counter[str] = Counter()
        self._departed: dict[str, None] = {}
        self._revoked: dict[str, int] = {}
        self._expiries: list[tuple[int, str]] = []

    def get(self, room_id: str) -> Room:
        """Return a room.

        Raises:
            Refused: If no room has this id.
        """
        try:
            return self.by_id[room_id]
        except KeyError:
            raise Refused(sentences.UNKNOWN_ROOM, room=quoted(room_id)) from None

    def is_revoked(self, token: str) -> bool:
        """Return whether a token id was revoked; expired tokens may be forgotten."""
        return token in self._revoked

    # Decisions about commands: each returns the event to be written.

    def plan_room(
        self,
        room_id: str | None,
        name: str | None,
        person: Person,
        limits: RoomLimits,
        *,
        allows_same_name: bool = False,
    ) -> Made:
        """Return the event that makes a room.

        Args:
            room_id: The id; None for one that resembles the name, or a random one without a name.
            name: The display name; None for a random one.
            person: Who makes it.
            limits: The limits; that of own rooms is not for admins.
            allows_same_name: Whether a room without a chosen id may have the name of another room.

        Raises:
            Refused: If the id or name is invalid; if a room has it, and that is not allowed; or if a limit is
                reached.
        """
        if name is not None:
            name = require_name(name)
            if room_id is None and not allows_same_name:
                self._require_unused_name(name)
        room_id = self._free_id(name) if room_id is None else room_id
        require_room_id(room_id)
        if room_id in self.by_id:
            raise Refused(sentences.ROOM_EXISTS, room=quoted(room_id))
        limits = self._require_space(person.id, _limits_for(person, limits))
        return Made(room_id, name or random_name(), new_key(), person.name, person.id, limits.all, limits.own)

    def plan_deletion(self, room_id: str, person: Person) -> Deleted:
        """Return the event that deletes a room.

        Raises:
            Refused: If no room has this id, or the room is the lobby, or of another person.
        """
        room = self.get(room_id)
        if room_id == LOBBY:
            raise Refused(sentences.LOBBY_STAYS)
        _require_manager(room, person)
        return Deleted(room_id, room.key, person.name)

    def plan_restoration(self, room_id: str, person: Person, limits: RoomLimits) -> Restored:
        """Return the event that restores a deleted room.

        Raises:
            Refused: If no deleted room has this id, the room is of another person, a room has this id again,
                or a limit is reached.
        """
        if room_id not in self.restorable:
            raise Refused(sentences.UNKNOWN_ROOM, room=quoted(room_id))
        room = self.restorable[room_id].room
        _require_manager(room, person)
        if room_id in self.by_id:
            raise Refused(sentences.ROOM_EXISTS, room=quoted(room_id))
        limits = self._require_space(room.owner, _limits_for(person, limits))
        return Restored(room_id, room.key, person.name, limits.all, limits.own)

    def require_joinable(self, room_id: str, person: Person) -> None:
        """Check that the bearer of a token may join a room.

        Raises:
            Refused: If no room has this id, or another person, who is present, uses the name.
        """
        self.get(room_id)
        if self.names.is_taken(person.name, person.id):
            raise Refused(sentences.NAME_TAKEN, name=person.name)

    def free_name(self) -> str:
        """Return a random name that no member who is present uses."""
        while self.names.is_taken(name := random_name(), ""):
            pass
        return name

    def _free_id(self, name: str | None) -> str:
        slug = room_id_from(name) if name is not None else ""
        candidates = (slug, *(f"{slug}-{number}" for number in range(2, 100)))
        return next((each for each in candidates if slug and each not in self.by_id), new_room_id())

    def _require_unused_name(self, name: str) -> None:
        folded = fold(name)
        for room in self.by_id.values():
            if fold(room.name) == folded:
                raise Refused(sentences.ROOM_NAME_EXISTS, name=room.name, room=room.id)

    def _require_space(self, owner: str, limits: RoomLimits) -> RoomLimits:
        if limits.all and len(self.by_id) >= limits.all:
            raise Refused(sentences.TOO_MANY_ROOMS, limit=limits.all)
        if limits.own and owner and self._owned[owner] >= limits.own:
            raise Refused(sentences.TOO_MANY_OWN_ROOMS, limit=limits.own)
        return limits

    def _has_space(self, owner: str, limits: RoomLimits) -> bool:
        try:
            self._require_space(owner, limits)
        except Refused:
            return False
        return True

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
            case Beat() | Here() as event:
                return Change(event)
            case Made() as event:
                return self._make(event, logged.seq)
            case Deleted() as event:
                return self._delete(event, logged.time)
            case Restored() as event:
                return self._restore(event, logged.time)
            case Revoked() as event:
                return self._revoke(event, logged.time)

    def find_members(self, event: Here) -> Iterator[tuple[Room, RoomMember]]:
        """Add members whose joins are not in the log any more.

        Args:
            event: An event after all that were applied.

        Yields:
            All members of the event who are there, with their rooms.
        """
        for listed in event.members:
            room = self.by_id.get(listed.room)
            if room is not None and room.key == listed.key and listed.member not in self._departed:
                self._add_member(room, RoomMember(listed.member, listed.name, event.server, listed.user))
                if (member := room.members.get(listed.member)) is not None:
                    yield room, member

    def clear(self) -> None:
        """Forget everything, to begin with another log."""
        self.by_id.clear()
        self.names.clear()
        self.restorable.clear()
        self._owned.clear()
        self._departed.clear()
        self._revoked.clear()
        self._expiries.clear()

    def _make(self, event: Made, seq: int) -> Change | None:
        if event.room in self.by_id or not is_room_id(event.room):
            return None
        if not self._has_space(event.owner, RoomLimits(event.limit, event.own_limit)):
            return None
        room = Room(
            event.room, event.name, event.key, made=seq, last=seq, creator=event.by, owner=event.owner
        )
        self._add(room)
        return Change(event, room)

    def _delete(self, event: Deleted, time: int) -> Change | None:
        room = self.by_id.get(event.room)
        if room is None or room.key != event.key or room.id == LOBBY:
            return None
        del self.by_id[room.id]
        self._owned[room.owner] -= 1
        for member in room.members.values():
            self._release_name(member)
        self._forget_restorable(time)
        self.restorable.pop(room.id, None)  # the newest one is at the end
        self.restorable[room.id] = RestorableRoom(room, time + RESTORABLE_SECONDS * 1_000)
        return Change(event, room)

    def _restore(self, event: Restored, time: int) -> Change | None:
        self._forget_restorable(time)
        found = self.restorable.get(event.room)
        if found is None or found.room.key != event.key or event.room in self.by_id:
            return None
        if not self._has_space(found.room.owner, RoomLimits(event.limit, event.own_limit)):
            return None
        del self.restorable[event.room]
        found.room.members.clear()
        self._add(found.room)
        return Change(event, found.room)

    def _add(self, room: Room) -> None:
        self.by_id[room.id] = room
        self._owned[room.owner] += 1

    def _forget_restorable(self, time: int) -> None:
        """Forget expired restorable rooms, and the oldest of too many."""
        for room_id, (_, until) in tuple(self.restorable.items()):
            if time <= until and len(self.restorable) < MAX_RESTORABLE:
                break
            del self.restorable[room_id]

    def _apply_to_room(self, logged: LoggedEvent, event: RoomEvent) -> Change | None:
        room = self.by_id.get(logged.room)
        if room is None or room.key != event.key:
            return None
        before = room.members.get(event.member)
        if not self._apply_inside(room, event, logged.seq):
            return None
        room.last = logged.seq
        return Change(event, room, before or room.members.get(event.member))

    def _apply_inside(self, room: Room, event: RoomEvent, seq: int) -> bool:
        match event:
            case Chat():
                if room.count % PAGE_MESSAGES == 0:
                    room.starts.append(seq)
                room.count += 1
                room.sender = event.user
                return True
            case Joined():
                return self._join(room, event)
            case Left():
                return self._leave(room, event)

    def _join(self, room: Room, event: Joined) -> bool:
        return self._add_member(room, RoomMember(event.member, event.name, event.server, event.user))

    def _add_member(self, room: Room, member: RoomMember) -> bool:
        if member.id in room.members:
            return False
        if member.user:
            if self.names.is_taken(member.name, member.user):
                return False
            self.names.add(member.name, member.user)
        room.members[member.id] = member
        return True

    def _leave(self, room: Room, event: Left) -> bool:
        self._departed[event.member] = None
        if len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]
        member = room.members.pop(event.member, None)
        if member is None:
            return False
        self._release_name(member)
        return True

    def _release_name(self, member: RoomMember) -> None:
        if member.user:
            self.names.remove(member.name, member.user)

    def _revoke(self, event: Revoked, time: int) -> Change:
        """Record a token; forget those that have expired.

        The clock is that of the log.
        """
        if event.token not in self._revoked:
            self._revoked[event.token] = event.until
            heapq.heappush(self._expiries, (event.until, event.token))
        while self._expiries and self._expiries[0][0] * 1000 < time:
            del self._revoked[heapq.heappop(self._expiries)[1]]
        return Change(event)


def _limits_for(person: Person, limits: RoomLimits) -> RoomLimits:
    return limits._replace(own=0) if person.role == Role.ADMIN else limits


def _require_manager(room: Room, person: Person) -> None:
    if not room.is_managed_by(person):
        raise Refused(sentences.NOT_YOURS)
