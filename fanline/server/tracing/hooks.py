"""Spans where a message passes a service: published, committed, delivered.

Each span is a child of the one that ``traceparent`` of the message names, and the spans of publisher and of a
commit take its place there. So those of all services form one trace, in the order of the way::

    client → publish → commit → deliver, and what the receivers do

The functions here return what they are given where nothing is traced: then nothing is imported, and a message
costs nothing more.
"""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from fanline.errors import ConfigurationError
from fanline.protocol import Ack, NewMessage, Record, Refusal
from fanline.settings import ServiceSettings

# The standard variables that say where spans go.
ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class MessageSpan(Protocol):
    """A span about one message."""

    @property
    def traceparent(self) -> str:
        """Name of the span, as the parent of others."""
        ...

    def end(self, error: str | None = None, **attributes: bool | int | str) -> None:
        """End it now.

        Args:
            error: Why what it is about has failed.
            attributes: What came of it, as ``fanline.NAME``.
        """
        ...


class Tracer(Protocol):
    """Begins the spans of a service."""

    def start(
        self, name: str, traceparent: str, topic: str, message_id: str | None, *, began: float | None = None
    ) -> MessageSpan | None:
        """Begin a span; None if the trace is not sampled.

        Args:
            name: What is done: ``publish``, ``commit`` or ``deliver``.
            traceparent: Its parent.
            topic: That of the message.
            message_id: The id of the message.
            began: When it began, in Unix seconds; None for now.
        """
        ...


@asynccontextmanager
async def open_tracer(settings: ServiceSettings) -> AsyncIterator[Tracer | None]:
    """Export spans while the block runs; None if no endpoint is set.

    Raises:
        ConfigurationError: If there is an endpoint, and OpenTelemetry is not installed.
    """
    if settings.otlp_endpoint is None and not any(map(os.environ.get, ENDPOINT_VARIABLES)):
        yield None
        return
    try:
        # OpenTelemetry comes with the extra alone.
        from fanline.server.tracing.otlp import OtlpTracer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f'otlp_endpoint needs {error.name}: pip install "fanline[otel]", or unset it and'
            f" {' and '.join(ENDPOINT_VARIABLES)}"
        ) from None
    tracer = OtlpTracer.open(f"fanline-{settings.service}", settings.otlp_endpoint)
    try:
        yield tracer
    finally:
        await tracer.close()


# Publisher.


class Reply(Protocol):
    """Receiver of the outcome of a message."""

    @property
    def group(self) -> object:
        """Sender of the message."""
        ...

    def settle(self, outcome: Ack | Refusal) -> None:
        """Take the outcome."""
        ...


class AppendMessage(Protocol):
    """Hands a message over to be stored."""

    def __call__(self, message: NewMessage, reply: Any, *, sender: object = None) -> None:
        """Hand it over; ``reply`` is settled later."""
        ...


class _TracedReply(NamedTuple):
    """A reply that ends a span."""

    reply: Reply
    span: MessageSpan

    @property
    def group(self) -> object:
        return self.reply.group

    def settle(self, outcome: Ack | Refusal) -> None:
        self.reply.settle(outcome)
        if isinstance(outcome, Ack):
            self.span.end(position=outcome.seq, duplicate=outcome.duplicate)
        else:
            self.span.end(f"{outcome.error}: {outcome.reason}")


def trace_publishing(tracer: Tracer | None, append: AppendMessage) -> AppendMessage:
    """Return ``append`` with a span per message, until its reply."""
    if tracer is None:
        return append

    def append_traced(message: NewMessage, reply: Reply | None, *, sender: object = None) -> None:
        if message.traceparent is not None and reply is not None:
            span = tracer.start("publish", message.traceparent, message.topic, message.id)
            if span is not None:
                message.traceparent = span.traceparent
                reply = _TracedReply(reply, span)
        append(message, reply, sender=sender)

    return append_traced


# Msgqueue.


class Commit(Protocol):
    """Stores messages, durably."""

    def __call__(self, messages: Sequence[NewMessage]) -> Awaitable[list[Any]]:
        """Store all of them, or none; return their results."""
        ...


def trace_commits(tracer: Tracer | None, store: Commit) -> Commit:
    """Return ``store`` with a span per message, until it is on disk."""
    if tracer is None:
        return store

    async def store_traced(messages: Sequence[NewMessage]) -> list[Any]:
        traced: list[tuple[int, str, MessageSpan]] = []
        for number, message in enumerate(messages):
            if (parent := message.traceparent) is None:
                continue
            if (span := tracer.start("commit", parent, message.topic, message.id)) is not None:
                traced.append((number, parent, span))
                message.traceparent = span.traceparent
        try:
            results: list[Any] = await store(messages)
        except BaseException as error:
            for number, parent, span in traced:
                messages[number].traceparent = parent  # it may be tried again
                span.end(repr(error))
            raise
        for number, _, span in traced:
            seq, duplicate = results[number]
            span.end(position=seq, duplicate=duplicate, commit_messages=len(messages))
        return results

    return store_traced


# Subscriber.


class _Delivered(msgspec.Struct):
    time: int = 0
    id: str | None = None
    traceparent: str | None = None


_FIELD: Final = b'"traceparent"'
_decode: Final = msgspec.json.Decoder(_Delivered).decode

OnDelivered = Callable[[Sequence[Record]], None]


def trace_deliveries(
    tracer: Tracer | None, on_delivered: OnDelivered, count_receivers: Callable[[str], int]
) -> OnDelivered:
    """Return ``on_delivered`` with a span per record that has receivers.

    It begins with the commit of the record.

    Args:
        tracer: Begins the spans.
        on_delivered: Takes records that were delivered.
        count_receivers: Returns how many subscribers a topic has.
    """
    if tracer is None:
        return on_delivered

    def note(records: Sequence[Record]) -> None:
        on_delivered(records)
        for record in records:
            if _FIELD in record.body and (receivers := count_receivers(record.topic)):
                message = _decode(record.body)
                if message.traceparent is None:
                    continue  # the word is in its content
                began = min(message.time / 1000, time.time())
                span = tracer.start("deliver", message.traceparent, record.topic, message.id, began=began)
                if span is not None:
                    span.end(position=record.seq, receivers=receivers)

    return note
