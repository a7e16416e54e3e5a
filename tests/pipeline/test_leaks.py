"""After all clients have left, tasks, descriptors and memory are back where they were (line 37)."""

import asyncio
import gc
import os
import weakref
from pathlib import Path

import pytest

from fanline.server import Connection, Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from subscriber.session import Session
from tests.conftest import Dial, StartService, until

CYCLES = 50


def descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def alive(*kinds: type) -> int:
    """Return how many objects of some classes there are."""
    gc.collect()
    # Not isinstance: a weak proxy, as in the library's loggers, says that it is what it stands for.
    return sum(type(each) in kinds for each in gc.get_objects())


async def visit(service: Service, dial: Dial, path: str, words: str, *, rudely: bool) -> None:
    """Connect, say something, and go, with or without a close frame."""
    client = await dial(service, path)
    await client.send(words)
    await client.recv()
    if rudely:
        client.transport.abort()
    else:
        await client.close()


async def test_nothing_is_kept_of_those_who_left(
    start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """Subscribers and publishers come and go, politely or not, and leave nothing behind (line 37)."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    subscriber = await start_service(open_subscriber, queue_url=url)
    publisher = await start_service(open_publisher, queue_url=url)
    await visit(subscriber, dial, "/subscribe", "sub warm.up", rudely=False)
    await visit(publisher, dial, "/publish", '{"topic":"t","content":1}', rudely=False)
    await until(lambda: not subscriber.connections and not publisher.connections)
    before = len(asyncio.all_tasks()), descriptors()
    for n in range(CYCLES):
        await visit(subscriber, dial, "/subscribe", f"sub t.{n} after=0", rudely=n % 2 == 0)
        await visit(publisher, dial, "/publish", f'{{"topic":"t.{n}","content":1}}', rudely=n % 2 == 0)
    await until(lambda: not subscriber.connections and not publisher.connections)
    await until(lambda: (len(asyncio.all_tasks()), descriptors()) <= before)
    # Those of the links between the services are the only ones left.
    assert alive(Connection) == len(queue.connections)
    assert alive(Session) == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/subscribe", "sub t"),
        ("/publish", '{"topic":"t","content":1}'),
        ("/pushmsg", '{"topic":"t","content":1}'),
        ("/popmsg", '{"pop":{"after":0}}'),
    ],
)
@pytest.mark.parametrize("rudely", [False, True])
async def test_a_closed_connection_is_freed_without_garbage_collection(
    start_service: StartService, dial: Dial, path: str, words: str, rudely: bool
) -> None:
    """However it ended; ten thousand that leave at once are not kept until the collector comes (line 37).

    Reference cycles kept all closed connections to /publish, for hours.
    """
    queue = await start_service(open_msgqueue)
    open_app = {"/subscribe": open_subscriber, "/publish": open_publisher}.get(path)
    service = queue
    if open_app is not None:
        service = await start_service(open_app, queue_url=f"wss://localhost:{queue.port}")
    others = set(service.connections)
    gc.disable()
    try:
        client = await dial(service, path)
        await until(lambda: bool(set(service.connections) - others))
        connection = weakref.ref((set(service.connections) - others).pop())
        await client.send(words)
        await client.recv()
        if rudely:
            client.transport.abort()
        else:
            await client.close()
        await until(lambda: connection() is None)
    finally:
        gc.enable()
