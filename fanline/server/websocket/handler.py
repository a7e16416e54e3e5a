"""Handlers: what an endpoint makes for each open connection."""

from typing import Final, Protocol


class Handler(Protocol):
    """Handler that an endpoint creates for each open connection."""

    def on_frame(self, payload: bytes) -> None:
        """Process one message of the peer, text or binary; a text is valid UTF-8."""
        ...

    def on_close(self) -> None:
        """Release everything; called once, when the connection is lost, however it ended."""
        ...


class IdleHandler:
    """Handle a connection that has no other handler: before it is made, and after the connection is lost."""

    def on_frame(self, payload: bytes) -> None:
        """Ignore a message."""

    def on_close(self) -> None:
        """Do nothing."""


IDLE: Final = IdleHandler()
