"""Redirection to another msgqueue while this one cannot do its work."""

import asyncio
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from fanline.errors import CloseCode
from fanline.server import Connection, Handler, MakeHandler

_CHECK_SECONDS: Final = 1.0


class Gate:
    """Ends connections while there is a reason to use another msgqueue.

    Their peers then try the next address of ``queue_url``. With one msgqueue there never is such a reason.

    Args:
        problem: Returns the reason, or None.
        check_seconds: Time between two looks at it.
    """

    def __init__(self, problem: Callable[[], str | None], *, check_seconds: float = _CHECK_SECONDS) -> None:
        self._problem = problem
        self._check_seconds = check_seconds
        self._open: WeakSet[Connection] = WeakSet()

    def guard(self, make_handler: MakeHandler) -> MakeHandler:
        """Return what makes the same handlers, for connections that may be ended."""

        def open_guarded(connection: Connection) -> Handler:
            self._open.add(connection)
            if reason := self._problem():
                connection.cut(CloseCode.TRY_AGAIN_LATER, reason)
            return make_handler(connection)

        return open_guarded

    async def run(self) -> None:
        """End connections that have to go, until cancelled."""
        while True:
            await asyncio.sleep(self._check_seconds)
            if reason := self._problem():
                for connection in tuple(self._open):
                    connection.cut(CloseCode.TRY_AGAIN_LATER, reason)
