"""What clients are shown of rooms and of what happens in them."""

from datetime import UTC, datetime

import msgspec

from chat.domain.events import Chat, Logged, RoomEvent
from chat.domain.state import Room


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Something that has happened in a room.

    Attributes:
        id: Its position as text.
        seq: Its position in the log.
        room_id: The room.
        member_id: Whose doing it is.
        member_name: How they were called.
        type: ``chat``, ``joined`` or ``left``.
        message: What they said; empty if it is no message.
        sent: When it was stored, in UTC (RFC 3339).
        is_self: Whether it is one's own ``joined``, which tells a client who it is (``self`` on the wire).
    """

    id: str
    seq: int
    room_id: str
    member_id: str
    member_name: str
    type: str
    message: str
    sent: str
    is_self: bool = msgspec.field(name="self", default=False)


class Summary(msgspec.Struct, frozen=True, gc=False):
    """A room in a list of rooms.

    Attributes:
        id: ``roomId`` on the wire.
        name: ``roomName`` on the wire.
        members: How many are in it.
        messages: How many were said in it.
        seq: The position of the newest thing that happened in it.
    """

    id: str = msgspec.field(name="roomId")
    name: str = msgspec.field(name="roomName")
    members: int
    messages: int
    seq: int


def entry_of(logged: Logged, event: RoomEvent, *, is_self: bool = False) -> Entry:
    """Return what clients are shown of an event in a room."""
    return Entry(
        id=str(logged.seq),
        seq=logged.seq,
        room_id=logged.room,
        member_id=event.member,
        member_name=event.name,
        type=type(event).__name__.lower(),
        message=event.text if isinstance(event, Chat) else "",
        sent=_utc(logged.time),
        is_self=is_self,
    )


def summary_of(room: Room) -> Summary:
    """Return what a list of rooms shows of a room."""
    return Summary(room.id, room.name, len(room.members), room.count, room.last)


def _utc(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time.isoformat(timespec='milliseconds')[:-6]}Z"
