"""Metrics of msgqueue, as /metrics shows them."""

import re
import ssl

import httpx

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService, receive_objects
from tests.stubs import DEADLINE, PASSWORD, USER


async def metrics_of(service: Service, tls: ssl.SSLContext) -> dict[str, float]:
    """Return the series that a service shows, by their names with labels."""
    async with httpx.AsyncClient(
        verify=tls, auth=(USER, PASSWORD), trust_env=False, timeout=DEADLINE
    ) as client:
        text = (await client.get(f"https://localhost:{service.port}/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)}


async def test_commits_and_consumers_are_measured(
    start_service: StartService, dial: Dial, tls: ssl.SSLContext
) -> None:
    """The commits count their messages and their time; a durable consumer has what it has not done yet."""
    queue = await start_service(open_msgqueue)
    pushing = await dial(queue, "/pushmsg")
    await pushing.send("[" + ",".join(f'{{"topic": "a", "content": {n}}}' for n in range(5)) + "]")
    await receive_objects(pushing, 5)
    popping = await dial(queue, "/popmsg")
    await popping.send('{"pop": {"consumer": "billing", "after": 0}}')
    await popping.recv()
    shown = await metrics_of(queue, tls)
    assert shown["fanline_commit_messages_sum"] == 5
    assert 1 <= shown["fanline_commit_seconds_count"] == shown["fanline_commit_messages_count"] <= 5
    assert shown["fanline_commit_seconds_sum"] > 0
    assert shown['fanline_consumer_behind_messages{consumer="billing"}'] == 5
    assert shown["fanline_log_bytes"] > 0
