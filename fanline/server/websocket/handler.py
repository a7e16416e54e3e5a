"""Handlers: what an endpoint makes for each open connection."""

from typing import Final, Protocol


class Handler(Protocol):
    """Handler that an endpoint creates for each open connection."""

    def on_frame(self, payload: bytes) -> None:
        """Process one message, text (valid UTF-8) or binary."""
        ...

    def on_close(self) -> None:
        """Release everything; called once, when the connection is lost, however it ended."""
        ...


class IdleHandler:
    """Handles a connection before and after it has its own handler."""

    def on_frame(self, payload: bytes) -> None:
        """Ignore a message."""

    def on_close(self) -> None:
        """Do nothing."""


IDLE: Final = IdleHandler()
