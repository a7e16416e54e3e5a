"""The publisher service: the edge that takes messages in, behind ``/publish``."""

from collections.abc import Mapping
from typing import ClassVar

from fanline.client.connection import ReconnectingConnection
from fanline.queue.connection import link_to_queue
from fanline.server import metrics
from fanline.server.connection import Connection
from fanline.server.service import App, Route
from fanline.settings import Settings
from publisher.forward import Forwarder
from publisher.intake import Intake


class Publisher(App):
    """The edge that takes messages in: authenticates, validates, limits, forwards, acknowledges."""

    name: ClassVar[str] = "publisher"
    is_scalable: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._link: ReconnectingConnection
        self._forwarder: Forwarder
        self._intake: Intake

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of this service."""
        return {"/publish": Route(self._handle_publish, is_one_way=True)}

    async def start(self) -> None:
        """Begin to connect to msgqueue; it need not be there yet."""
        settings = self.settings
        self._link = link_to_queue(settings, "/pushmsg")
        self._forwarder = Forwarder(
            self._link, buffer_bytes=settings.queue_buffer, patience=settings.queue_wait
        )
        self._forwarder.start()
        self._intake = Intake(
            self._forwarder,
            max_content=settings.max_content,
            max_in_flight=settings.max_in_flight,
            registry=self.metrics,
        )
        metrics.gauge(
            self.metrics,
            "fanline_messages_in_flight",
            "Messages without an answer of msgqueue.",
            lambda: len(self._forwarder),
        )

    def unready(self) -> str | None:
        """Return why messages cannot be forwarded at present."""
        return self._link.problem

    async def drain(self) -> None:
        """Wait for the answers that are outstanding."""
        await self._forwarder.flush()

    async def stop(self) -> None:
        """Disconnect from msgqueue."""
        await self._forwarder.close()

    async def _handle_publish(self, connection: Connection) -> None:
        await self._intake.handle(connection)
