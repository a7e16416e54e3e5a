"""``fanline serve``: publisher, msgqueue, subscriber and chat in one process.

They have their ports, or share one. The log is reached by function calls instead of connections. So this is
the smallest way to run Fanline, with the least memory and latency; what it cannot do is use more than one
core, or restart one service without the others.

On one port each request goes to the service that has its path, and everything of one service is at the path
of its name as well: ``/publisher/metrics``. That is the URL by which chat and admins find the services.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Final, Self, TypeVar

import typer
from rich.console import Console

from chat.app import open_chat
from chat.settings import ChatSettings
from fanline import setting_sources
from fanline.cli.dispatcher import Dispatcher
from fanline.cli.up.children import READY_POLL_SECONDS
from fanline.cli.up.pipeline import PipelineSettings, create_keys, make_certificates, url_of, welcome
from fanline.errors import ConfigurationError
from fanline.files import typed
from fanline.queue.local import LocalQueue
from fanline.server import App, OpenedApp, Service, log, running_task
from fanline.server.accepting.entrance import open_entrances
from fanline.server.http.listener import HttpListener
from fanline.server.process import raise_file_limit, run
from fanline.server.service import LIFE_CHECK_SECONDS
from fanline.setting_sources import Sources
from fanline.settings import ServiceSettings
from fanline.tasks import sleep_and_read
from msgqueue.app import OpenedLog, msgqueue_app, open_log
from msgqueue.settings import MsgQueueSettings
from publisher.app import open_publisher
from publisher.settings import PublisherSettings
from subscriber.app import open_subscriber
from subscriber.settings import SubscriberSettings

logger = logging.getLogger(__name__)

PROGRAM: Final = "fanline serve"

# Settings that say where services are.
_URLS: Final = {"queue_url", "publisher_url", "subscriber_url", "chat_url"}


SomeSettings = TypeVar("SomeSettings", bound=ServiceSettings)


def serve(flags: Annotated[list[str] | None, typer.Argument(metavar="[SETTINGS]")] = None) -> None:
    """Run the whole pipeline in one process; --help lists the settings.

    All services share the settings.
    """
    parse = partial(
        setting_sources.parse,
        flags or [],
        program=PROGRAM,
        description="Run publisher, msgqueue, subscriber and chat in one process.",
        listed=setting_sources.all_fields(),
    )
    sources = parse()
    common = sources.section(MsgQueueSettings)
    log.configure("fanline", common.log_level, common.log_format)
    setting_sources.log_injected_variables()
    raise_file_limit()
    run(PROGRAM, partial(Server.start, sources), lambda section: parse().section(section))


class Server:
    """All services of an installation, in this process; :meth:`start` makes it.

    Args:
        installation: Their settings, with the ports that they listen on.
        services: The services.
        one_port: The port that all share; None if each has its own.
        resources: The services, and what else is released at the end.

    Attributes:
        port: Port of the publisher, which is the first service that a message reaches.
    """

    def __init__(
        self,
        installation: PipelineSettings,
        services: Sequence[Service],
        one_port: "_OnePort | None",
        resources: AsyncExitStack,
    ) -> None:
        self.port = installation.publisher.port
        self._one_port = one_port
        self._urls: dict[type[ServiceSettings], dict[str, str]] = {
            type(own): own.model_dump(include=_URLS) for own in (installation.chat, installation.subscriber)
        }
        self._services = services
        self._resources = resources

    @classmethod
    async def start(cls, sources: Sources) -> Self:
        """Create missing files, and start all services.

        All of them listen when this returns.

        Args:
            sources: The settings of all services.

        Raises:
            ConfigurationError: If a setting, certificate, users file or port is wrong, or the log cannot be
                opened.
        """
        chat = sources.section(ChatSettings)
        if chat.workers > 1:
            raise ConfigurationError(
                f"workers: {PROGRAM} is one process; `{typed('fanline')} up` runs several"
            )
        await make_certificates(chat)
        create_keys(chat)
        async with AsyncExitStack() as stack:
            one_port = None if chat.serve_port is None else _OnePort(chat, chat.serve_port)
            if one_port is not None:
                await stack.enter_async_context(running_task(one_port.serve()))
            started = _Started(stack, one_port)
            section = sources.section(MsgQueueSettings)
            opened = await stack.enter_async_context(open_log(section))
            # In the opposite order they are stopped, so that each can pass on what it holds.
            msgqueue = await started.add(partial(_serve_log, opened), section)
            own, next_own = sources.section(SubscriberSettings), sources.section(PublisherSettings)
            urls = started.urls_of(msgqueue, own, next_own, chat)
            subscriber = await started.add(
                partial(open_subscriber, queue=local_queue(opened, own)), own.model_copy(update=urls)
            )
            publisher = await started.add(
                partial(open_publisher, queue=local_queue(opened, next_own)), next_own
            )
            urls = started.urls_of(msgqueue, subscriber, publisher, chat)
            chat = await started.add(open_chat, chat.model_copy(update=urls))
            installation = PipelineSettings(chat, publisher, msgqueue, subscriber)
            if one_port is not None:
                one_port.open(started.services)
            await stack.enter_async_context(running_task(_announce(installation, started.services)))
            return cls(installation, started.services, one_port, stack.pop_all())

    def reload(self, read: Callable[[type[ServiceSettings]], ServiceSettings]) -> None:
        """Tell all services to read settings and files again."""

        def read_own(section: type[ServiceSettings]) -> ServiceSettings:
            own = read(section)
            return own.model_copy(update=self._urls.get(section, {}))

        for service in self._services:
            service.reload(read_own)

    async def retire(self) -> None:
        """Tell all services to announce that they stop."""
        await asyncio.gather(*(service.retire() for service in self._services))

    async def stop(self) -> None:
        """Stop the services one after the other, and close the log."""
        if self._one_port is not None:
            self._one_port.stop_accepting()
        await self._resources.aclose()


class _OnePort:
    """The port that all services share.

    It listens from the beginning, and is served once all services have started.

    Args:
        settings: Those that all services share.
        port: The port; 0 for any free one.

    Attributes:
        port: The real port.
    """

    def __init__(self, settings: ServiceSettings, port: int) -> None:
        self._path_prefix = settings.path_prefix
        self._services: Sequence[Service] = ()
        self._entrances = open_entrances(
            settings,
            lambda: self._services[0].tls_context,
            port_setting="serve_port",
            port=port,
            listen_setting="serve_listen",
            listen=settings.serve_listen,
        )
        self._listener: asyncio.Future[HttpListener] = asyncio.get_running_loop().create_future()
        self.port = self._entrances[0].port

    def open(self, services: Sequence[Service]) -> None:
        """Accept connections from now on."""
        self._services = services
        dispatcher = Dispatcher({each.settings.service: each for each in services}, self._path_prefix)
        self._listener.set_result(
            services[0].listen_for_others(dispatcher, self._entrances, dispatcher.open_websocket)
        )
        urls = ", ".join(entrance.url for entrance in self._entrances)
        logger.info("listening on %s", urls)

    def stop_accepting(self) -> None:
        """Accept no more connections."""
        self._listener.result().stop_accepting()

    async def serve(self) -> None:
        """Serve the port until cancelled, after all services have stopped."""
        loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            for entrance in self._entrances:
                opened.enter_context(entrance.listening)
            listener = await self._listener
            try:
                while True:
                    await sleep_and_read(LIFE_CHECK_SECONDS)
                    listener.check_lives(loop.time())
            finally:
                await listener.end()


class _Started:
    """The services that have started, and that a stack stops."""

    def __init__(self, stack: AsyncExitStack, one_port: _OnePort | None) -> None:
        self.services: list[Service] = []
        self._stack = stack
        self._one_port = one_port

    async def add(self, open_app: Callable[[SomeSettings], OpenedApp], section: SomeSettings) -> SomeSettings:
        """Start a service; return its settings with its port."""
        if self._one_port is not None and section.listen:
            raise ConfigurationError(
                f"{section.name_of('listen')}: with serve_port, all services listen at serve_listen"
            )
        service = await Service.start(open_app, section, is_apart=self._one_port is None)
        self._stack.push_async_callback(service.stop)
        self.services.append(service)
        port = service.port if self._one_port is None else self._one_port.port
        return section.model_copy(update={"port": port})

    def urls_of(self, *services: ServiceSettings) -> dict[str, str]:
        """Return the settings with the services' URLs, for known ports."""
        names = {"msgqueue": "queue_url"}
        urls = {
            each.service: url_of(each)
            if self._one_port is None
            else f"{url_of(each.model_copy(update={'port': self._one_port.port}))}/{each.service}"
            for each in services
            if each.port or self._one_port
        }
        return {names.get(service, f"{service}_url"): url for service, url in urls.items()}


@asynccontextmanager
async def _serve_log(opened: OpenedLog, settings: MsgQueueSettings) -> AsyncIterator[App]:
    yield msgqueue_app(settings, opened)


def local_queue(opened: OpenedLog, settings: ServiceSettings) -> LocalQueue:
    """Return a service's queue to a log in this process."""
    return LocalQueue(opened.log, opened.consumers, buffer_bytes=settings.queue_buffer)


async def _announce(installation: PipelineSettings, services: Sequence[Service]) -> None:
    """Print what to type, when every service is ready."""
    while True:
        if not any(service.app.readiness_problem() for service in services):
            break
        await asyncio.sleep(READY_POLL_SECONDS)
    welcome(installation, Console(stderr=True, highlight=False, soft_wrap=True))
