"""Events of a hub."""

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
    """One event of a hub, in JSON without fields that are None.

    Attributes:
        id: Number of the event in the hub, from 1 on.
        hub: Id of the hub.
        type: Kind of event.
        time: Unix milliseconds; a clock may be set back, so ``id`` gives the order.
        user: Name of the user; None for ``close``.
        session: Session added or removed; None for ``message`` and ``close``.
        message: Text of a ``message``.
    """

    id: int
    hub: str
    type: EventType
    time: int
    user: str | None = None
    session: str | None = None
    message: str | None = None
