"""A msgqueue service, and short forms to push and pop."""

from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import StartService
from tests.conftest import receive_objects as receive


@pytest.fixture
async def queue(start_service: StartService) -> Service:
    """A running msgqueue with an empty log."""
    return await start_service(open_msgqueue)


async def push(client: ClientConnection, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Push messages in one frame, and return the answers."""
    await client.send(msgspec.json.encode(messages), text=True)
    return await receive(client, len(messages))


def words(topic: str, *contents: Any) -> list[dict[str, Any]]:
    """Messages on one topic."""
    return [{"topic": topic, "content": content} for content in contents]


async def pop(client: ClientConnection, **what: Any) -> dict[str, Any]:
    """Begin to pop, and return the answer."""
    await client.send(msgspec.json.encode({"pop": what}), text=True)
    (answer,) = await receive(client, 1)
    return answer
