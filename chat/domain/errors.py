"""What chat refuses, and why it closes connections.

Exceptions::

    FanlineError
    ├── Rejected            a name, id or text that cannot be used, or something that nobody may do
    ├── UnknownRoom         there is no such room, or not any more
    ├── RoomExists          there is a room with this id already
    ├── TooManyRooms        there are as many rooms as there may be
    ├── BadPage             history has no page with this number
    ├── Unavailable         the pipeline does not answer; trying again later may help
    └── MemberClosed        the server has closed a connection, with a close code and a reason
"""

from enum import StrEnum

from fanline.errors import FanlineError


class ChatCode(StrEnum):
    """Codes of what chat rejects, besides those of :class:`fanline.errors.ErrorCode`."""

    BAD_NAME = "bad-name"
    BAD_ROOM = "bad-room"
    CLOSED = "closed"
    ROOM_DELETED = "room-deleted"


class UnknownRoom(FanlineError):
    """There is no such room.

    Args:
        room: The id that was asked for.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        super().__init__(room)

    def __str__(self) -> str:
        return f"there is no room {_shown(self.room)}"


class RoomExists(FanlineError):
    """There is a room with this id already.

    Args:
        room: The id.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        super().__init__(room)

    def __str__(self) -> str:
        return f"there is a room {_shown(self.room)} already; give another id, or none for a random one"


class TooManyRooms(FanlineError):
    """There are as many rooms as there may be.

    Args:
        limit: How many that is.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(limit)

    def __str__(self) -> str:
        return f"there are {self.limit:,} rooms, and there may be no more; delete one that nobody needs"


class BadPage(FanlineError):
    """History has no page with this number.

    Args:
        page: The number that was asked for.
        pages: How many there are.
    """

    def __init__(self, page: int, pages: int) -> None:
        self.page = page
        self.pages = pages
        super().__init__(page, pages)

    def __str__(self) -> str:
        return f"there is no page {self.page}: they are numbered from 1 to {self.pages}"


class Unavailable(FanlineError):
    """The pipeline does not answer; the text says what is known of the reason."""


class MemberClosed(FanlineError):
    """The server has closed a connection.

    Args:
        code: The close code, which says what the client should do.
        reason: A sentence for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 64 else text[:64] + "…")
