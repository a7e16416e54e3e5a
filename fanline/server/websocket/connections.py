"""The open connections of a service: how many, whether they live, and how all of them are closed."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fanline.errors import CloseCode
from fanline.protocol import Dialect
from fanline.security.logins import VerifiedLogin
from fanline.server.websocket.connection import Connection, Opening
from fanline.server.websocket.limits import Limits


class OpenConnections:
    """The set of all open WebSockets of a service.

    Args:
        limits: Limits of each.

    Attributes:
        per_user: How many each user has.
        tasks: What runs for connections, also for those that are lost.
    """

    def __init__(self, limits: Limits) -> None:
        self.per_user: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self._limits = limits
        self._connections: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._connections))

    def accept(self, transport: asyncio.Transport, opening: Opening) -> Connection:
        """Return the connection of a handshake that was accepted and answered."""
        if opening.user is not None:
            self.per_user[opening.user.name] += 1
        connection = Connection(transport, opening, self._limits, self)
        self._connections.add(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is lost."""
        self._connections.discard(connection)
        name = connection.user_name
        if name is not None:
            self.per_user[name] -= 1
            if not self.per_user[name]:
                del self.per_user[name]

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that a stop of the service waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self.track(task)
        return task

    def track(self, task: asyncio.Task[None]) -> None:
        """Have a stop of the service wait for a task."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def check_lives(self, now: float) -> None:
        """Look after all connections; called about once a second.

        Args:
            now: The event loop's time.
        """
        for connection in self:
            connection.check_life(now)

    def check_logins(self, end_of: Callable[[VerifiedLogin], tuple[CloseCode, str] | None]) -> None:
        """Close the connections whose login is no longer what it was.

        Args:
            end_of: Returns the close code and the reason for a login, or None.
        """
        for connection in self:
            if connection.user_name is not None and (
                end := end_of(VerifiedLogin(connection.user, connection.expires))
            ):
                connection.cut(*end)

    def stop_listening(self) -> None:
        """Discard what the peers send from now on."""
        for connection in self:
            connection.stop_listening()

    def dismiss(self, return_spread: float) -> None:
        """Tell each v1 client when to come back, each another time, and close every connection with 1001.

        Args:
            return_spread: Seconds over which the clients come back.
        """
        for connection in self:
            if connection.dialect is Dialect.V1:
                # Not for secrecy: it keeps them from returning all at once.
                retry_after = random.uniform(0, return_spread)  # noqa: S311
                connection.send_json({"drain": {"retry_ms": round(retry_after * 1000)}})
            connection.cut(CloseCode.GOING_AWAY, "the service is stopping; reconnect")

    def abort(self) -> None:
        """Drop every connection at once."""
        for connection in self:
            connection.abort()
