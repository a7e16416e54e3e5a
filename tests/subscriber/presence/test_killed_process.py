"""Presence when a process of the subscriber service is killed."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import Dial, receive_objects
from tests.processes import Pipeline, ServiceProcess


@pytest.mark.long  # a process is dead only after several beats of another
async def test_users_of_a_killed_process_leave(tmp_path: Path, cert_dir: Path, dial: Dial) -> None:
    """Users of a process that is killed are told to have left by another one, once each (line 48)."""
    async with Pipeline(tmp_path, cert_dir) as pipeline:
        queue = {"queue_url": pipeline.msgqueue.url, "cert_dir": cert_dir}
        victim: Any = ServiceProcess("subscriber", **queue)
        await victim.start()
        survivor: Any = pipeline.subscriber
        watcher = await dial(survivor, "/subscribe")
        await watcher.send('{"sub":"$presence.room.7"}')
        await receive_objects(watcher, 1)
        clients = [await dial(victim, "/subscribe") for _ in range(3)]
        for number, client in enumerate(clients):
            command = {"sub": "room.7", "presence": True, "as": f"tablet{number}"}
            await client.send(msgspec.json.encode(command).decode())
        joins = await receive_objects(watcher, 3)
        await victim.kill()
        leaves = await receive_objects(watcher, 3)
        await watcher.send('{"unsub":"$presence.room.7"}')
        assert await receive_objects(watcher, 1) == [{"unsubscribed": "$presence.room.7"}]
        for events, kind in ((joins, "join"), (leaves, "leave")):
            assert {each["type"] for each in events} == {kind}
            assert {each["content"]["as"] for each in events} == {"tablet0", "tablet1", "tablet2"}
        await asyncio.gather(*(client.wait_closed() for client in clients))
