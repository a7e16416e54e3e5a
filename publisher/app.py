"""The publisher service: the edge that takes messages in, behind ``/publish``."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from fanline.queue.remote import RemoteQueue
from fanline.server import metrics
from fanline.server.connection import Connection
from fanline.server.service import App, Route
from fanline.settings import ServiceSettings
from fanline.tasks import cancel_and_wait
from publisher.intake import Intake
from publisher.settings import PublisherSettings


class Publisher(App):
    """The edge that takes messages in: authenticates, validates, limits, forwards, acknowledges."""

    settings_class: ClassVar[type[ServiceSettings]] = PublisherSettings
    is_scalable: ClassVar[bool] = True

    def __init__(self, settings: PublisherSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._queue: RemoteQueue
        self._forwarding: asyncio.Task[None]
        self._intake: Intake

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of this service."""
        return {"/publish": Route(self._handle_publish, is_one_way=True)}

    async def start(self) -> None:
        """Begin to connect to msgqueue; it need not be there yet."""
        settings = self._settings
        self._queue = RemoteQueue.from_settings(settings)
        self._forwarding = asyncio.create_task(self._queue.run())
        self._intake = Intake(
            self._queue,
            max_content=settings.max_content,
            max_in_flight=settings.max_in_flight,
            registry=self.metrics,
        )
        metrics.gauge(
            self.metrics,
            "fanline_messages_in_flight",
            "Messages without an answer of msgqueue.",
            lambda: self._queue.pending,
        )

    def unready(self) -> str | None:
        """Return why messages cannot be forwarded at present."""
        return self._queue.problem

    async def drain(self) -> None:
        """Wait for the answers that are outstanding."""
        await self._queue.flush()

    async def stop(self) -> None:
        """Disconnect from msgqueue."""
        await cancel_and_wait(self._forwarding)

    async def _handle_publish(self, connection: Connection) -> None:
        await self._intake.handle(connection)
