"""The attacked services, and connections independent of the public client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fanline.protocol import basic_authorization

# Where attacks come from: another address than that of the well-behaved client.
SOURCE: Final = ("127.0.0.2", 0)

_RETRY_SECONDS: Final = 0.05
_OPEN_SECONDS: Final = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target(NamedTuple):
    """Services, and a login to them.

    Attributes:
        publisher: Port of publisher.
        subscriber: Port of subscriber.
        user: Who to log in as.
        password: The password.
        tls: How to verify the services.
    """

    publisher: int
    subscriber: int
    user: str
    password: str
    tls: ssl.SSLContext

    @property
    def ports(self) -> Sequence[int]:
        """The ports of both services."""
        return (self.publisher, self.subscriber)

    @asynccontextmanager
    async def open(self, port: int, path: str, **how: Any) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket; of what comes nothing is looked at."""
        async with connect(
            f"wss://localhost:{port}{path}",
            ssl=self.tls,
            additional_headers={"Authorization": basic_authorization(self.user, self.password)},
            subprotocols=[Subprotocol("fanline.v1")],
            compression=None,
            proxy=None,
            open_timeout=_OPEN_SECONDS,
            close_timeout=0.1,
            max_size=None,
            local_addr=SOURCE,
            **how,
        ) as connection:
            yield connection

    async def open_streams(self, port: int) -> Streams:
        """Open a TLS connection."""
        return await asyncio.open_connection(
            "127.0.0.1", port, ssl=self.tls, server_hostname="localhost", local_addr=SOURCE
        )


async def again(attempt: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, also after the service has ended it."""
    while True:
        with suppress(OSError, WebSocketException, asyncio.IncompleteReadError, TimeoutError):
            await attempt()
        await asyncio.sleep(_RETRY_SECONDS)


async def together(count: int, attempt: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, so many times at once, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(again(attempt))


async def discard(connection: ClientConnection) -> None:
    """Read until the connection is closed."""
    with suppress(WebSocketException):
        while True:
            await connection.recv(decode=False)
