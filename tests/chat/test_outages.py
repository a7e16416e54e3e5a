"""Servers that die or freeze, and a pipeline that goes away and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chat.domain.errors import Unavailable
from chat.domain.rooms import LOBBY
from chat.service.chat_service import ChatService, Tuning
from fanline.presence import MISSED_BEATS
from tests.chat.conftest import MakeSettings
from tests.chat.frames import ADMIN, brief, end_of, members_of_all, receive, said
from tests.conftest import until
from tests.forking import forked
from tests.forking.forked import ForkedProcess
from tests.processes import Pipeline
from tests.stubs import DEADLINE

OpenServer = Callable[..., Awaitable[ChatService]]

DEFAULT, QUICK = Tuning(), Tuning(beat_interval=0.2)

# Where servers must not take each other for dead, though one of them is held up for a second or two.
STEADY = Tuning(beat_interval=0.4)


@pytest.fixture
async def pipeline(tmp_path: Path, cert_dir: Path) -> AsyncIterator[Pipeline]:
    """A pipeline whose services are processes."""
    async with Pipeline(tmp_path, cert_dir) as running:
        yield running


@pytest.fixture
async def open_server(pipeline: Pipeline, make_chat_settings: MakeSettings) -> AsyncIterator[OpenServer]:
    """Run chat services on the pipeline, and wait until they are ready."""
    async with AsyncExitStack() as opened:

        async def open_one(tuning: Tuning = DEFAULT, **changes: Any) -> ChatService:
            urls = {"publisher_url": pipeline.publisher.url, "subscriber_url": pipeline.subscriber.url}
            server = ChatService.from_settings(make_chat_settings(**(urls | changes)), tuning)
            await opened.enter_async_context(server.running())
            await until(lambda: server.lifecycle.is_ready)
            return server

        yield open_one


class Child:
    """Another chat server, with members.

    Attributes:
        process: The process.
        members: The ids of its members.
    """

    def __init__(self, process: ForkedProcess) -> None:
        self.process = process
        self.members: list[str] = []

    async def line(self) -> str:
        """Return the next that it has to say."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)


@asynccontextmanager
async def child(pipeline: Pipeline, cert_dir: Path, *, members: int, interval: float) -> AsyncIterator[Child]:
    """Run another chat server, with members in the lobby."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FANLINE_")}
    environment |= {
        "FANLINE_CERT_DIR": str(cert_dir),
        "FANLINE_PUBLISHER_URL": pipeline.publisher.url,
        "FANLINE_SUBSCRIBER_URL": pipeline.subscriber.url,
    }
    process = await forked.start(
        "tests.chat.server_child",
        str(members),
        str(interval),
        environment=environment,
        stdin=asyncio.subprocess.PIPE,
        stderr=2,
    )
    running = Child(process)
    try:
        for _ in range(members):
            running.members.append((await running.line()).removeprefix("joined "))
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_server_is_noticed(
    pipeline: Pipeline, open_server: OpenServer, cert_dir: Path
) -> None:
    """The members of a server that is killed are shown as left, once each (line 27)."""
    servers = [await open_server(STEADY), await open_server(STEADY)]
    watchers = [await server.join(LOBBY, "Watcher", None) for server in servers]
    async with child(pipeline, cert_dir, members=3, interval=STEADY.beat_interval) as other:
        await receive(watchers[0], 4)
        await receive(watchers[1], 3)
        other.send(signal.SIGKILL)
        for watcher in watchers:
            frames = await receive(watcher, 3)
            assert {frame["memberId"] for frame in frames} == {*other.members}
            assert {frame["type"] for frame in frames} == {"left"}
    for server in servers:
        assert {*server.rooms.by_id[LOBBY].members} == {watcher.id for watcher in watchers}
    entries = await servers[0].messages(LOBBY, limit=100)
    assert [entry["type"] for entry in entries].count("left") == 3


async def test_its_successor_notices(pipeline: Pipeline, open_server: OpenServer, cert_dir: Path) -> None:
    """Where the server that was killed was the only one, the next one has its members leave (line 27)."""
    async with child(pipeline, cert_dir, members=3, interval=0.1) as other:
        other.send(signal.SIGKILL)
        await other.process.wait()
    server = await open_server(QUICK)
    assert {*server.rooms.by_id[LOBBY].members} == {*other.members}
    await until(lambda: not members_of_all(server))


async def test_a_frozen_server_comes_back(
    pipeline: Pipeline, open_server: OpenServer, cert_dir: Path
) -> None:
    """A server that was taken for dead, and is not, closes its members with 1013: come back (line 27)."""
    server = await open_server(STEADY)
    watcher = await server.join(LOBBY, "Watcher", None)
    async with child(pipeline, cert_dir, members=2, interval=STEADY.beat_interval) as other:
        await receive(watcher, 2)
        other.send(signal.SIGSTOP)
        assert {frame["memberId"] for frame in await receive(watcher, 2)} == {*other.members}
        other.send(signal.SIGCONT)
        assert [await other.line(), await other.line()] == ["closed 1013", "closed 1013"]
        assert other.process.stdin is not None
        other.process.stdin.close()
        assert await other.process.wait() == 0
    assert [*server.rooms.by_id[LOBBY].members] == [watcher.id]


async def test_living_servers_leave_each_other_alone(open_server: OpenServer, pipeline: Pipeline) -> None:
    """Neither time nor a long outage makes a member of a living server leave (line 27)."""
    servers = [await open_server(QUICK) for _ in range(3)]
    members = [await server.join(LOBBY, "Ada", None) for server in servers]
    await pipeline.msgqueue.kill()
    # That nothing happens in this time is what is tested.
    await asyncio.sleep(2 * MISSED_BEATS * QUICK.beat_interval)
    position = servers[0].state.writer.position
    await pipeline.msgqueue.start()
    beats = 3 * len(servers) * MISSED_BEATS
    await until(lambda: all(server.state.writer.position >= position + beats for server in servers))
    for server in servers:
        assert {*server.rooms.by_id[LOBBY].members} == {member.id for member in members}
    assert not any(member.is_closed for member in members)


async def test_beats_only_where_they_are_needed(open_server: OpenServer) -> None:
    """Without members there are no beats, nor on a server that is alone; otherwise there are (line 29)."""
    server = await open_server(QUICK)
    ada = await server.join(LOBBY, "Ada", None)
    await asyncio.sleep(3 * QUICK.beat_interval)  # that nothing happens in this time is what is tested
    assert server.state.writer.position == ada.joined
    other = await open_server(QUICK)
    await until(lambda: server.state.writer.position > ada.joined + 4)
    server.leave(ada)
    await until(lambda: not members_of_all(other))
    position = 0
    async with asyncio.timeout(DEADLINE):
        while server.state.writer.position != position:  # by a beat that was on its way
            position = server.state.writer.position
            await asyncio.sleep(3 * QUICK.beat_interval)


async def test_leaving_while_the_pipeline_is_away(open_server: OpenServer, pipeline: Pipeline) -> None:
    """A leave during an outage is written after it (line 23)."""
    server, other = await open_server(), await open_server()
    watcher = await other.join(LOBBY, "Bob", None)
    ada = await server.join(LOBBY, "Ada", None)
    await receive(watcher, 1)
    await pipeline.publisher.kill()
    server.leave(ada)
    assert ada.id in server.rooms.by_id[LOBBY].members
    await pipeline.publisher.start()
    assert brief(await receive(watcher, 1)) == [("left", "Ada", "")]
    await until(lambda: not server.state.presence.state.own)


async def test_a_failed_message_is_never_delivered(open_server: OpenServer, pipeline: Pipeline) -> None:
    """A message that could not be stored in time fails, and is never delivered (line 25)."""
    server = await open_server()
    ada, bob = await server.join(LOBBY, "Ada", None), await server.join(LOBBY, "Bob", None)
    await receive(ada, 1)
    await pipeline.publisher.kill()
    server.state.writer.timeout = 0.3
    await until(lambda: server.lifecycle.connection_problem is not None)
    with pytest.raises(Unavailable, match="not be stored in time"):
        await server.say(ada, "lost")
    with pytest.raises(Unavailable):
        await server.make_room("a", None, ADMIN)
    with pytest.raises(Unavailable):
        await server.join(LOBBY, "Eve", None)
    assert await server.lifecycle.problem() is not None
    await pipeline.publisher.start()
    await until(lambda: server.lifecycle.connection_problem is None)
    server.state.writer.timeout = DEADLINE
    await server.say(ada, "found")
    assert brief(await receive(bob, 1)) == [("chat", "Ada", "found")]
    assert said(await server.messages(LOBBY, limit=100)) == ["found"]
    assert {*server.rooms.by_id[LOBBY].members} == {ada.id, bob.id}
    assert [*server.rooms.by_id] == [LOBBY]
    async with asyncio.timeout(DEADLINE):
        while await server.lifecycle.problem() is not None:
            await asyncio.sleep(0.05)


async def test_a_late_ack_does_not_duplicate_a_message(open_server: OpenServer, pipeline: Pipeline) -> None:
    """A message whose ack came too late, sent again with its key, is stored once (line 25)."""
    server = await open_server()
    ada = await server.join(LOBBY, "Ada", None)
    await pipeline.msgqueue.kill()
    server.state.writer.timeout = 0.3
    with pytest.raises(Unavailable):
        await server.say(ada, "once", "k1")
    await pipeline.msgqueue.start()
    server.state.writer.timeout = DEADLINE
    seq = (await server.say(ada, "once", "k1")).seq
    (frame,) = await receive(ada, 1)
    assert (frame["message"], frame["seq"]) == ("once", seq)
    assert said(await server.messages(LOBBY, limit=100)) == ["once"]


async def test_reading_while_the_pipeline_is_away(open_server: OpenServer, pipeline: Pipeline) -> None:
    """Without the subscriber service the log cannot be read, and health says so (line 30)."""
    server = await open_server()
    await pipeline.subscriber.kill()
    with pytest.raises(Unavailable, match="cannot be read"):
        await server.messages(LOBBY, limit=1)
    assert await server.lifecycle.problem() is not None
    await pipeline.subscriber.start()
    await until(lambda: server.lifecycle.connection_problem is None)
    assert await server.messages(LOBBY, limit=1) == []


async def test_everything_is_killed_under_members(open_server: OpenServer, pipeline: Pipeline) -> None:
    """Members stay through a restart of the whole pipeline, and miss nothing (line 25)."""
    server = await open_server()
    ada, bob = await server.join(LOBBY, "Ada", None), await server.join(LOBBY, "Bob", None)
    sending = [asyncio.create_task(server.say(ada, str(n), str(n))) for n in range(200)]
    await until(lambda: server.rooms.by_id[LOBBY].count > 10)
    for service in pipeline.services:
        await service.kill()
    for service in pipeline.services:
        await service.start()
    acks = [ack.seq for ack in await asyncio.gather(*sending)]
    frames = await receive(bob, 200)
    assert {frame["seq"] for frame in frames} == {*acks}
    assert sorted(int(frame["message"]) for frame in frames) == [*range(200)]


async def test_another_log(open_server: OpenServer, pipeline: Pipeline, tmp_path: Path) -> None:
    """Where the log has been replaced, a server starts over, and closes its members with 1013."""
    server = await open_server(Tuning(retry_delay=0.1))
    await server.make_room("a", None, ADMIN)
    ada = await server.join("a", "Ada", None)
    key = server.rooms.by_id[LOBBY].key
    for service in pipeline.services:
        await service.kill()
    (tmp_path / "data").rename(tmp_path / "old")
    for service in pipeline.services:
        await service.start()
    assert (await end_of(ada)).code == 1013
    await until(lambda: server.lifecycle.is_ready)
    assert [*server.rooms.by_id] == [LOBBY]
    assert server.rooms.by_id[LOBBY].key != key
    again = await server.join(LOBBY, "Ada", None)
    await server.say(again, "hi")
    assert said(await server.messages(LOBBY, limit=10)) == ["hi"]
