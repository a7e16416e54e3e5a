"""What the tests of chat share: a pipeline in this process, and houses on it."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chat.server import Server
from chat.service.house import House
from fanline.server.service import Service
from fanline.settings import Settings
from msgqueue.app import MsgQueue
from publisher.app import Publisher
from subscriber.app import Subscriber
from tests.chat.client import ChatClient
from tests.conftest import StartService, until
from tests.processes import ServiceProcess

OpenHouse = Callable[..., Awaitable[House]]
StartChat = Callable[..., Awaitable[ChatClient]]
StartChatProcess = StartChat


class Services(NamedTuple):
    """The services of a pipeline."""

    msgqueue: Service
    publisher: Service
    subscriber: Service


@pytest.fixture
async def services(start_service: StartService) -> Services:
    """A pipeline in this process."""
    queue = await start_service(MsgQueue)
    url = f"wss://localhost:{queue.port}"
    return Services(
        queue,
        await start_service(Publisher, queue_url=url),
        await start_service(Subscriber, queue_url=url),
    )


@pytest.fixture
async def open_house(services: Services, make_settings: Callable[..., Settings]) -> AsyncIterator[OpenHouse]:
    """Open houses on the pipeline, each as another chat server would; wait until they are ready."""
    async with AsyncExitStack() as opened:

        async def open_one(*, ready: bool = True, **changes: Any) -> House:
            usual = {
                "publisher_url": f"wss://localhost:{services.publisher.port}",
                "subscriber_url": f"wss://localhost:{services.subscriber.port}",
            }
            house = await opened.enter_async_context(House(make_settings(**(usual | changes))))
            if ready:
                await until(lambda: house.ready)
            return house

        yield open_one


@pytest.fixture
async def house(open_house: OpenHouse) -> House:
    """A house on the pipeline."""
    return await open_house()


@pytest.fixture
async def start_chat(
    services: Services, make_settings: Callable[..., Settings], tls: ssl.SSLContext
) -> AsyncIterator[StartChat]:
    """Start chat servers on the pipeline, in this process; wait until they are ready."""
    async with AsyncExitStack() as running:

        async def start(*, is_ready: bool = True, **changes: Any) -> ChatClient:
            usual = {
                "publisher_url": f"wss://localhost:{services.publisher.port}",
                "subscriber_url": f"wss://localhost:{services.subscriber.port}",
            }
            server = Server(make_settings(**(usual | changes)))
            await server.start()
            running.push_async_callback(server.stop)
            if is_ready:
                await until(lambda: server.house.ready)
            return await running.enter_async_context(ChatClient(server, tls))

        yield start


@pytest.fixture
async def chat(start_chat: StartChat) -> ChatClient:
    """A chat server on the pipeline, which lets guests in."""
    return await start_chat()


@pytest.fixture
async def start_chat_process(
    services: Services, cert_dir: Path, tmp_path: Path, tls: ssl.SSLContext
) -> AsyncIterator[StartChat]:
    """Start chat servers on the pipeline, as real processes, and wait until they are ready."""
    async with AsyncExitStack() as running:

        async def start(**changes: Any) -> ChatClient:
            usual = {
                "cert_dir": cert_dir,
                "token_key_file": tmp_path / "token.key",
                "publisher_url": f"wss://localhost:{services.publisher.port}",
                "subscriber_url": f"wss://localhost:{services.subscriber.port}",
            }
            process = ServiceProcess("chat", **(usual | changes))
            await process.start()
            running.push_async_callback(process.kill)
            client = await running.enter_async_context(ChatClient(process, tls))
            await client.ready()
            return client

        yield start
