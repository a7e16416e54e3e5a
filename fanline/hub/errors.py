"""Errors that hubs and their streams raise.

Exceptions::

    FanlineError
    └── HubError
        ├── SessionError
        │   ├── DuplicateSession    the user has this session already
        │   └── UnknownSession      the user has no such session
        ├── HubClosed               the hub was closed; also a fanline.errors.Closed
        └── BadLimit                a limit is too low

A call that raises one of them changes nothing, and no session gets an event.
"""

from fanline.errors import Closed, FanlineError


class HubError(FanlineError):
    """Base of the errors that hubs and their streams raise."""


class SessionError(HubError):
    """A session exists already, or does not exist.

    Args:
        hub: Id of the hub.
        user: Name of the user.
        session: Name of the session.
    """

    def __init__(self, hub: str, user: str, session: str) -> None:
        self.hub = hub
        self.user = user
        self.session = session
        super().__init__(hub, user, session)


class DuplicateSession(SessionError):
    """The user has this session already."""

    def __str__(self) -> str:
        return f"hub {self.hub!r}: {self.user!r} has a session {self.session!r} already; give it another name"


class UnknownSession(SessionError):
    """The user has no such session."""

    def __str__(self) -> str:
        return f"hub {self.hub!r}: {self.user!r} has no session {self.session!r}, or not any more"


class HubClosed(HubError, Closed):
    """The hub is closed; only its history can still be used.

    Args:
        hub: Id of the hub.
    """

    def __init__(self, hub: str) -> None:
        self.hub = hub
        super().__init__(hub)

    def __str__(self) -> str:
        return f"hub {self.hub!r} is closed"


class BadLimit(HubError):
    """A limit is too low.

    Args:
        name: Name of the argument.
        value: Value of the argument.
        lowest: Lowest value allowed.
    """

    def __init__(self, name: str, value: int, lowest: int) -> None:
        self.name = name
        self.value = value
        self.lowest = lowest
        super().__init__(name, value, lowest)

    def __str__(self) -> str:
        return f"{self.name} must be {self.lowest} or more, not {self.value}"
