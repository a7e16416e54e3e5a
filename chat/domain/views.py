"""JSON objects of the API: rooms and events for clients.

Each class is both the type of a value and its schema in the OpenAPI description; keys are spelled as on the
wire.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import (
    Annotated,
    Final,
    Literal,
    NotRequired,  # pydantic needs this one before Python 3.12
)

import msgspec
from pydantic import Field
from typing_extensions import TypedDict

from chat.domain.events import Chat, Joined, Left, LoggedEvent, RoomEvent
from chat.domain.names import MAX_LENGTH
from chat.domain.person import Role
from chat.domain.room import RestorableRoom, Room

RoomId = Annotated[str, Field(examples=["lobby"], min_length=1, max_length=MAX_LENGTH)]
Name = Annotated[str, Field(examples=["Coral Otter"], min_length=1, max_length=MAX_LENGTH)]
UserId = Annotated[
    str,
    Field(
        examples=["f4c8a1d09be1"],
        description="The person: the same in all events of one login. A guest without a token is a new one "
        "on each connection.",
    ),
]
MemberId = Annotated[str, Field(examples=["9c1185a5c5e9fc54612808977ee8f548"])]
Seq = Annotated[int, Field(examples=[42], ge=0, description="A position in the log.")]
Count = Annotated[int, Field(examples=[3], ge=0)]
MessageCount = Annotated[Count, Field(description="The number of messages sent in the room.")]
NewestSeq = Annotated[Seq, Field(description="The position of the newest event of the room.")]
CreatorId = Annotated[
    str, Field(examples=["f4c8a1d09be1"], description="The person who made the room; empty if unknown.")
]
SenderId = Annotated[
    str, Field(examples=["f4c8a1d09be1"], description="Who sent the newest message; empty if unknown.")
]
CreatorName = Annotated[str, Field(examples=["Ada"], description="The name of that person at the time.")]

encode: Final = msgspec.json.Encoder().encode


class RoomEntry(TypedDict):
    """An event in a room."""

    id: Annotated[str, Field(examples=["42"], description="The position as text.")]
    seq: Seq
    roomId: RoomId
    memberId: MemberId
    memberName: Name
    userId: UserId
    type: Literal["chat", "joined", "left"]
    message: Annotated[
        str, Field(examples=["Hello, world"], description="The text; empty unless `type` is `chat`.")
    ]
    sent: Annotated[
        str, Field(examples=["2026-11-20T09:18:15.123Z"], description="The time of storage, UTC (RFC 3339).")
    ]
    self: NotRequired[Annotated[bool, Field(description="Marks a client's own `joined`; WebSocket only.")]]


class MessagePage(TypedDict):
    """A page of the messages of a room, oldest first."""

    page: Annotated[int, Field(examples=[1], ge=1, description="The number of the page, from 1.")]
    pages: Annotated[int, Field(examples=[1], ge=1, description="The number of pages.")]
    messages: list[RoomEntry]


class RoomName(TypedDict):
    """The id and name of a room."""

    roomId: RoomId
    roomName: Name


class RoomSummary(RoomName):
    """A room in a list of rooms."""

    creatorId: CreatorId
    creatorName: CreatorName
    members: Annotated[Count, Field(description="The number of members present.")]
    messages: MessageCount
    senderId: SenderId
    seq: NewestSeq


class PresentMember(TypedDict):
    """A member who is present in a room."""

    id: MemberId
    name: Name
    userId: NotRequired[UserId]


class RoomDetails(RoomName):
    """A room with its present members; the other fields only with ``details``."""

    members: list[PresentMember]
    creatorId: NotRequired[CreatorId]
    creatorName: NotRequired[CreatorName]
    messages: NotRequired[MessageCount]
    seq: NotRequired[NewestSeq]


class RestorableName(RoomName):
    """A deleted room that can be restored."""

    until: Annotated[int, Field(examples=[1_795_209_095_000], description="In Unix milliseconds.")]


class IssuedToken(TypedDict):
    """A token and the name that it stands for."""

    token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…"])]
    name: Name
    expires: Annotated[int, Field(examples=[1_795_209_095_000], description="In Unix milliseconds.")]
    userId: UserId
    role: Role


_TYPES: Final[Mapping[type[RoomEvent], Literal["chat", "joined", "left"]]] = {
    Chat: "chat",
    Joined: "joined",
    Left: "left",
}


def entry_of(logged: LoggedEvent, event: RoomEvent) -> RoomEntry:
    """Return an event in a room as clients see it."""
    return {
        "id": str(logged.seq),
        "seq": logged.seq,
        "roomId": logged.room,
        "memberId": event.member,
        "memberName": event.name,
        "userId": event.user or event.member,
        "type": _TYPES[type(event)],
        "message": event.text if isinstance(event, Chat) else "",
        "sent": _utc(logged.time),
    }


def pipeline_state(problem: str | None) -> dict[str, str]:
    """Return the notice of the pipeline's loss, with reason, or return."""
    return {"pipeline": "ok"} if problem is None else {"pipeline": "away", "reason": problem}


def name_of(room: Room) -> RoomName:
    """Return the id and name of a room."""
    return {"roomId": room.id, "roomName": room.name}


def summary_of(room: Room) -> RoomSummary:
    """Return a room as it is shown in a list."""
    return {
        "roomId": room.id,
        "roomName": room.name,
        "creatorId": room.owner,
        "creatorName": room.creator,
        "members": len(room.members),
        "messages": room.count,
        "senderId": room.sender,
        "seq": room.last,
    }


def members_of(room: Room) -> RoomDetails:
    """Return a room with its present members, and nothing more."""
    return {
        "roomId": room.id,
        "roomName": room.name,
        "members": [{"id": member.id, "name": member.name} for member in room.members.values()],
    }


def details_of(room: Room) -> RoomDetails:
    """Return everything known about a room and its present members."""
    return {
        "roomId": room.id,
        "roomName": room.name,
        "creatorId": room.owner,
        "creatorName": room.creator,
        "members": [
            {"id": member.id, "name": member.name, "userId": member.user or member.id}
            for member in room.members.values()
        ],
        "messages": room.count,
        "seq": room.last,
    }


def restorable_name(found: RestorableRoom) -> RestorableName:
    """Return a deleted room as it is shown in a list."""
    return {"roomId": found.room.id, "roomName": found.room.name, "until": found.until}


def _utc(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time.isoformat(timespec='milliseconds')[:-6]}Z"
