"""A pipeline with two msgqueues on one log: its services move between them."""

import asyncio
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from fanline import Publisher, Subscriber
from fanline.server import Service
from msgqueue.app import open_msgqueue
from msgqueue.store.base import Store
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.replica.patience import Patience
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, receive_objects, until
from tests.msgqueue.journal.memory_journal import HostileLog, MemoryJournal
from tests.msgqueue.store.replica.engines import QUICK
from tests.stubs import PASSWORD, USER

# Moving a little early does no harm, and the tests wait for it.
IMPATIENT = QUICK._replace(ready=1.5, tick=0.05)


class Cluster:
    """Two msgqueues, ``a`` and ``b``, on one journal that loses some of what is sent."""

    def __init__(self, folder: Path, start_service: StartService, patience: Patience) -> None:
        self.journal = HostileLog(Random(7), rate=0.05, time=lambda: round(time.time() * 1000))
        self.running: dict[str, Service] = {}
        self._folder = folder
        self._patience = patience
        self._start_service = start_service

    async def start(self, name: str, port: int = 0) -> None:
        """Start a msgqueue, and wait until it is ready."""
        [journal] = MemoryJournal.connected(self.journal, [name])

        async def open_store(
            folder: Path, *, dedupe_window: float, disk_reserve: int, clock: Callable[[], float]
        ) -> Store:
            return await ReplicaStore.join(
                folder,
                journal,
                dedupe_window=dedupe_window,
                disk_reserve=disk_reserve,
                clock=clock,
                patience=self._patience,
            )

        opening = partial(open_msgqueue, open_store=open_store)
        service = await self._start_service(opening, data_dir=self._folder / name, msgqueue_port=port)
        await until(lambda: service.app.readiness_problem() is None)
        self.running[name] = service

    def urls(self, *names: str) -> str:
        return ",".join(url_of(self.running[name]) for name in names)


def url_of(service: Service) -> str:
    return f"wss://localhost:{service.port}"


async def test_services_move_between_msgqueues(
    start_service: StartService, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    """One stops, the other is cut off from the journal: clients miss nothing, get nothing twice (line 61)."""
    cluster = Cluster(tmp_path, start_service, IMPATIENT)
    await cluster.start("a")
    await cluster.start("b")
    publishers = await start_service(open_publisher, queue_url=cluster.urls("a", "b"), queue_wait=60)
    subscribers = await start_service(open_subscriber, queue_url=cluster.urls("b", "a"))
    got: list[object] = []
    async with (
        Publisher(url_of(publishers), user=USER, password=PASSWORD, tls=tls) as publisher,
        Subscriber(url=url_of(subscribers), user=USER, password=PASSWORD, tls=tls) as subscriber,
    ):
        await subscriber.subscribe("t")

        async def receive() -> None:
            while len(got) < 90:
                got.append((await anext(subscriber)).value())

        async def publish(numbers: range) -> None:
            for number in numbers:
                await publisher.publish("t", number)

        receiving = asyncio.create_task(receive())
        await publish(range(30))
        publishing = asyncio.create_task(publish(range(30, 60)))
        port = cluster.running["b"].port
        await cluster.running["b"].stop()
        await publishing
        await cluster.start("b", port)
        cluster.journal.cut_off("a")
        await publish(range(60, 90))
        await receiving
        cluster.journal.heal()
    assert got == list(range(90))


async def test_a_position_from_another_msgqueue_is_known(
    start_service: StartService, tmp_path: Path, dial: Dial
) -> None:
    """A msgqueue that lags first reads what it misses: no position is refused, no page cut (line 61)."""
    cluster = Cluster(tmp_path, start_service, QUICK._replace(ready=60))
    await cluster.start("a")
    await cluster.start("b")
    cluster.journal.cut_off("b")
    pusher = await dial(cluster.running["a"], "/pushmsg")
    await pusher.send('[{"topic": "t", "content": 1}, {"topic": "t", "content": 2}]', text=True)
    assert [answer["seq"] for answer in await receive_objects(pusher, 2)] == [1, 2]
    popper, reader = [await dial(cluster.running["b"], "/popmsg") for _ in range(2)]
    await popper.send('{"pop": {"after": 2}}', text=True)
    await reader.send('{"read": {"ref": 1, "topics": ["t"], "before": 2}}', text=True)
    cluster.journal.heal()
    [popping] = await receive_objects(popper, 1)
    assert popping["seq"] == 2
    [page] = await receive_objects(reader, 1)
    assert [record["seq"] for record in page["messages"]] == [1]
