"""Requests for pages of the log that nothing waits for any more."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from fanline.client.transport.connection import ReconnectingConnection
from fanline.protocol import PopCommand, Read
from fanline.queue.page_reader import PageReader
from fanline.tasks import running_task
from tests.conftest import until
from tests.stubs import DEADLINE


class FullConnection:
    """A connection whose write buffer is full: every frame is taken, and no call returns."""

    def __init__(self) -> None:
        self.sent: list[PopCommand] = []

    async def run(self, session: Any) -> None:
        await session(self)

    async def send(self, frame: bytes, **_: object) -> None:
        self.sent.append(msgspec.json.decode(frame, type=PopCommand))
        await self.recv()

    async def recv(self, **_: object) -> None:
        await asyncio.Event().wait()


async def test_a_request_is_cancelled_while_it_is_sent() -> None:
    """msgqueue is told, so that it does not read for no caller."""
    connection = FullConnection()
    reader = PageReader(cast("ReconnectingConnection", connection), timeout=DEADLINE)
    async with running_task(reader.run()):
        asking = asyncio.create_task(reader.read(Read(["a"], after=0)))
        await until(lambda: len(connection.sent) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: len(connection.sent) == 2)
    asked, cancelled = connection.sent
    assert asked.read is not None
    assert cancelled.cancel == asked.read.ref
