"""Traces of messages: carried from the publisher to all who receive them, and found in the log again."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from fanline import Publisher, Subscriber, publish
from fanline.cli.main import app
from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService
from tests.stubs import DEADLINE, PASSWORD, USER

TRACES = [f"{number:032x}" for number in range(1, 6)]
PARENTS = [f"00-{trace}-00f067aa0ba902b7-01" for trace in TRACES]
LOGIN: dict[str, Any] = {"user": USER, "password": PASSWORD}

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def queue(start_service: StartService) -> Service:
    return await start_service(open_msgqueue)


@pytest.fixture
async def publisher(start_service: StartService, queue: Service) -> Service:
    return await start_service(open_publisher, queue_url=f"wss://localhost:{queue.port}")


@pytest.fixture
async def subscriber(start_service: StartService, queue: Service) -> Service:
    return await start_service(open_subscriber, queue_url=f"wss://localhost:{queue.port}")


@pytest.fixture
def run(queue: Service, subscriber: Service, cert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``fanline trace``, in a thread."""
    monkeypatch.setenv("FANLINE_QUEUE_URL", f"wss://localhost:{queue.port}")
    monkeypatch.setenv("FANLINE_SUBSCRIBER_URL", f"wss://localhost:{subscriber.port}")
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))

    async def in_thread(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["trace", *words])

    return in_thread


async def test_a_message_is_followed_by_its_trace(
    publisher: Service, subscriber: Service, queue: Service, dial: Dial, tls: ssl.SSLContext, run: Run
) -> None:
    """By WebSocket, POST and array it is stored and delivered with it, and shown by all its ids (line 56)."""
    url = f"wss://localhost:{publisher.port}"
    async with Publisher(url, tls=tls, **LOGIN) as client:
        await client.publish("orders.eu", 1, id="a1", traceparent=PARENTS[0])
        await client.publish("orders.eu", 2, traceparent="00-nonsense")
    await publish("orders.eu", 3, url=url, tls=tls, traceparent=PARENTS[1], **LOGIN)
    async with httpx.AsyncClient(verify=tls, auth=(USER, PASSWORD), timeout=DEADLINE) as http:
        answer = await http.post(
            f"https://localhost:{publisher.port}/messages",
            headers={"traceparent": PARENTS[1]},
            json=[
                {"topic": "orders.us", "content": 4},
                {"topic": "orders.us", "content": 5, "traceparent": PARENTS[2]},
            ],
        )
        assert answer.status_code == 201
    wanted = [PARENTS[0], None, PARENTS[1], PARENTS[1], PARENTS[2]]
    async with Subscriber(
        "orders.*", url=f"wss://localhost:{subscriber.port}", tls=tls, after=0, **LOGIN
    ) as all_:
        assert [(await anext(all_)).traceparent for _ in wanted] == wanted
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop":{"consumer":"billing"}}')
    await popper.recv()
    for name in (TRACES[0], "a1", "1"):
        shown = await run(name)
        assert shown.exit_code == 0, shown.output
        lines = shown.output.splitlines()
        assert lines[:3] == [
            "position 1 on orders.eu",
            f"  trace      {TRACES[0]}, under the span 00f067aa0ba902b7",
            f"  received   from {USER}, with the id a1",
        ]
        assert "  waits      for the consumer billing, which is at 0" in lines
    both = (await run(TRACES[1])).output
    assert [line for line in both.splitlines() if line.startswith("position")] == [
        "position 3 on orders.eu",
        "position 4 on orders.us",
    ]
    assert (await run("f" * 32)).exit_code == 1
