"""The subscriber service: its metrics."""

import prometheus_client

from fanline.protocol import Record
from subscriber.app import MAX_SHOWN_BODY, DeliveryMetrics


def record(time: int, content: str = "1") -> Record:
    body = f'{{"topic":"a","content":{content},"seq":1,"time":{time},"id":"x"}}'
    return Record(1, "a", body.encode())


def test_the_age_of_a_delivered_message_is_measured() -> None:
    """Seconds since its commit; none less than 0, where the clock of msgqueue's machine is ahead."""
    registry = prometheus_client.CollectorRegistry()
    metrics = DeliveryMetrics(registry, clock=lambda: 1_000.0)
    metrics.observe([record(time=990_000), record(time=998_500)])
    metrics.observe([record(time=1_002_000)])
    assert registry.get_sample_value("fanline_delivery_seconds_count") == 2
    assert registry.get_sample_value("fanline_delivery_seconds_sum") == 1.5


def test_large_messages_are_not_read_for_it() -> None:
    """The time of a large message is not looked for."""
    registry = prometheus_client.CollectorRegistry()
    metrics = DeliveryMetrics(registry, clock=lambda: 1_000.0)
    metrics.observe([record(time=998_500, content=f'"{"x" * MAX_SHOWN_BODY}"')])
    assert registry.get_sample_value("fanline_delivery_seconds_count") == 0
