"""What chat writes to the log, and reads back from it: the only truth that its servers share.

Each event is the content of one message, a JSON object whose ``type`` tells what it is::

    chat.rooms      {"type":"made","room":ID,"name":NAME,"key":KEY,"by":WHO}
                    {"type":"deleted","room":ID,"key":KEY,"by":WHO}
    chat.room.ID    {"type":"chat","key":KEY,"member":MEMBER,"name":NAME,"text":TEXT}
                    {"type":"joined","key":KEY,"member":MEMBER,"name":NAME,"server":SERVER}
                    {"type":"left","key":KEY,"member":MEMBER,"name":NAME,"server":SERVER}
    chat.revoked    {"type":"revoked","token":ID,"until":SECONDS}
    chat.servers    {"type":"beat","server":SERVER}

``key`` tells rooms apart that had the same id one after the other. What carries another key than the room of
its topic has was written to a room that has been deleted, and is nothing to the one that is there now.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from fanline.protocol import Message

EVERYTHING: Final = "chat.>"
ROOMS: Final = "chat.rooms"
REVOKED: Final = "chat.revoked"
SERVERS: Final = "chat.servers"

_ROOM: Final = "chat.room."


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, gc=False):
    pass


class Made(_Event, frozen=True):
    """A room was made; the first of an id that is free counts."""

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
    """A member has said something."""

    key: str
    member: str
    name: str
    text: str


class Joined(_Event, frozen=True):
    """Somebody has become a member of a room, on some server."""

    key: str
    member: str
    name: str
    server: str


class Left(_Event, frozen=True):
    """Somebody is a member no more; any server may write it of those whose own server is gone."""

    key: str
    member: str
    name: str
    server: str


class Revoked(_Event, frozen=True):
    """A token must not be used any more; ``until`` it expires, in Unix seconds."""

    token: str
    until: int


class Beat(_Event, frozen=True):
    """A server is alive."""

    server: str


RoomEvent: TypeAlias = Chat | Joined | Left
Event: TypeAlias = Made | Deleted | RoomEvent | Revoked | Beat


class Logged(NamedTuple):
    """An event in its place in the log.

    Attributes:
        seq: Its position.
        time: When it was committed, in Unix milliseconds.
        room: The id of the room whose topic it stands on; empty on the other topics.
        event: What has happened.
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


def read_event(message: Message, author: str) -> Logged | None:
    """Return the event that a message of the log stands for; None if it is none of ours.

    Args:
        message: The message.
        author: The user as which the chat servers write; what others publish on their topics does not count.
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
    return Logged(message.seq, message.time, room, event)
