"""Errors and close reasons of chat.

Exceptions::

    FanlineError
    ├── Rejected            a name, id or text is invalid, or the action is forbidden
    ├── UnknownRoom         no room has this id
    ├── RoomExists          a room has this id already
    ├── RoomNameExists      a room has this name already
    ├── NameTaken           a person who is present uses this name
    ├── TooManyRooms        the limit of rooms is reached
    ├── TooManyOwnRooms     the person has made as many rooms as one may
    ├── BadPage             the history has no page with this number
    ├── Unavailable         the pipeline does not answer; a later attempt may succeed
    └── MemberClosed        the server closed a connection, with a close code and a reason
"""

from enum import StrEnum

from fanline import FanlineError


class ChatCode(StrEnum):
    """Codes of rejections, in addition to :class:`fanline.errors.ErrorCode`."""

    BAD_NAME = "bad-name"
    BAD_ROOM = "bad-room"
    CLOSED = "closed"
    ROOM_DELETED = "room-deleted"


class UnknownRoom(FanlineError):
    """No room has this id.

    Args:
        room: The requested id.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        super().__init__(room)

    def __str__(self) -> str:
        return f"There is no room {_quoted(self.room)}."


class RoomExists(FanlineError):
    """A room has this id already.

    Args:
        room: The id.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        super().__init__(room)

    def __str__(self) -> str:
        return f"There is a room {_quoted(self.room)} already. Choose another id, or none."


class RoomNameExists(FanlineError):
    """A room has this name already.

    Args:
        name: The name.
        room: The id of the room.
    """

    def __init__(self, name: str, room: str) -> None:
        self.name = name
        self.room = room
        super().__init__(name, room)

    def __str__(self) -> str:
        return f"There is a room {self.name} already, #{self.room}. Choose another name, or make it anyway."


class NameTaken(FanlineError):
    """A person who is present uses this name.

    Args:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"The name {self.name} is in use at present. Choose another one."


class TooManyOwnRooms(FanlineError):
    """The person has made as many rooms as one may.

    Args:
        limit: The limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(limit)

    def __str__(self) -> str:
        return f"You have made {self.limit:,} rooms, as many as one person may. Delete one that is not used."


class TooManyRooms(FanlineError):
    """The limit of rooms is reached.

    Args:
        limit: The limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(limit)

    def __str__(self) -> str:
        return f"The limit of {self.limit:,} rooms is reached. Delete a room that is no longer used."


class BadPage(FanlineError):
    """The history has no page with this number.

    Args:
        page: The requested number.
        pages: The number of pages.
    """

    def __init__(self, page: int, pages: int) -> None:
        self.page = page
        self.pages = pages
        super().__init__(page, pages)

    def __str__(self) -> str:
        return f"There is no page {self.page}. Pages are numbered from 1 to {self.pages}."


class Unavailable(FanlineError):
    """The pipeline does not answer; the text gives the reason, if known."""


class MemberClosed(FanlineError):
    """The server closed a connection.

    Args:
        code: The WebSocket close code, which tells the client what to do.
        reason: A sentence for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 64 else text[:64] + "…")
