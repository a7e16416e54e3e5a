"""A reconnecting connection and its stub service, over real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from fanline.backoff import Backoff
from fanline.client.transport.connection import ReconnectingConnection, Session
from fanline.client.transport.login import Login
from tests.stubs import DEADLINE, PASSWORD, USER, Stub

LOGIN = Login.by_password(USER, PASSWORD)


@pytest.fixture
async def stub(cert_dir: Path) -> AsyncIterator[Stub]:
    async with Stub(cert_dir) as running:
        yield running


class Watch:
    """Records what a link reports, and waits for it."""

    def __init__(self) -> None:
        self.states: list[str | None] = []
        self._changed = asyncio.Event()

    def __call__(self, problem: str | None) -> None:
        self.states.append(problem)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def link_to(stub: Stub, tls: ssl.SSLContext, **options: Any) -> ReconnectingConnection:
    return ReconnectingConnection(f"{stub.url}/path", login=LOGIN, tls=tls, **options)


async def listen(connection: ClientConnection) -> None:
    """A session that does nothing but notice the end of the connection."""
    await connection.wait_closed()


@asynccontextmanager
async def running(
    link: ReconnectingConnection, session: Session = listen
) -> AsyncIterator[asyncio.Task[None]]:
    task: asyncio.Task[None] = asyncio.create_task(link.run(session))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def outcome(link: ReconnectingConnection, session: Session = listen) -> BaseException:
    """Return what ends a link by itself."""
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at what it is
            await link.run(session)
    return caught.value


class Attempts(Backoff):
    """A schedule without delays that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__(first=0.0)
        self.count = 0
        self.resets = 0
        self._asked = asyncio.Event()

    def next(self) -> float:
        self.count += 1
        self._asked.set()
        return super().next()

    def reset(self) -> None:
        self.resets += 1
        super().reset()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.count < count:
                self._asked.clear()
                await self._asked.wait()
