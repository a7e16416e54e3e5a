"""The subscriber service: follows the log, and delivers it at ``/subscribe``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from prometheus_client import Counter

from fanline.queue.base import QueueClient
from fanline.queue.record_cache import RecordCache
from fanline.queue.remote import RemoteQueue
from fanline.server import App, Endpoint, metrics
from fanline.tasks import running_task
from subscriber import history
from subscriber.fanout import Fanout
from subscriber.history import History
from subscriber.live_feed import LiveFeed
from subscriber.session import Session
from subscriber.settings import SubscriberSettings

# A frame of commands; a client splits more of them.
MAX_FRAME: Final = 65_536


@asynccontextmanager
async def open_subscriber(
    settings: SubscriberSettings, queue: QueueClient | None = None
) -> AsyncIterator[App]:
    """Follow the log.

    Args:
        settings: Of subscriber.
        queue: The log; without it that of msgqueue at the setting ``queue_url``, which need not be there yet.
    """
    registry = metrics.new_registry()
    rejected = Counter(
        "fanline_commands_refused", "Commands of subscribers refused.", ["code"], registry=registry
    )
    feed = LiveFeed(
        RecordCache(settings.recent_bytes),
        Fanout(settings.join_window),
        asyncio.get_running_loop().call_later,
    )
    metrics.gauge(registry, "fanline_log_head", "Position of the newest message seen.", lambda: feed.head)
    metrics.counter(
        registry,
        "fanline_messages_delivered",
        "Messages handed to subscribers, counted once for each of them.",
        lambda: feed.fanout.delivered,
    )
    queue = queue or RemoteQueue.from_settings(settings)
    make_session = partial(
        Session,
        feed=feed,
        queue=queue,
        max_subscriptions=settings.max_subscriptions,
        timeout=settings.queue_wait,
        rejected=rejected,
    )

    async def drain() -> None:
        feed.flush()

    async with running_task(queue.follow(feed)):
        yield App(
            is_shared=settings.workers > 1,
            max_frame=MAX_FRAME,
            metrics=registry,
            endpoints={"/subscribe": Endpoint(make_handler=make_session)},
            pages={history.PATH: History(queue, patience=settings.queue_wait).show},
            readiness_problem=lambda: queue.problem,
            drain=drain,
        )
