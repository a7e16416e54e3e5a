"""The one connection of a client, for an ``async with`` block."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.client import ClientConnection

from fanline.client.transport.connection import ReconnectingConnection
from fanline.errors import Closed

OnState = Callable[[str | None], None]


# Items read ahead of the reader: above the one no more is read, below the other again.
HIGH_WATER: Final = 256
LOW_WATER: Final = 64


class Client(ABC):
    """A link that is up while an ``async with`` block runs.

    Args:
        link: The link, for this alone.
    """

    def __init__(self, link: ReconnectingConnection) -> None:
        self._link = link
        self._over: BaseException | None = Closed("it is not open yet: enter it with `async with`")
        self._task: asyncio.Task[None]

    @property
    def connected(self) -> bool:
        """Return whether there is a connection at this moment."""
        return self._link.connected

    @property
    def problem(self) -> str | None:
        """Reason why there is no connection now, or None."""
        return self._link.problem if self._over is None else str(self._over)

    async def __aenter__(self) -> Self:
        self._over = None
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._link.run(self._speak)

    @abstractmethod
    async def _speak(self, connection: ClientConnection) -> None:
        """Speak on one connection until it ends: the session of the link."""

    @abstractmethod
    def _give_up(self, error: BaseException) -> None:
        """Fail all waiting calls, because there will be no further connection."""

    def _require_open(self) -> None:
        if self._over is not None:
            raise self._over

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._over = error or Closed("it is closed: its `async with` block has ended")
        self._give_up(self._over)
