"""A log that was restored from an older copy, as subscribers and readers of its history notice it."""

import asyncio
import shutil
import ssl
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from fanline import Subscriber
from fanline.client import Gap
from fanline.server import Service
from msgqueue.app import open_msgqueue
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until
from tests.stubs import DEADLINE, PASSWORD, USER


class Restored:
    """A pipeline whose log can be copied, and be replaced by the copy."""

    def __init__(
        self, start: StartService, dial: Dial, folder: Path, queue: Service, service: Service
    ) -> None:
        self.service = service
        self.queue = queue
        self._start = start
        self._dial = dial
        self._folder = folder

    async def publish(self, count: int, what: str) -> None:
        """Store so many messages on the topic ``t``."""
        client = await self._dial(self.queue, "/pushmsg")
        messages = [{"topic": "t", "content": f"{what} {n}"} for n in range(count)]
        await client.send(msgspec.json.encode(messages), text=True)
        assert len(msgspec.json.decode(await client.recv())) == count

    async def restart(self, *, copy: bool = False, restore: bool = False) -> None:
        """Stop msgqueue, copy its log or replace it by the copy, and start it on the same port."""
        port = self.queue.port
        await self.queue.stop()
        if copy:
            shutil.copy(self._folder / "log.sqlite3", self._folder.with_name("copy"))
        if restore:
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            shutil.copy(self._folder.with_name("copy"), self._folder / "log.sqlite3")
        self.queue = await self._start(open_msgqueue, msgqueue_port=port)


@pytest.fixture
async def pipeline(start_service: StartService, dial: Dial, tmp_path: Path) -> Restored:
    """A running pipeline with 30 messages, of which there is a copy."""
    queue = await start_service(open_msgqueue)
    service = await start_service(open_subscriber, queue_url=f"wss://localhost:{queue.port}")
    pipeline = Restored(start_service, dial, tmp_path / "data", queue, service)
    await pipeline.publish(30, "old")
    await pipeline.restart(copy=True)
    return pipeline


async def receive(client: ClientConnection) -> dict[str, Any]:
    """Return the next object, which comes alone or in an array of one."""
    frame = msgspec.json.decode(await client.recv())
    found: dict[str, Any] = frame[0] if isinstance(frame, list) else frame
    return found


async def test_a_position_of_another_log_is_not_resumed(pipeline: Restored, dial: Dial) -> None:
    """Resuming with the epoch brings all of the restored log, the new epoch, and a gap (line 51)."""
    client = await dial(pipeline.service, "/subscribe")
    await client.send("sub t")
    subscribed = await receive(client)
    await pipeline.publish(30, "lost")
    await pipeline.restart(restore=True)
    await client.wait_closed()
    await pipeline.publish(60, "new")
    await until(lambda: pipeline.service.app.readiness_problem() is None)
    client = await dial(pipeline.service, "/subscribe")
    await client.send(f"sub t after=60 epoch={subscribed['epoch']}")
    again = await receive(client)
    assert again["seq"] == 0
    assert again["epoch"] != subscribed["epoch"]
    assert again["gap"]["from"] == 61
    await client.send("unsub t")
    await client.send(f"sub x after=60 epoch={again['epoch']}")
    while (answer := msgspec.json.decode(await client.recv())) and "subscribed" not in answer:
        pass
    assert answer == {"subscribed": "x", "seq": 60, "epoch": again["epoch"]}


async def test_one_port_serves_one_log(pipeline: Restored, dial: Dial, tls: ssl.SSLContext) -> None:
    """Live messages, those from memory and the history are of the restored log, and say so."""
    live = await dial(pipeline.service, "/subscribe")
    await live.send("sub t")
    first = await receive(live)
    await pipeline.publish(30, "lost")
    await pipeline.restart(restore=True)
    await pipeline.publish(30, "new")
    await live.wait_closed()
    url = f"https://localhost:{pipeline.service.port}"
    login = httpx.BasicAuth(USER, PASSWORD)
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=login, trust_env=False, timeout=DEADLINE
    ) as http:
        page = await http.get("/topics/t/messages?after=30&limit=1")
    assert page.headers["Fanline-Epoch"] != first["epoch"]
    assert page.json()[0]["content"] == "new 0"
    client = await dial(pipeline.service, "/subscribe")
    await client.send("sub t after=30")
    subscribed, message = await receive(client), await receive(client)
    assert subscribed["epoch"] == page.headers["Fanline-Epoch"]
    assert message["content"] == "new 0"


async def test_a_restart_is_no_other_log(pipeline: Restored, dial: Dial) -> None:
    """A msgqueue that was only restarted goes on, and no subscriber is disconnected."""
    client = await dial(pipeline.service, "/subscribe")
    await client.send("sub t")
    assert (await receive(client))["seq"] == 30
    await pipeline.restart()
    await pipeline.publish(1, "later")
    assert (await receive(client))["seq"] == 31


async def test_the_python_client_is_told(pipeline: Restored, tls: ssl.SSLContext) -> None:
    """fanline.Subscriber gets every message of the restored log, after a gap that tells so (line 51)."""
    gaps: list[Gap] = []
    url = f"wss://localhost:{pipeline.service.port}"
    async with (
        asyncio.timeout(DEADLINE),
        Subscriber(
            "t", url=url, user=USER, password=PASSWORD, tls=tls, after=0, on_gap=gaps.append
        ) as reader,
    ):
        await pipeline.publish(30, "lost")
        assert [(await anext(reader)).seq for _ in range(60)] == list(range(1, 61))
        await pipeline.restart(restore=True)
        await pipeline.publish(60, "new")
        got = [(await anext(reader)).value() for _ in range(90)]
    assert gaps == [Gap("t", is_new_log=True)]
    assert got == [f"old {n}" for n in range(30)] + [f"new {n}" for n in range(60)]
