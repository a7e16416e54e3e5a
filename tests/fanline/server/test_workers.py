"""Tests of several processes that share a port."""

import asyncio
import os
import re
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fanline.client import Publisher, Subscriber
from fanline.server.workers import RestartSchedule
from tests.conftest import until
from tests.processes import Pipeline, ServiceProcess
from tests.stubs import DEADLINE, PASSWORD, USER

WORKERS = 3


@pytest.fixture
async def pipeline(tmp_path: Path, cert_dir: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline(tmp_path, cert_dir, workers=WORKERS) as running:
        for service in (running.publisher, running.subscriber):
            await until(lambda service=service: len(_listening(service)) == WORKERS)  # type: ignore[misc]
        yield running


def _listening(service: ServiceProcess) -> list[bytes]:
    return [line for line in service.log if b"listening on" in line]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _connections(pid: int) -> int:
    """Count the sockets that a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(link).startswith("socket:") for link in folder.iterdir())


async def test_workers_share_the_port_and_its_connections(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """A hundred subscribers get everything, from more than one worker; all reload at SIGHUP (lines 7, 53)."""
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    workers = _children(pipeline.subscriber.pid)
    before = {worker: _connections(worker) for worker in workers}
    assert len(workers) == WORKERS
    received: Counter[int] = Counter()

    async def listen(number: int) -> None:
        async with Subscriber(url=pipeline.subscriber.url, **login) as subscriber:
            await subscriber.subscribe("t")
            joined.release()
            async for message in subscriber:
                assert message.value() == received[number]
                received[number] += 1
                if received[number] == 10:
                    return

    joined = asyncio.Semaphore(0)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(listen(number))
        for _ in range(100):
            await joined.acquire()
        assert sum(_connections(worker) > before[worker] for worker in workers) > 1
        async with Publisher(pipeline.publisher.url, **login) as publisher:
            for number in range(10):
                await publisher.publish("t", number)
    assert received == Counter(dict.fromkeys(range(100), 10))
    os.kill(pipeline.subscriber.pid, signal.SIGHUP)
    await until(lambda: b"".join(pipeline.subscriber.log).count(b"read the settings again") == WORKERS)
    assert _children(pipeline.subscriber.pid) == workers


async def test_a_worker_that_dies_is_replaced(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """And those it served are back with another one, without a gap."""
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    async with (
        asyncio.timeout(DEADLINE),
        Subscriber("t", url=pipeline.subscriber.url, **login) as subscriber,
        Publisher(pipeline.publisher.url, **login) as publisher,
    ):
        await subscriber.subscribe("t")
        for worker in _children(pipeline.subscriber.pid) + _children(pipeline.publisher.pid):
            os.kill(worker, signal.SIGKILL)
        await publisher.publish("t", "still there")
        assert (await anext(subscriber)).value() == "still there"
        for service in (pipeline.subscriber, pipeline.publisher):
            await until(lambda service=service: len(_listening(service)) == 2 * WORKERS)  # type: ignore[misc]
            assert len(_children(service.pid)) == WORKERS


def test_a_worker_that_ran_steadily_starts_again_soon() -> None:
    """The delays grow for the worker that keeps dying, and for it alone."""
    restarts = RestartSchedule(2, steady_seconds=10)
    now = 0.0
    restarts.start(1, now)
    for _ in range(20):
        restarts.start(0, now)
        assert restarts.seconds_left(now) is None
        restarts.die(0, now)
        delay = restarts.seconds_left(now)
        assert delay is not None
        assert restarts.ready(now) == []
        now += delay + 0.001  # sums of floats are not exact
        assert restarts.ready(now) == [0]
    assert now > 2.5 * 10
    restarts.start(0, now)
    for number in (0, 1):  # both have run for more than ten seconds
        restarts.die(number, now + 11)
        assert restarts.ready(now + 11.2) == [number]
        restarts.start(number, now + 11.2)


async def test_all_workers_stop_with_their_parent(pipeline: Pipeline) -> None:
    """Cleanly, when it is asked to; and also when it is killed."""
    workers = _children(pipeline.subscriber.pid)
    assert await pipeline.subscriber.stop() == 0
    assert sum(b"stopped" in line for line in pipeline.subscriber.log) == WORKERS
    grandchildren = _children(pipeline.publisher.pid)
    await pipeline.publisher.kill()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers + grandchildren))


async def test_a_port_that_another_program_has_is_not_shared(cert_dir: Path, tmp_path: Path) -> None:
    """Workers share with each other, not with another installation."""
    async with Pipeline(tmp_path, cert_dir, workers=2) as pipeline:
        second = ServiceProcess("subscriber", cert_dir=cert_dir, workers=2)
        second.port = pipeline.subscriber.port
        with pytest.raises(AssertionError, match=re.escape(f"cannot listen on 127.0.0.1:{second.port}")):
            await second.start()
        assert await second.stop() == 2


async def test_a_worker_that_cannot_start_ends_all(tmp_path: Path) -> None:
    """A setting that is wrong for one worker is wrong for all: exit code 2, and a sentence (line 3)."""
    service = ServiceProcess("subscriber", cert_dir=tmp_path, workers=2)
    with pytest.raises(AssertionError, match=re.escape(str(tmp_path))):
        await service.start()
    assert await service.stop() == 2
