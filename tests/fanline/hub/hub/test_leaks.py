"""Imports of a hub, and that it keeps nothing of what has gone."""

import ast
import asyncio
import gc
import os
import sys
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import fanline.hub
from fanline.hub import (
    Attachment,
    Event,
    EventType,
    Hub,
    JsonLinesFile,
    Missed,
    Stream,
)
from tests.conftest import until
from tests.fanline.hub.hub.conftest import fact
from tests.stubs import DEADLINE


def imported(module: Path) -> set[str]:
    """The names of the modules that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_the_hub_knows_no_protocol_and_no_socket() -> None:
    """It stands on the standard library, on msgspec and on the base of the errors alone (line 32)."""
    modules = list(Path(fanline.hub.__file__).parent.glob("*.py"))
    names = {name for module in modules for name in imported(module)}
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("fanline.hub")} == {"msgspec", "fanline.errors"}
    assert not names & {"socket", "ssl", "http", "asyncio.streams", "socketserver", "selectors"}


async def visit(hub: Hub, user: str) -> None:
    """Come, hear oneself come, speak and leave; and listen to oneself leave."""
    stream = hub.add(user, "1")
    hub.add(user, "2")
    hub.message(user, "hello " * 20)
    hub.remove(user, "1")
    hub.remove(user, "2")
    assert [event.type async for event in stream if isinstance(event, Event)][-1] == EventType.REMOVE


async def use(path: Path) -> None:
    """The life of a hub with many visitors and some listeners, one of which is detached early."""
    hub = Hub("lobby", history=10, max_pending=10)
    hub.attach_listener(JsonLinesFile(path))
    early = hub.attach_listener(JsonLinesFile(path))
    async with asyncio.TaskGroup() as visitors:
        for number in range(50):
            visitors.create_task(visit(hub, f"user {number}"))
    await early.stop()
    hub.add("bob", "never reads")
    await hub.close()


def descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def alive(*kinds: type) -> int:
    """Return how many objects of some classes there are."""
    gc.collect()
    return sum(type(each) in kinds for each in gc.get_objects())


def traced_memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def tracing() -> Iterator[None]:
    """Trace the memory that is taken."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("tracing")
async def test_nothing_is_kept_of_what_has_gone(tmp_path: Path) -> None:
    """Tasks, descriptors and memory are back where they were when all have left (line 37)."""
    path = tmp_path / "events.jsonl"
    async with asyncio.timeout(DEADLINE):
        await use(path)
        before = len(asyncio.all_tasks()), descriptors()
        objects = alive(Hub, Stream, Attachment)
        memory = traced_memory()
        for _ in range(20):
            await use(path)
        await until(lambda: (len(asyncio.all_tasks()), descriptors()) <= before)
    assert alive(Hub, Stream, Attachment) <= objects
    # Events are not tracked one by one; those of one round are 40 kB.
    assert traced_memory() - memory < 20_000


@pytest.mark.usefixtures("tracing")
def test_a_hub_that_lives_on_forgets_who_has_left() -> None:
    """Its users come and go, under new names each, and it does not grow (line 37)."""
    hub = Hub("lobby", history=5)

    def come_and_go(users: range) -> None:
        for number in users:
            hub.add(f"user {number}", "1")
            hub.add(f"user {number}", "2")
            hub.remove(f"user {number}", "1")
            hub.remove(f"user {number}", "2")

    come_and_go(range(100))
    memory = traced_memory()
    come_and_go(range(100, 2_100))
    assert traced_memory() - memory < 10_000


async def test_a_hub_that_lives_on_forgets_its_listeners() -> None:
    """Once they are detached (line 37)."""
    hub = Hub("lobby")
    before = alive(Attachment)

    async def ignore(events: Sequence[Event | Missed]) -> None:
        pass

    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            await hub.attach_listener(ignore).stop()
    assert hub.history() == []
    await until(lambda: alive(Attachment) <= before)


def test_a_closed_hub_holds_its_history_only() -> None:
    """Not the streams of those who were there (line 37)."""
    hub = Hub("lobby")
    stream = weakref.ref(hub.add("ada", "1"))
    assert stream() is not None
    hub.close_nowait()
    assert stream() is None


async def test_iterating_ends_with_the_session() -> None:
    """A task that listens ends by itself when its session is removed, or the hub closed (line 32)."""
    hub = Hub("lobby")

    async def listen(stream: Stream[Event]) -> list[Any]:
        return [fact(event)[0] async for event in stream]

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        ada = tasks.create_task(listen(hub.add("ada", "1")))
        bob = tasks.create_task(listen(hub.add("bob", "1")))
        await asyncio.sleep(0)
        hub.message("bob", "hello")
        hub.remove("ada", "1")
        await asyncio.sleep(0)
        await hub.close()
    assert ada.result() == ["join", "join", "message", "leave"]
    assert bob.result() == ["join", "message", "leave", "close"]
