"""Spans where a message passes a service."""

import ast
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from fanline.errors import ConfigurationError, StoreError
from fanline.protocol import Ack, NewMessage, Record, Refusal
from fanline.server import open_tracer, trace_commits, trace_deliveries, trace_publishing
from fanline.settings import ServiceSettings
from msgqueue.store.base import AppendResult
from publisher.ordered_replies import OrderedReplies
from publisher.settings import PublisherSettings
from tests.test_conventions import python_files

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

Ended = tuple[str, str, str | None, dict[str, Any]]


class Tracer:
    """Notes the spans that have ended; numbers those that have begun."""

    def __init__(self) -> None:
        self.ended: list[Ended] = []
        self.began: list[float | None] = []

    def start(
        self, name: str, traceparent: str, topic: str, message_id: str | None, *, began: float | None = None
    ) -> "Span | None":
        if traceparent.endswith("00"):
            return None
        self.began.append(began)
        return Span(self, f"{name} {topic} {message_id}", traceparent, str(len(self.began)))


class Span:
    def __init__(self, tracer: Tracer, name: str, parent: str, traceparent: str) -> None:
        self._about = tracer, name, parent
        self.traceparent = traceparent

    def end(self, error: str | None = None, **attributes: bool | int | str) -> None:
        tracer, name, parent = self._about
        tracer.ended.append((name, parent, error, attributes))


class Replies(OrderedReplies):
    def on_settled(self) -> None:
        """Send nothing."""


def message(traceparent: str | None, id: str | None = "x") -> NewMessage:  # noqa: A002 - wire name
    return NewMessage("a", msgspec.Raw(b"1"), id, traceparent=traceparent)


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


def test_nothing_is_in_the_way_without_a_tracer() -> None:
    """Messages, commits and deliveries are then handed on by the same calls as without tracing."""
    append, store, on_delivered = Mock(), Mock(), Mock()
    assert trace_publishing(None, append) is append
    assert trace_commits(None, store) is store
    assert trace_deliveries(None, on_delivered, len) is on_delivered


def test_publishing_lasts_from_arrival_to_reply(tracer: Tracer) -> None:
    """The span takes the place of its parent; an ack and a refusal end it; others pass as they are."""
    appended: list[tuple[NewMessage, Any]] = []
    append = trace_publishing(tracer, lambda message, reply, **_: appended.append((message, reply)))
    replies = Replies()
    for traceparent in (PARENT, None, PARENT, PARENT[:-2] + "00"):
        append(message(traceparent), replies.open())
    append(message(PARENT), None)
    assert [each.traceparent for each, _ in appended] == ["1", None, "2", PARENT[:-2] + "00", PARENT]
    assert {reply.group for _, reply in appended[:-1]} == {replies}
    assert not tracer.ended

    outcomes = [Ack("x", 7), Ack("x", 8), Refusal("forbidden", "you may not"), Ack("x", 9)]
    for (_, reply), outcome in zip(appended, outcomes, strict=False):
        reply.settle(outcome)
    assert replies.take() == outcomes
    assert tracer.ended == [
        ("publish a x", PARENT, None, {"position": 7, "duplicate": False}),
        ("publish a x", PARENT, "forbidden: you may not", {}),
    ]


async def test_a_commit_that_is_tried_again_keeps_its_parent(tracer: Tracer) -> None:
    """Each attempt is a span of its own, under the same parent; the one that succeeds is stored as parent."""
    attempts: list[list[str | None]] = []

    async def store(messages: Sequence[NewMessage]) -> list[AppendResult]:
        attempts.append([each.traceparent for each in messages])
        if len(attempts) == 1:
            raise StoreError("the disk is full")
        return [AppendResult(seq, duplicate=seq == 2) for seq, _ in enumerate(messages, 1)]

    traced = trace_commits(tracer, store)
    messages = [message(None), message(PARENT)]
    with pytest.raises(StoreError):
        await traced(messages)
    assert [result.seq for result in await traced(messages)] == [1, 2]
    assert attempts == [[None, "1"], [None, "2"]]
    assert tracer.ended == [
        ("commit a x", PARENT, "StoreError('the disk is full')", {}),
        ("commit a x", PARENT, None, {"position": 2, "duplicate": True, "commit_messages": 2}),
    ]


def test_deliveries_without_receivers_have_no_span(tracer: Tracer) -> None:
    """A delivery begins at the commit, and says to how many it went; a content with such a word is none."""
    bodies = [
        b'{"topic":"a","content":1,"seq":1,"time":5000,"id":"x","traceparent":"%s"}' % PARENT.encode(),
        b'{"topic":"b","content":1,"seq":2,"time":5000,"traceparent":"%s"}' % PARENT.encode(),
        b'{"topic":"a","content":{"traceparent":"1"},"seq":3,"time":5000}',
        b'{"topic":"a","content":1,"seq":4,"time":5000}',
    ]
    records = [
        Record(seq, topic, body) for seq, (topic, body) in enumerate(zip("abaa", bodies, strict=True), 1)
    ]
    seen: list[Sequence[Record]] = []
    receivers = {"a": 3, "b": 0}
    trace_deliveries(tracer, seen.append, receivers.__getitem__)(records)
    assert seen == [records]
    assert tracer.ended == [("deliver a x", PARENT, None, {"position": 1, "receivers": 3})]
    assert tracer.began == [5.0]


async def test_a_missing_extra_is_named(
    make_settings: Callable[..., ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is to export spans, and cannot, does not start."""
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    monkeypatch.delitem(sys.modules, "fanline.server.tracing.otlp", raising=False)
    settings = make_settings(PublisherSettings, otlp_endpoint="http://localhost:4318")
    with pytest.raises(ConfigurationError, match=r"fanline\[otel\]"):
        async with open_tracer(settings):
            pass


def test_opentelemetry_is_imported_only_if_it_is_used() -> None:
    """One module imports it, which no other imports by being imported itself."""
    modules = [*python_files("fanline", "msgqueue", "publisher", "subscriber", "chat")]
    importing = {
        module.stem
        for module in modules
        if "opentelemetry" in (text := module.read_text()) or "otlp" in text
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        and re.search(r"opentelemetry|tracing[. ](import )?otlp", ast.unparse(statement))
    }
    assert importing == {"otlp"}
