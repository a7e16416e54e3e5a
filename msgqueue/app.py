"""The msgqueue service: the one ordered, durable log behind ``/pushmsg`` and ``/popmsg``."""

import sys
from collections.abc import Mapping
from typing import ClassVar, Final

from fanline.server import metrics
from fanline.server.connection import Connection
from fanline.server.service import App, Route
from fanline.settings import ServiceSettings
from msgqueue.consumers import Consumers
from msgqueue.log import Log
from msgqueue.pop import PopEndpoint
from msgqueue.push import PushEndpoint
from msgqueue.retention import Retention
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.sqlite.engine import SqliteStore

# For so long the event loop may keep the interpreter from the threads of the store, which want it back after
# every statement, and within them. With Python's usual 5 ms they, and all acks, often wait for nothing.
SWITCH_SECONDS: Final = 0.0005


class MsgQueue(App):
    """The one ordered, durable FIFO log: publishers push to it, subscribers pop from it."""

    settings_class: ClassVar[type[ServiceSettings]] = MsgQueueSettings

    def __init__(self, settings: MsgQueueSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._log: Log
        self._retention: Retention
        self._consumers: Consumers
        self._push: PushEndpoint
        self._pop: PopEndpoint

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of this service."""
        return {
            "/pushmsg": Route(self._handle_push, services_only=True, is_one_way=True),
            "/popmsg": Route(self._handle_pop, services_only=True),
        }

    async def start(self) -> None:
        """Open the log; fails if another process has it open, or it is damaged."""
        sys.setswitchinterval(SWITCH_SECONDS)
        settings = self._settings
        store = await SqliteStore.open(settings.data_dir, dedupe_window=settings.dedupe_window)
        self._log = Log(
            store,
            tail_bytes=settings.recent_bytes,
            buffer_bytes=settings.queue_buffer,
            # Less than a publisher's, which can then hear the reason before its own patience ends.
            patience=settings.queue_wait / 2,
        )
        await self._log.start()
        self._retention = Retention(store, settings.retention)
        self._retention.start()
        self._consumers = Consumers(self._log)
        await self._consumers.start()
        self._push = PushEndpoint(self._log, max_content=settings.max_content, registry=self.metrics)
        self._pop = PopEndpoint(self._log, self._consumers)
        metrics.gauge(
            self.metrics, "fanline_log_head", "Position of the newest message.", lambda: self._log.head
        )
        metrics.counter(
            self.metrics,
            "fanline_messages_trimmed",
            "Messages removed by retention.",
            lambda: self._retention.removed,
        )

    def unready(self) -> str | None:
        """Return why messages cannot be stored, if the last commit failed."""
        return self._log.trouble and f"the log cannot be written: {self._log.trouble}"

    async def drain(self) -> None:
        """Commit what has arrived."""
        await self._log.flush()

    async def stop(self) -> None:
        """Save the cursors and close the log."""
        await self._retention.close()
        await self._consumers.close()
        await self._log.close()

    async def _handle_push(self, connection: Connection) -> None:
        await self._push.handle(connection)

    async def _handle_pop(self, connection: Connection) -> None:
        await self._pop.handle(connection)
