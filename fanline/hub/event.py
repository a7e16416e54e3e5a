"""What happens in a hub."""

from enum import StrEnum

import msgspec


class EventType(StrEnum):
    """The kinds of events."""

    JOIN = "join"  # the first session of a user was added
    ADD = "add"  # a further session of a user was added
    REMOVE = "remove"  # a session was removed, and the user has others
    LEAVE = "leave"  # the last session of a user was removed
    MESSAGE = "message"
    CLOSE = "close"  # of the hub; nothing comes after it


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One event of a hub; as JSON it is an object with the same names, without those that are None.

    Attributes:
        id: Counts the events of the hub, from 1 on.
        hub: Id of the hub.
        type: What has happened.
        time: When, in Unix milliseconds; a clock may be set back, so go by ``id`` for the order.
        user: Whom it is about; None for ``close``.
        session: Which session was added or removed; None for ``message`` and ``close``.
        message: The text of a ``message``.
    """

    id: int
    hub: str
    type: EventType
    time: int
    user: str | None = None
    session: str | None = None
    message: str | None = None
