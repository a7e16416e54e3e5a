"""Metrics of msgqueue, as /metrics shows them."""

import re
import ssl
from functools import partial
from pathlib import Path

import httpx

from fanline.server import Service
from msgqueue.app import open_msgqueue
from msgqueue.store.base import Store
from tests.conftest import Dial, StartService, receive_objects, until
from tests.msgqueue.store.replica.engines import Journals
from tests.msgqueue.store.store_model import Clock
from tests.stubs import DEADLINE, PASSWORD, USER

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"


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


async def test_the_journal_of_a_cluster_is_measured(
    start_service: StartService, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    """A msgqueue of a cluster shows what the table of metrics says, and one that is alone none of it."""
    clock = Clock()
    journals = Journals()

    async def open_store(folder: Path, **_: object) -> Store:
        return await journals.open_one(folder, clock)

    queue = await start_service(partial(open_msgqueue, open_store=open_store), data_dir=tmp_path / "one")
    await until(lambda: queue.app.readiness_problem() is None)
    alone = await start_service(open_msgqueue, data_dir=tmp_path / "alone")
    shown, others = await metrics_of(queue, tls), await metrics_of(alone, tls)
    documented = re.findall(r"^\| `(\w+)` \| msgqueue in a cluster \|", OPERATIONS.read_text(), re.MULTILINE)
    assert {name for name in shown.keys() - others.keys() if not name.endswith("_created")} == set(documented)
    assert shown["fanline_journal_entries_total"] >= 1
    assert shown["fanline_cluster_msgqueues"] >= 1
    assert shown["fanline_cluster_stopped"] == 0
