"""The subscriber between real clients and a stub of msgqueue."""

import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stub_queue import StubQueue


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubQueue]:
    """A stub of msgqueue's ``/popmsg``."""
    async with StubQueue(cert_dir) as stub:
        yield stub


@pytest.fixture
async def subscriber(queue: StubQueue, start_service: StartService) -> Service:
    """A subscriber service that follows the stub."""
    return await start_service(open_subscriber, queue_url=queue.url)


async def receive(client: ClientConnection, count: int = 1) -> list[dict[str, Any]]:
    """Receive frames, each of them one JSON object."""
    return [msgspec.json.decode(await client.recv()) for _ in range(count)]


async def contents(client: ClientConnection, count: int) -> list[Any]:
    """Receive messages, and return what is in them."""
    return [message["content"] for message in await receive(client, count)]


async def discard(client: ClientConnection) -> None:
    """Receive until the connection is closed, whatever comes."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()


def keep_little_unread(client: ClientConnection) -> None:
    """Make the kernel hold little of what the client does not read, so that its service notices early."""
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)


async def ask(client: ClientConnection, command: str) -> dict[str, Any]:
    """Send a command, and return the answer."""
    await client.send(command)
    (answer,) = await receive(client)
    return answer


async def ask_until_subscribed(client: ClientConnection, command: str) -> dict[str, Any]:
    """Send a command again for as long as msgqueue is said to be out of reach."""
    while (answer := await ask(client, command)).get("error") == "queue-unavailable":
        pass
    return answer
