"""What a hub refuses.

Exceptions::

    FanlineError
    └── HubError
        ├── SessionError
        │   ├── DuplicateSession    the user has this session already
        │   └── UnknownSession      the user has no such session
        ├── HubClosed               the hub was closed; also a fanline.errors.Closed
        └── BadLimit                a size that nothing can have

What is refused changes nothing, and nobody else hears of it.
"""

from fanline.errors import Closed, FanlineError


class HubError(FanlineError):
    """Base of what hubs and their streams raise."""


class SessionError(HubError):
    """What is said of a session does not fit.

    Args:
        hub: Id of the hub.
        user: The user.
        session: Their session.
    """

    def __init__(self, hub: str, user: str, session: str) -> None:
        self.hub = hub
        self.user = user
        self.session = session
        super().__init__(hub, user, session)


class DuplicateSession(SessionError):
    """A session was added that its user has already."""

    def __str__(self) -> str:
        return f"hub {self.hub!r}: {self.user!r} has a session {self.session!r} already; give it another name"


class UnknownSession(SessionError):
    """A session was to be removed that its user does not have."""

    def __str__(self) -> str:
        return f"hub {self.hub!r}: {self.user!r} has no session {self.session!r}, or not any more"


class HubClosed(HubError, Closed):
    """The hub was closed; only its history can be used still.

    Args:
        hub: Id of the hub.
    """

    def __init__(self, hub: str) -> None:
        self.hub = hub
        super().__init__(hub)

    def __str__(self) -> str:
        return f"hub {self.hub!r} is closed"


class BadLimit(HubError):
    """A limit is too low to mean anything.

    Args:
        name: What it limits.
        value: What was given.
        lowest: The lowest that there is.
    """

    def __init__(self, name: str, value: int, lowest: int) -> None:
        self.name = name
        self.value = value
        self.lowest = lowest
        super().__init__(name, value, lowest)

    def __str__(self) -> str:
        return f"{self.name} must be {self.lowest} or more, not {self.value}"
