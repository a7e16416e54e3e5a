"""Durable consumers of a cluster, whose msgqueues are killed."""

import asyncio
import json
import random
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException

from fanline import Publisher
from fanline.verify.cluster.installation import QUEUES, ClusterInstallation
from fanline.verify.system.installation import COMMANDS, Place
from fanline.verify.verdict.findings import Findings
from tests.conftest import open_websocket, until

KILLS = 4

# So many more messages are done when the next msgqueue is killed.
BATCH = 300


class Worker:
    """A connection of the durable consumer, made again whenever it ends.

    Args:
        url: Of its msgqueue, which keeps its address.
        place: How to log in.
        done: Where to note what is done.
    """

    def __init__(self, url: str, place: Place, done: list[object]) -> None:
        self._url = url
        self._place = place
        self._done = done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                await self._work()
            await asyncio.sleep(0.1)

    async def _work(self) -> None:
        place = self._place
        async with open_websocket(
            f"{self._url}/popmsg", place.tls, v1=True, user=place.user, password=place.password
        ) as connection:
            await connection.send('{"pop": {"consumer": "jobs", "after": 0}}', text=True)
            async for frame in connection:
                said = json.loads(frame)
                for record in said if isinstance(said, list) else []:
                    if record["topic"] == "jobs":
                        self._done.append(record["content"])
                    await connection.send(json.dumps({"done": record["seq"]}), text=True)


async def publish(place: Place, stop: asyncio.Event) -> int:
    """Publish numbers, and return how many there are once they are acknowledged."""
    number = 0
    async with Publisher(
        place.publisher_url, user=place.user, password=place.password, tls=place.tls, window=100
    ) as publisher:
        while not stop.is_set():
            await publisher.send("jobs", number)
            number += 1
            await asyncio.sleep(0.005)
        await publisher.flush()
    return number


def has_done(done: list[object], count: int) -> bool:
    return len(set(done)) >= count


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_no_work_is_lost_when_msgqueues_are_killed(tmp_path: Path) -> None:
    """Six connections at two msgqueues, which are killed in turn: each message is done (lines 59, 61)."""
    made = ClusterInstallation(tmp_path, commands=COMMANDS, rng=random.Random(1), findings=Findings())
    async with made as cluster, asyncio.TaskGroup() as tasks:
        done: list[object] = []
        urls = [f"wss://localhost:{cluster.links[f'subscriber-{name}'].port}" for name in QUEUES]
        workers = [tasks.create_task(Worker(url, cluster.place, done).run()) for url in urls * 3]
        stop = asyncio.Event()
        publishing = tasks.create_task(publish(cluster.place, stop))
        for number in range(KILLS):
            await until(partial(has_done, done, len(set(done)) + BATCH))
            name = QUEUES[number % len(QUEUES)]
            await cluster.services[name].kill()
            await asyncio.sleep(1)
            await cluster.start(name)
        stop.set()
        count = await publishing
        await until(partial(has_done, done, count))
        assert set(done) == set(range(count))
        for worker in workers:
            worker.cancel()
