"""What the two clients have in common: one link, from ``async with`` to its end."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection

from fanline.errors import Closed
from fanline.link import Link

OnState = Callable[[str | None], None]


class Client(ABC):
    """A link that is up while an ``async with`` block runs.

    Args:
        url: The endpoint, ``wss://HOST:PORT/PATH``.
        user: Who to log in as.
        password: The password.
        tls: How to verify the server; None trusts the CAs of the system.
        on_state: Called with None when a connection is made, and with the reason, a sentence, when it is
            lost or cannot be made.
    """

    def __init__(
        self, url: str, *, user: str, password: str, tls: ssl.SSLContext | None, on_state: OnState | None
    ) -> None:
        self._link = Link(url, user=user, password=password, tls=tls, on_state=on_state)
        self._over: BaseException | None = Closed("it is not open yet: enter it with `async with`")
        self._task: asyncio.Task[None]

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._link.connected

    @property
    def problem(self) -> str | None:
        """Why there is no connection at this moment, in one sentence; None while there is one."""
        return self._link.problem

    async def __aenter__(self) -> Self:
        self._over = None
        self._task = asyncio.create_task(self._link.run(self._speak))
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

    @abstractmethod
    async def _speak(self, connection: ClientConnection) -> None:
        """Speak on one connection until it ends: the session of the link."""

    @abstractmethod
    def _give_up(self, error: BaseException) -> None:
        """Tell everybody who waits that there will be no connection any more, and why."""

    def _require_open(self) -> None:
        if self._over is not None:
            raise self._over

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._over = error or Closed("it is closed: its `async with` block has ended")
        self._give_up(self._over)
