"""The subscriber service: the edge that hands messages out, behind ``/subscribe``."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from prometheus_client import Counter

from fanline.queue.record_cache import RecordCache
from fanline.queue.remote import RemoteQueue
from fanline.server import metrics
from fanline.server.connection import Connection
from fanline.server.service import App, Page, PageRequest, PageResponse, Route
from fanline.settings import ServiceSettings
from fanline.tasks import cancel_and_wait
from subscriber import history
from subscriber.fanout import Fanout
from subscriber.history import History
from subscriber.live_feed import LiveFeed
from subscriber.session import Session
from subscriber.settings import SubscriberSettings


class Subscriber(App):
    """The edge that hands messages out: follows the queue, routes by topic, fans out."""

    settings_class: ClassVar[type[ServiceSettings]] = SubscriberSettings
    is_scalable: ClassVar[bool] = True

    def __init__(self, settings: SubscriberSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._rejected = Counter(
            "fanline_commands_refused", "Commands of subscribers refused.", ["code"], registry=self.metrics
        )
        self._queue: RemoteQueue
        self._feed: LiveFeed
        self._history: History
        self._following: asyncio.Task[None]

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of this service."""
        return {"/subscribe": Route(self._handle_subscribe)}

    def pages(self) -> Mapping[str, Page]:
        """Return what this service answers to plain GET requests."""
        return {history.PREFIX: self._show_history}

    async def start(self) -> None:
        """Begin to follow msgqueue; it need not be there yet."""
        settings = self._settings
        self._feed = LiveFeed(
            RecordCache(settings.recent_bytes),
            Fanout(settings.join_window),
            asyncio.get_running_loop().call_later,
        )
        self._queue = RemoteQueue.from_settings(settings)
        self._history = History(self._queue, patience=settings.queue_wait)
        self._following = asyncio.create_task(self._queue.follow(self._feed))
        self._measure()

    def unready(self) -> str | None:
        """Return why no messages come in at present."""
        return self._queue.problem

    async def drain(self) -> None:
        """Hand out what is held back."""
        self._feed.flush()

    async def stop(self) -> None:
        """Disconnect from msgqueue."""
        await cancel_and_wait(self._following)

    async def _handle_subscribe(self, connection: Connection) -> None:
        session = Session(
            connection,
            self._feed,
            self._queue,
            max_subscriptions=self._settings.max_subscriptions,
            timeout=self._settings.queue_wait,
            rejected=self._rejected,
        )
        await session.run()

    async def _show_history(self, request: PageRequest) -> PageResponse:
        return await self._history.answer(request)

    def _measure(self) -> None:
        metrics.gauge(
            self.metrics, "fanline_log_head", "Position of the newest message seen.", lambda: self._feed.head
        )
        metrics.counter(
            self.metrics,
            "fanline_messages_delivered",
            "Messages handed to subscribers, counted once for each of them.",
            lambda: self._feed.fanout.delivered,
        )
