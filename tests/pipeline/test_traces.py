"""One trace of a message through client, publisher, msgqueue and subscriber, in OpenTelemetry."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from fanline import Publisher, Subscriber
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService, until
from tests.fanline.server.tracing.collector import Collector, collecting
from tests.stubs import DEADLINE, PASSWORD, USER

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.mark.parametrize("is_standard", [False, True], ids=["setting", "variable"])
async def test_a_message_has_one_trace_through_all_services(
    collector: Collector,
    start_service: StartService,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_standard: bool,
) -> None:
    """Each span is a child of the one before, the receiver's of the commit; others have none (line 56)."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    if is_standard:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    how: dict[str, Any] = {} if is_standard else {"otlp_endpoint": collector.url}
    queue = await start_service(open_msgqueue, **how)
    how["queue_url"] = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, **how)
    subscriber = await start_service(open_subscriber, **how)
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    async with (
        asyncio.timeout(DEADLINE),
        Subscriber(url=f"wss://localhost:{subscriber.port}", **login) as received,
        Publisher(f"wss://localhost:{publisher.port}", **login) as sending,
    ):
        await received.subscribe("a")
        await sending.publish("a", 1, id="untraced")
        stored = await sending.publish("a", 2, id="traced", traceparent=f"00-{TRACE}-{CLIENT}-01")
        await sending.publish("elsewhere", 3, traceparent=f"00-{TRACE}-{CLIENT}-00")
        assert (await anext(received)).traceparent is None
        message = await anext(received)
        await until(lambda: len(collector.spans) >= 3)

    spans = {span.name: span for span in collector.spans}
    assert [(each.service, each.name) for each in collector.spans if each.trace != TRACE] == []
    assert len(collector.spans) == len(spans) == 3
    publish, commit, deliver = spans["publish"], spans["commit"], spans["deliver"]
    assert [each.service for each in (publish, commit, deliver)] == [
        "fanline-publisher", "fanline-msgqueue", "fanline-subscriber",
    ]  # fmt: skip
    assert [each.parent for each in (publish, commit, deliver)] == [CLIENT, publish.span, commit.span]
    assert message.traceparent == f"00-{TRACE}-{commit.span}-01"
    assert {each.attributes["fanline.position"] for each in spans.values()} == {stored.seq}
    assert publish.attributes["messaging.message.id"] == "traced"
    assert deliver.attributes["fanline.receivers"] == 1
    assert publish.seconds >= commit.seconds > 0
