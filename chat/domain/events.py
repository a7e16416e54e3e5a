"""Events that chat writes to the log and reads back.

Each event is the content of one message, a JSON object whose ``type`` names the event::

    chat.rooms      {"type":"made","room":ID,"name":NAME,"key":KEY,"by":NAME,"owner":USER,
                     "limit":N,"own_limit":N}
                    {"type":"deleted","room":ID,"key":KEY,"by":NAME}
                    {"type":"restored","room":ID,"key":KEY,"by":NAME,"limit":N,"own_limit":N}
    chat.room.ID    {"type":"chat","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"text":TEXT}
                    {"type":"joined","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"server":SERVER}
                    {"type":"left","key":KEY,"member":MEMBER,"name":NAME,"user":USER,"server":SERVER}
    chat.revoked    {"type":"revoked","token":ID,"until":SECONDS}
    chat.servers    {"type":"beat","server":SERVER}
                    {"type":"here","server":SERVER,"members":[[ROOM,KEY,MEMBER,NAME,USER],…]}

``user`` is the id of a person with a token, and left out for others. ``key`` distinguishes rooms that had the
same id one after the other. An event whose key differs from the key of the current room was written to a
deleted room, and is ignored.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from fanline import Message

ALL_TOPICS: Final = "chat.>"
ROOMS: Final = "chat.rooms"
REVOKED: Final = "chat.revoked"
SERVERS: Final = "chat.servers"

_ROOM: Final = "chat.room."
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Event(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, omit_defaults=True, gc=False):
    pass


class Made(_Event, frozen=True):
    """A room was made.

    The first event for an unused id counts, while there are fewer rooms than the limits.

    The limits are in the event, so that all servers agree on whether it counts; 0 stands for none.
    """

    room: str
    name: str
    key: str
    by: str
    owner: str = ""
    limit: int = 0
    own_limit: int = 0


class Deleted(_Event, frozen=True):
    """A room was deleted."""

    room: str
    key: str
    by: str


class Restored(_Event, frozen=True):
    """A deleted room was restored, under the same conditions as :class:`Made`."""

    room: str
    key: str
    by: str
    limit: int = 0
    own_limit: int = 0


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
    """A member left a room.

    Any server may write this event for the members of a dead server.
    """

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


class ListedMember(NamedTuple):
    """A member of a room, as :class:`Here` lists it."""

    room: str
    key: str
    member: str
    name: str
    user: str


class Here(_Event, frozen=True):
    """Members of a server are still there.

    Retention may have removed their joins.
    """

    server: str
    members: tuple[ListedMember, ...]


RoomEvent: TypeAlias = Chat | Joined | Left
Event: TypeAlias = Made | Deleted | Restored | RoomEvent | Revoked | Beat | Here


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
    ROOMS: msgspec.json.Decoder(Made | Deleted | Restored),
    REVOKED: msgspec.json.Decoder(Revoked),
    SERVERS: msgspec.json.Decoder(Beat | Here),
}


def room_topic(room: str) -> str:
    """Return the topic of a room, which has the room's id.

    An id with characters that a topic cannot have is encoded.
    """
    if _PLAIN_ID.fullmatch(room):
        return f"{_ROOM}{room}"
    return f"{_ROOM}={urlsafe_b64encode(room.encode()).decode().rstrip('=')}"


def room_of(topic: str) -> str:
    """Return the id of a topic's room; raise ValueError without one."""
    token = topic[len(_ROOM) :]
    if not token.startswith("="):
        return token
    return urlsafe_b64decode(token[1:] + "=" * (-(len(token) - 1) % 4)).decode()


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
            room, event = room_of(message.topic), _decode_room_event(message.content)
        elif message.topic in _DECODERS:
            room, event = "", _DECODERS[message.topic].decode(message.content)
        else:
            return None
    except (msgspec.DecodeError, ValueError):
        return None
    return LoggedEvent(message.seq, message.time, room, event)
