"""Tests of watching who is present, against a real service."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fanline import Message, Presence, Subscriber
from msgqueue.app import open_msgqueue
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stubs import DEADLINE, PASSWORD, USER, StubSubscriber


@pytest.fixture
async def how(start_service: StartService, tls: ssl.SSLContext) -> dict[str, Any]:
    """How to reach a subscriber service."""
    queue = await start_service(open_msgqueue)
    service = await start_service(
        open_subscriber, queue_url=f"wss://localhost:{queue.port}", leave_delay=3600
    )
    return {"url": f"wss://localhost:{service.port}", "user": USER, "password": PASSWORD, "tls": tls}


async def test_the_four_changes(how: dict[str, Any]) -> None:
    """First and last session of a user are told apart from others, and who is there is known (line 48)."""
    async with asyncio.timeout(DEADLINE), Subscriber(**how) as one, Subscriber(**how) as two:
        await one.subscribe("room.7", present_as="tablet")
        async with Presence("room.7", **how) as presence:
            assert await anext(presence) == ("join", USER, "tablet")
            await two.subscribe("room.7", present_as="phone")
            assert await anext(presence) == ("add", USER, "phone")
            assert presence.users == {USER: 2}
            await one.unsubscribe("room.7")
            assert await anext(presence) == ("remove", USER, "tablet")
            await two.unsubscribe("room.7")
            assert await anext(presence) == ("leave", USER, "phone")
            assert presence.users == {}


def join(user: str, seq: int) -> str:
    """Return the frame of a session that begins."""
    message = Message("$presence.room.7", msgspec.Raw(b'{"as":"tablet"}'), seq, 0, None, user, "join")
    return msgspec.json.encode(message).decode()


async def test_begins_again_after_a_gap(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """When events are missing, who is present is asked for again, and those from before are forgotten."""
    async with asyncio.timeout(DEADLINE), StubSubscriber(cert_dir) as stub:
        login = {"url": stub.url, "user": USER, "password": PASSWORD, "tls": tls}
        async with Presence("room.7", **login) as presence:
            await stub.until(lambda: len(stub.commands) == 1)
            await stub.send(join("alice", 5))
            assert await anext(presence) == ("join", "alice", "tablet")
            await stub.send('{"gap":{"from":6,"to":7}}')
            waiting = asyncio.ensure_future(anext(presence))
            await stub.until(lambda: len(stub.commands) == 3)
            await stub.send(join("bob", 8))
            assert await waiting == ("join", "bob", "tablet")
            assert presence.users == {"bob": 1}
        assert [command.get("latest") for command in stub.commands] == [True, None, True]
