"""The publisher service: accepts messages, and forwards them to msgqueue."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fanline.protocol import ACCESS_TOPIC, Ack, DrainNotice, NewMessage, Refusal
from fanline.queue.base import QueueClient
from fanline.queue.remote import RemoteQueue
from fanline.server import App, ClientRates, Endpoint, metrics, open_tracer, trace_publishing
from fanline.tasks import running_task
from publisher.admin import Admin
from publisher.description import PATHS
from publisher.http_intake import HttpIntake
from publisher.intake import Intake
from publisher.settings import PublisherSettings

_RATES: Final = ("max_messages_per_second", "max_bytes_per_second", "max_new_topics_per_second")
_RATES_PER_ADDRESS: Final = ("max_messages_per_second_per_address", "max_bytes_per_second_per_address")


@asynccontextmanager
async def open_publisher(settings: PublisherSettings, queue: QueueClient | None = None) -> AsyncIterator[App]:
    """Run the publisher's connection to the log.

    Args:
        settings: Of publisher.
        queue: The log; without it that of msgqueue at the setting ``queue_url``, which need not be there yet.
    """
    registry = metrics.new_registry()
    queue = queue or RemoteQueue.from_settings(settings)
    rates = ClientRates(*_rates(settings))
    metrics.gauge(
        registry,
        "fanline_messages_in_flight",
        "Messages without an answer of msgqueue.",
        lambda: queue.pending,
    )
    metrics.show_reconnects(registry, lambda: queue.reconnects)
    async with open_tracer(settings) as tracer, running_task(queue.run()):
        intake = Intake(
            queue,
            append=trace_publishing(tracer, queue.append),
            max_content=settings.max_content,
            max_in_flight=settings.max_in_flight,
            rates=rates,
            registry=registry,
        )
        yield App(
            is_shared=settings.workers > 1,
            example="curl -u USER --json '\"Hello, world\"' {url}/topics/greetings/messages",
            max_frame=settings.max_frame,
            max_body=settings.max_frame,
            metrics=registry,
            endpoints={
                "/publish": Endpoint(
                    make_handler=intake.open,
                    is_one_way=True,
                    receives=(NewMessage,),
                    sends=(Ack, Refusal, DrainNotice),
                )
            },
            descriptions=PATHS,
            posts=HttpIntake(intake, timeout=settings.queue_wait).posts | Admin(intake).posts,
            readiness_problem=lambda: queue.problem,
            drain=queue.flush,
            reload=partial(_reload, rates),
            follow_access=partial(queue.follow_topic, ACCESS_TOPIC),
        )


def _rates(settings: PublisherSettings) -> tuple[list[float], list[float]]:
    """Return rates of messages, bytes and new topics, per user and address."""
    per_address = [getattr(settings, name) for name in _RATES_PER_ADDRESS]
    return [getattr(settings, name) for name in _RATES], [*per_address, math.inf]


def _reload(rates: ClientRates, changed: PublisherSettings) -> tuple[str, ...]:
    rates.change(*_rates(changed))
    return _RATES + _RATES_PER_ADDRESS
