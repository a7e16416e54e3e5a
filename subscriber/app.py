"""The subscriber service: its log, fan-out, endpoints and metrics together."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter

from fanline.presence import BEAT_INTERVAL
from fanline.presence.events import PresenceList
from fanline.presence.state import PresenceState
from fanline.protocol import (
    ACCESS_TOPIC,
    DrainNotice,
    GapNotice,
    Message,
    Record,
    Subscribed,
    SubscribeRefusal,
    SubscribeRequest,
    Unsubscribed,
    UnsubscribeRequest,
)
from fanline.queue.base import QueueClient
from fanline.queue.page_turns import PageTurns
from fanline.queue.record_cache import RecordCache
from fanline.queue.remote import RemoteQueue
from fanline.server import (
    App,
    ClientRates,
    Endpoint,
    Page,
    Tracer,
    metrics,
    open_tracer,
    trace_deliveries,
)
from fanline.tasks import running_task
from fanline.token_bucket import Quota
from subscriber.admin.api import open_admin
from subscriber.admin.description import ADMIN_PATHS, TYPES
from subscriber.delivery import Delivery
from subscriber.fanout import Fanout
from subscriber.frame_codec import EventFrames
from subscriber.http import description, history
from subscriber.http.events import Events
from subscriber.http.presence import PRESENCE_PATH, PresencePage
from subscriber.live_feed import LiveFeed
from subscriber.presence.pages import PresencePages
from subscriber.presence.presence import LivePresence
from subscriber.session import Session
from subscriber.settings import SubscriberSettings

# A frame of commands; a client splits more of them.
MAX_FRAME: Final = 65_536

# Frames in fanline.v1.
RECEIVED: Final = (SubscribeRequest, UnsubscribeRequest)
SENT: Final = (Message, Subscribed, Unsubscribed, SubscribeRefusal, GapNotice, DrainNotice)

# Reading the time of a larger message would cost more than it is worth.
MAX_SHOWN_BODY: Final = 4_096


class _Stored(msgspec.Struct):
    time: int | None = None  # a queue that speaks the plain dialect tells none


_decode: Final = msgspec.json.Decoder(_Stored).decode


@asynccontextmanager
async def open_subscriber(
    settings: SubscriberSettings,
    queue: QueueClient | None = None,
    *,
    beat_interval: float = BEAT_INTERVAL,
) -> AsyncIterator[App]:
    """Follow the log.

    Args:
        settings: Of subscriber.
        queue: The log; without it that of msgqueue at the setting ``queue_url``, which need not be there yet.
        beat_interval: Seconds between the beats with which processes that have sessions say that they are
            alive.
    """
    queue = queue or RemoteQueue.from_settings(settings)
    async with (
        open_tracer(settings) as tracer,
        _open_app(settings, queue, tracer, beat_interval) as app,
    ):
        yield app


@asynccontextmanager
async def _open_app(
    settings: SubscriberSettings, queue: QueueClient, tracer: Tracer | None, beat_interval: float
) -> AsyncIterator[App]:
    registry = metrics.new_registry()
    rejected = Counter(
        "fanline_commands_refused", "Commands of subscribers refused.", ["code"], registry=registry
    )
    presence = _make_presence(settings, queue, beat_interval)
    feed = _make_feed(settings, registry, presence, tracer)
    metrics.show_reconnects(registry, lambda: queue.reconnects)
    pages = PageTurns(PresencePages(queue, presence))
    make_delivery = partial(
        Delivery,
        feed=feed,
        pages=pages,
        max_subscriptions=settings.max_subscriptions,
        timeout=settings.queue_wait,
    )
    rates = ClientRates(*_rates(settings))
    make_session = partial(Session, **make_delivery.keywords, rates=rates, rejected=rejected)
    codec = EventFrames(lambda: feed.epoch)
    events = Events(make_delivery, codec, heartbeat=settings.event_heartbeat, rates=rates, rejected=rejected)

    async with _following(queue, feed), open_admin(settings, queue, pages, feed) as admin:
        yield App(
            is_shared=settings.workers > 1,
            example="curl -u USER -N '{url}/topics/greetings/events?last=1'",
            max_frame=MAX_FRAME,
            metrics=registry,
            endpoints={"/subscribe": Endpoint(make_handler=make_session, receives=RECEIVED, sends=SENT)},
            descriptions=description.PATHS | ADMIN_PATHS,
            described_types=(PresenceList, *TYPES),
            pages=_make_pages(settings, pages, feed) | admin.pages,
            posts=admin.posts,
            routes=admin.routes,
            describe_connections=admin.describe_connections,
            streams=events.streams,
            readiness_problem=lambda: queue.problem,
            drain=partial(_drain, feed),
            reload=partial(_reload, rates, feed),
            follow_access=partial(queue.follow_topic, ACCESS_TOPIC),
        )


@asynccontextmanager
async def _following(queue: QueueClient, feed: LiveFeed) -> AsyncIterator[None]:
    async with running_task(feed.presence.run()), running_task(queue.follow(feed)):
        yield


def _make_pages(settings: SubscriberSettings, pages: PageTurns, feed: LiveFeed) -> dict[str, Page]:
    patience = settings.queue_wait
    return {
        history.PATH: history.History(pages, patience=patience).show,
        PRESENCE_PATH: PresencePage(feed, patience=patience).show,
    }


async def _drain(feed: LiveFeed) -> None:
    feed.flush()


def _rates(settings: SubscriberSettings) -> tuple[list[float], list[float]]:
    """Return the rates of commands: a user's, and an address's."""
    return [settings.max_commands_per_second], [settings.max_commands_per_second_per_address]


def _reload(rates: ClientRates, feed: LiveFeed, changed: SubscriberSettings) -> tuple[str, ...]:
    rates.change(*_rates(changed))
    feed.quota.limit = changed.max_subscription_bytes_per_user
    return (
        "max_commands_per_second",
        "max_commands_per_second_per_address",
        "max_subscription_bytes_per_user",
    )


def _make_presence(settings: SubscriberSettings, queue: QueueClient, beat_interval: float) -> LivePresence:
    return LivePresence(
        queue,
        leave_delay=settings.leave_delay,
        max_topics=settings.max_presences,
        max_sessions=settings.max_presences_per_user,
        beat_interval=beat_interval,
    )


def _make_feed(
    settings: SubscriberSettings, registry: CollectorRegistry, presence: LivePresence, tracer: Tracer | None
) -> LiveFeed:
    fanout = Fanout(settings.join_window)
    feed = LiveFeed(
        RecordCache(settings.recent_bytes),
        fanout,
        asyncio.get_running_loop().call_later,
        on_delivered=trace_deliveries(tracer, DeliveryMetrics(registry).observe, fanout.count_members),
        presence=presence,
        quota=Quota(settings.max_subscription_bytes_per_user),
    )
    _register_metrics(registry, feed)
    _register_presence(registry, presence.state)
    return feed


class DeliveryMetrics:
    """Metrics of messages' age when they are delivered to live subscribers.

    Args:
        registry: Where to show it.
        clock: Returns Unix seconds; compared with those of msgqueue's machine.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seconds = metrics.histogram(
            "fanline_delivery_seconds", "Seconds from the commit of a message to its delivery."
        )
        registry.register(self._seconds)

    def observe(self, records: Sequence[Record]) -> None:
        """Note some records that were delivered together, by the newest of them."""
        newest = records[-1]
        if len(newest.body) <= MAX_SHOWN_BODY and (stored_at := _decode(newest.body).time) is not None:
            self._seconds.observe(max(0.0, self._clock() - stored_at / 1000))


def _register_metrics(registry: CollectorRegistry, feed: LiveFeed) -> None:
    metrics.gauge(registry, "fanline_log_head", "Position of the newest message seen.", lambda: feed.head)
    metrics.counter(
        registry,
        "fanline_messages_delivered",
        "Messages handed to subscribers, counted once for each of them.",
        lambda: feed.fanout.delivered,
    )
    groups = feed.fanout.group_sizes
    metrics.gauge(
        registry,
        "fanline_subscriber_groups",
        "Groups of live subscribers with the same patterns, which share the work of each message.",
        lambda: len(groups()),
    )
    metrics.gauge(
        registry,
        "fanline_largest_subscriber_group",
        "Subscribers in the largest of them.",
        lambda: max(groups(), default=0),
    )


def _register_presence(registry: CollectorRegistry, state: PresenceState) -> None:
    metrics.gauge(
        registry, "fanline_present_sessions", "Sessions of users who are present.", lambda: state.sessions
    )
    metrics.gauge(
        registry, "fanline_present_topics", "Topics on which users are present.", lambda: state.topics
    )
    metrics.gauge(
        registry,
        "fanline_leaves_held_back",
        "Sessions whose connection is lost, and may come back in time.",
        lambda: state.held_back,
    )
