"""Publishing one message by HTTP, to a service over a stub of msgqueue, and to its absence."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fanline
from fanline.errors import ConfigurationError, Disconnected, ErrorCode, LoginRefused, Rejected
from fanline.protocol import Ack
from fanline.server import Service
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stubs import DEADLINE, PASSWORD, USER, Do, StubPublisher

Publish = Callable[..., Coroutine[Any, Any, Ack]]


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubPublisher]:
    """A stub of msgqueue's ``/pushmsg``."""
    async with StubPublisher(cert_dir) as stub:
        yield stub


@pytest.fixture
async def service(queue: StubPublisher, start_service: StartService) -> Service:
    """A publisher service that forwards to the stub."""
    return await start_service(open_publisher, queue_url=queue.url)


@pytest.fixture
def publish(service: Service, tls: ssl.SSLContext) -> Publish:
    """Publish to that service."""
    url = f"wss://localhost:{service.port}"
    return partial(fanline.publish, url=url, user=USER, password=PASSWORD, tls=tls, timeout=DEADLINE)


async def test_message_is_stored_once(queue: StubPublisher, publish: Publish) -> None:
    """It is stored as it is, with the id, and a second time it is known."""
    assert (await publish("orders.eu/ü", {"total": 12.5}, id="é1")).seq == 1
    assert await publish("orders.eu/ü", {"total": 12.5}, id="é1") == Ack("é1", 1, duplicate=True)
    assert (await publish("orders.eu", None)).seq == 2
    stored = [(message.topic, bytes(message.content)) for message in queue.stored]
    assert stored == [("orders.eu/ü", b'{"total":12.5}'), ("orders.eu", b"null")]
    assert queue.stored[0].id == "é1"


async def test_tries_again_until_the_service_is_back(
    queue: StubPublisher, service: Service, start_service: StartService, publish: Publish
) -> None:
    """While the service, or its queue, is away the message is sent again with the same id."""
    queue.script.append(Do.DROP_UNACKED)
    port = service.port
    await service.stop()
    publishing = asyncio.create_task(publish("orders.eu", 1))
    await asyncio.sleep(0)
    await start_service(open_publisher, queue_url=queue.url, publisher_port=port)
    async with asyncio.timeout(DEADLINE):
        assert (await publishing).seq == 1
    assert queue.contents == [1]


async def test_refusals_are_errors(
    queue: StubPublisher, service: Service, publish: Publish, start_service: StartService
) -> None:
    """A refusal is raised at once, as trying again would not help."""
    for topic, content, how, code in [
        ("or ders", 1, {}, ErrorCode.BAD_TOPIC),
        ("orders", float("nan"), {}, ErrorCode.BAD_MESSAGE),
        ("orders", 1, {"id": "x" * 200}, ErrorCode.BAD_ID),
    ]:
        with pytest.raises(Rejected) as caught:
            await publish(topic, content, **how)
        assert caught.value.code == code
    with pytest.raises(LoginRefused, match="user 'hello'"):
        await publish("orders", 1, password="wrong")
    other = await start_service(open_subscriber, queue_url=queue.url)
    with pytest.raises(ConfigurationError, match="not possible"):
        await publish("orders", 1, url=f"wss://localhost:{other.port}")
    await service.stop()
    with pytest.raises(Disconnected, match=r"no ack within 0\.01 s"):
        await publish("orders", 1, timeout=0.01)
    assert queue.contents == []
