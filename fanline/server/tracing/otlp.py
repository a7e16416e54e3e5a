"""Spans in OpenTelemetry, exported by OTLP over HTTP."""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

logger = logging.getLogger(__name__)

# Seconds that a stop waits for spans that were not exported yet.
_CLOSE_SECONDS: Final = 2.0

_KINDS: Final = {"publish": SpanKind.SERVER, "commit": SpanKind.SERVER, "deliver": SpanKind.CONSUMER}

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtlpSpan:
    """A span about one message.

    Args:
        span: As OpenTelemetry has it.
    """

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Name of the span, as the parent of others."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self._span, Context()))
        return carrier["traceparent"]

    def end(self, error: str | None = None, **attributes: bool | int | str) -> None:
        """End it now, unless it has ended."""
        if self._span.is_recording():
            self._span.set_attributes({f"fanline.{name}": value for name, value in attributes.items()})
            if error is not None:
                self._span.set_status(Status(StatusCode.ERROR, error))
            self._span.end()


class OtlpTracer:
    """Begins spans, which a thread exports in batches.

    Args:
        provider: Where spans come from.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fanline")

    @classmethod
    def open(cls, service: str, endpoint: str | None) -> Self:
        """Return a tracer that exports to a collector.

        Args:
            service: Name of the service in all spans.
            endpoint: URL of the collector; None for that of the standard variables.
        """
        resource = Resource.create({SERVICE_NAME: service, SERVICE_NAMESPACE: "fanline"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=None if endpoint is None else f"{endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider)

    def start(
        self, name: str, traceparent: str, topic: str, message_id: str | None, *, began: float | None = None
    ) -> OtlpSpan | None:
        """Begin a span; None if the trace is not sampled."""
        attributes = {
            "messaging.system": "fanline",
            "messaging.operation.name": name,
            "messaging.destination.name": topic,
        }
        if message_id is not None:
            attributes["messaging.message.id"] = message_id
        span = self._tracer.start_span(
            name,
            _PROPAGATOR.extract({"traceparent": traceparent}, Context()),
            _KINDS[name],
            attributes,
            start_time=None if began is None else round(began * 1e9),
        )
        return OtlpSpan(span) if span.is_recording() else None

    async def close(self, patience: float = _CLOSE_SECONDS) -> None:
        """Export what waits; give that up after some seconds."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(closed.set)

        # A thread that the interpreter does not wait for: the exporter tries for ten seconds.
        threading.Thread(target=shut_down, name="close tracing", daemon=True).start()
        try:
            async with asyncio.timeout(patience):
                await closed.wait()
        except TimeoutError:
            logger.warning("the collector of spans does not answer: stopped without waiting for it")
