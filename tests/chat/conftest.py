"""Fixtures of the chat tests: a pipeline in this process, and chat servers on it."""

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chat.app import open_chat
from chat.service.chat_service import ChatService, Tuning
from chat.settings import ChatSettings
from fanline.server import Service
from fanline.server.app import OpenedApp
from fanline.settings import Settings
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.chat.client import ChatClient
from tests.conftest import StartService, until
from tests.processes import ServiceProcess

MakeSettings = Callable[..., ChatSettings]
NewServer = Callable[..., ChatService]
OpenServer = Callable[..., Awaitable[ChatService]]
StartChat = Callable[..., Awaitable[ChatClient]]
StartChatProcess = StartChat


DEFAULT = Tuning()


class Services(NamedTuple):
    """The services of a pipeline."""

    msgqueue: Service
    publisher: Service
    subscriber: Service


@pytest.fixture
def make_chat_settings(make_settings: Callable[..., Settings]) -> MakeSettings:
    """Settings for a chat server on a free port."""

    def make(**changes: Any) -> ChatSettings:
        settings = make_settings(ChatSettings, **changes)
        assert isinstance(settings, ChatSettings)
        return settings

    return make


@pytest.fixture
async def services(start_service: StartService) -> Services:
    """A pipeline in this process, all of it ready."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    services = Services(
        queue,
        await start_service(open_publisher, queue_url=url),
        await start_service(open_subscriber, queue_url=url),
    )
    await until(lambda: not any(each.app.readiness_problem() for each in services))
    return services


@pytest.fixture
def new_server(services: Services, make_chat_settings: MakeSettings) -> NewServer:
    """Make chat services for the pipeline, each a server of its own, not running yet."""
    urls = {
        "publisher_url": f"wss://localhost:{services.publisher.port}",
        "subscriber_url": f"wss://localhost:{services.subscriber.port}",
    }

    def make(tuning: Tuning = DEFAULT, **changes: Any) -> ChatService:
        return ChatService.from_settings(make_chat_settings(**(urls | changes)), tuning)

    return make


@pytest.fixture
async def open_server(new_server: NewServer) -> AsyncIterator[OpenServer]:
    """Run chat services on the pipeline; wait until they are ready."""
    async with AsyncExitStack() as opened:

        async def open_one(*, ready: bool = True, **how: Any) -> ChatService:
            server = new_server(**how)
            await opened.enter_async_context(server.running())
            if ready:
                await until(lambda: server.lifecycle.is_ready)
            return server

        yield open_one


@pytest.fixture
async def server(open_server: OpenServer) -> ChatService:
    """A chat service on the pipeline."""
    return await open_server()


@pytest.fixture
async def start_chat(
    services: Services, make_chat_settings: MakeSettings, tls: ssl.SSLContext
) -> AsyncIterator[StartChat]:
    """Start chat servers on the pipeline, in this process; wait until they are ready."""
    async with AsyncExitStack() as running:

        async def start(
            open_app: Callable[[ChatSettings], OpenedApp] = open_chat,
            *,
            is_ready: bool = True,
            wall_clock: Callable[[], float] = time.time,
            **changes: Any,
        ) -> ChatClient:
            usual = {
                "publisher_url": f"wss://localhost:{services.publisher.port}",
                "subscriber_url": f"wss://localhost:{services.subscriber.port}",
            }
            settings = make_chat_settings(**(usual | changes))
            server = await Service.start(open_app, settings, wall_clock=wall_clock)
            running.push_async_callback(server.stop)
            client = await running.enter_async_context(ChatClient(server, tls))
            if is_ready:
                await client.ready()
            return client

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
                "chat_token_key_file": tmp_path / "chat-token.key",
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
