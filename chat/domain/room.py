"""A room, its members, and the effects of events on it."""

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from chat.domain.events import Event, room_topic
from chat.domain.person import Person, Role
from fanline.presence import UserSession


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
        creator: The name of the person who made the room.
        owner: The id of that person; empty for the lobby.
        sender: The id of the person who sent the newest message; empty for none, or a guest without a token.
    """

    id: str
    name: str
    key: str
    made: int
    last: int
    count: int = 0
    members: dict[str, RoomMember] = field(default_factory=dict)
    starts: "array[int]" = field(default_factory=_no_positions)
    creator: str = ""
    owner: str = ""
    sender: str = ""

    def session_of(self, member: str, user: str) -> UserSession:
        """Return the session of a member on the room's topic.

        It is the person who is present there.
        """
        return UserSession(room_topic(self.id), user, member)

    def is_managed_by(self, person: Person) -> bool:
        """Return whether a person may delete and restore the room."""
        return person.role == Role.ADMIN or (person.id != "" and person.id == self.owner)


class RestorableRoom(NamedTuple):
    """A deleted room that can be restored.

    Attributes:
        room: The room, as it was.
        until: The time until when, in Unix milliseconds of the log.
    """

    room: Room
    until: int


class RoomLimits(NamedTuple):
    """Limits of rooms; 0 stands for none.

    Attributes:
        all: The number of rooms.
        own: The number of rooms that one person has made.
    """

    all: int = 0
    own: int = 0


class Change(NamedTuple):
    """The effect of an event that counts.

    Attributes:
        event: The event.
        room: The room of the event, as it is after the event; None if the event is not about a room.
        member: The member of the event, if it is about one who is present, or was until then.
    """

    event: Event
    room: Room | None = None
    member: RoomMember | None = None
