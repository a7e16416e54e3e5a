"""Spans of OpenTelemetry: what a collector gets."""

from collections.abc import Iterator

import pytest

from fanline.server.tracing.otlp import OtlpTracer
from tests.fanline.server.tracing.collector import Collector, collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


async def test_what_was_not_exported_is_exported_at_the_end(collector: Collector) -> None:
    """A span is a child of its parent, names what it is about, and outlasts a stop; a failure is marked."""
    tracer = OtlpTracer.open("fanline-publisher", collector.url)
    span = tracer.start("publish", PARENT, "orders.eu", "a1")
    assert span is not None
    version, trace, span_id, flags = span.traceparent.split("-")
    span.end("queue-unavailable: it is away")
    span.end("it is ended once")
    await tracer.close()

    (exported,) = collector.spans
    assert (version, trace, span_id, flags) == ("00", TRACE, exported.span, "01")
    assert exported[:5] == ("fanline-publisher", "publish", TRACE, span_id, "00f067aa0ba902b7")
    assert exported.attributes == {
        "messaging.system": "fanline",
        "messaging.operation.name": "publish",
        "messaging.destination.name": "orders.eu",
        "messaging.message.id": "a1",
    }
    assert exported.error == "queue-unavailable: it is away"


async def test_what_is_not_sampled_has_no_span(collector: Collector) -> None:
    """A client says so by the flags of its trace."""
    tracer = OtlpTracer.open("fanline-publisher", collector.url)
    assert tracer.start("publish", PARENT[:-1] + "0", "orders.eu", None) is None
    await tracer.close()
    assert not collector.spans


async def test_a_stop_does_not_wait_for_a_deaf_collector(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans are given up then, which the log says."""
    collector.answers.clear()
    tracer = OtlpTracer.open("fanline-publisher", collector.url)
    span = tracer.start("publish", PARENT, "orders.eu", None)
    assert span is not None
    span.end()
    await tracer.close(patience=0.05)
    assert "does not answer" in caplog.text
