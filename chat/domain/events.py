"""The events that chat writes to the log and reads back from it.

Each event is the content of one message, a JSON object whose ``type`` names the event::

    chat.rooms      {"type":"made","room":ID,"name":NAME,"key":KEY,"by":USER}
                    {"type":"deleted","room":ID,"key":KEY,"by":USER}
    chat.room.ID    {"type":"chat","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"text":TEXT}
                    {"type":"joined","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"server":SERVER}
                    {"type":"left","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"server":SERVER}
    chat.revoked    {"type":"revoked","token":ID,"until":SECONDS}
    chat.servers    {"type":"beat","server":SERVER}

``user`` is the id of a person with a token, and left out for others. ``key`` distinguishes rooms that had the
same id one after the other. An event whose key differs from the key of the current room was written to a
deleted room, and is ignored.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from fanline import Message

ALL_TOPICS: Final = "chat.>"
ROOMS: Final = "chat.rooms"
REVOKED: Final = "chat.revoked"
SERVERS: Final = "chat.servers"

_ROOM: Final = "chat.room."


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, omit_defaults=True, gc=False):
    pass


class Made(_Event, frozen=True):
    """A room was made. The first event for an unused id counts."""

    room: str
    name: str
    key: str
    by: str


class Deleted(_Event, frozen=True):
    """A room was deleted."""

    room: str
    key: str
    by: str


class Chat(_Event, frozen=True):
    """A member sent a message."""

    key: str
    member: str
    name: str
    text: str
    user: str = ""


class Joined(_Event, frozen=True):
    """A member joined a room on a server."""

    key: str
    member: str
    name: str
    server: str
    user: str = ""


class Left(_Event, frozen=True):
    """A member left a room. Any server may write it for the members of a dead server."""

    key: str
    member: str
    name: str
    server: str
    user: str = ""


class Revoked(_Event, frozen=True):
    """A token was revoked; ``until`` is its expiry in Unix seconds."""

    token: str
    until: int


class Beat(_Event, frozen=True):
    """A server is alive."""

    server: str


RoomEvent: TypeAlias = Chat | Joined | Left
Event: TypeAlias = Made | Deleted | RoomEvent | Revoked | Beat


class LoggedEvent(NamedTuple):
    """An event with its place in the log.

    Attributes:
        seq: The position.
        time: The time of the commit, in Unix milliseconds.
        room: The id of the room that the topic names; empty on the other topics.
        event: The event.
    """

    seq: int
    time: int
    room: str
    event: Event


_decode_room_event: Final = msgspec.json.Decoder(RoomEvent).decode
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    ROOMS: msgspec.json.Decoder(Made | Deleted),
    REVOKED: msgspec.json.Decoder(Revoked),
    SERVERS: msgspec.json.Decoder(Beat),
}


def room_topic(room: str) -> str:
    """Return the topic of a room."""
    return f"{_ROOM}{room}"


def read_event(message: Message, author: str) -> LoggedEvent | None:
    """Decode the event of a message; return None for anything else.

    Args:
        message: A message of the log.
        author: The user as which the chat servers publish; messages of other users are ignored.
    """
    if message.sender != author:
        return None
    try:
        if message.topic.startswith(_ROOM):
            room, event = message.topic[len(_ROOM) :], _decode_room_event(message.content)
        elif message.topic in _DECODERS:
            room, event = "", _DECODERS[message.topic].decode(message.content)
        else:
            return None
    except msgspec.DecodeError:
        return None
    return LoggedEvent(message.seq, message.time, room, event)
