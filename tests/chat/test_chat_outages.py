"""Servers that die or freeze, and a pipeline that goes away and comes back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chat.domain import server_liveness as presence
from chat.domain.errors import Unavailable
from chat.domain.state import LOBBY
from chat.service import pipeline as uplink_module
from chat.service.house import House
from fanline.settings import Settings
from tests.chat.houses import brief, end_of, receive, said
from tests.conftest import until
from tests.processes import Pipeline

OpenHouse = Callable[..., Awaitable[House]]

CHILD = Path(__file__).with_name("house_child.py")
ROOT = CHILD.parent.parent.parent


@pytest.fixture
async def pipeline(tmp_path: Path, cert_dir: Path) -> AsyncIterator[Pipeline]:
    """A pipeline whose services are processes."""
    async with Pipeline(tmp_path, cert_dir) as running:
        yield running


@pytest.fixture
async def open_house(pipeline: Pipeline, make_settings: Callable[..., Settings]) -> AsyncIterator[OpenHouse]:
    """Open houses on the pipeline, and wait until they are ready."""
    async with AsyncExitStack() as opened:

        async def open_one(**changes: Any) -> House:
            usual = {"publisher_url": pipeline.publisher.url, "subscriber_url": pipeline.subscriber.url}
            house = await opened.enter_async_context(House(make_settings(**(usual | changes))))
            await until(lambda: house.ready)
            return house

        yield open_one


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let the houses in this process beat often, and return how often."""
    monkeypatch.setattr(presence, "INTERVAL", 0.2)
    return 0.2


class Child:
    """Another chat server, with members.

    Attributes:
        process: The process.
        members: The ids of its members.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
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
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        str(members),
        str(interval),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
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


async def test_a_killed_server_is_noticed_in_time(
    pipeline: Pipeline, open_house: OpenHouse, cert_dir: Path
) -> None:
    """The members of a server that is killed are shown as left within 15 seconds, once each (line 27)."""
    houses = [await open_house(), await open_house()]
    watchers = [await house.join(LOBBY, "Watcher", None) for house in houses]
    async with child(pipeline, cert_dir, members=3, interval=presence.INTERVAL) as other:
        await receive(watchers[0], 4)
        await receive(watchers[1], 3)
        other.send(signal.SIGKILL)
        async with asyncio.timeout(15):
            for watcher in watchers:
                frames = await receive(watcher, 3)
                assert {frame["memberId"] for frame in frames} == {*other.members}
                assert {frame["type"] for frame in frames} == {"left"}
    for house in houses:
        assert {*house.state.rooms[LOBBY].members} == {watcher.id for watcher in watchers}
    entries = await houses[0].messages(LOBBY, limit=100)
    assert [entry.type for entry in entries].count("left") == 3


@pytest.mark.usefixtures("quick_beats")
async def test_its_successor_notices(pipeline: Pipeline, open_house: OpenHouse, cert_dir: Path) -> None:
    """Where the server that was killed was the only one, the next one has its members leave (line 27)."""
    async with child(pipeline, cert_dir, members=3, interval=0.1) as other:
        other.send(signal.SIGKILL)
        await other.process.wait()
    house = await open_house()
    assert {*house.state.rooms[LOBBY].members} == {*other.members}
    await until(lambda: not house.state.population)
    assert not house._farewells


async def test_a_frozen_server_comes_back(
    pipeline: Pipeline, open_house: OpenHouse, cert_dir: Path, quick_beats: float
) -> None:
    """A server that was taken for dead, and is not, closes its members with 1013: come back (line 27)."""
    house = await open_house()
    watcher = await house.join(LOBBY, "Watcher", None)
    async with child(pipeline, cert_dir, members=2, interval=quick_beats / 3) as other:
        await receive(watcher, 2)
        other.send(signal.SIGSTOP)
        assert {frame["memberId"] for frame in await receive(watcher, 2)} == {*other.members}
        other.send(signal.SIGCONT)
        assert [await other.line(), await other.line()] == ["closed 1013", "closed 1013"]
        assert other.process.stdin is not None
        other.process.stdin.close()
        assert await other.process.wait() == 0
    assert [*house.state.rooms[LOBBY].members] == [watcher.id]


async def test_living_servers_leave_each_other_alone(
    open_house: OpenHouse, pipeline: Pipeline, quick_beats: float
) -> None:
    """Neither time nor an outage that is longer than death takes makes anybody leave (line 27)."""
    houses = [await open_house(), await open_house(), await open_house()]
    members = [await house.join(LOBBY, "Ada", None) for house in houses]
    await pipeline.msgqueue.kill()
    position = houses[0]._journal.position
    await asyncio.sleep(
        2 * presence.PATIENCE * quick_beats
    )  # that nothing happens in this time is what is tested
    assert houses[0]._journal.position == position
    await pipeline.msgqueue.start()
    beats = 3 * len(houses) * presence.PATIENCE
    await until(lambda: all(house._journal.position >= position + beats for house in houses))
    for house in houses:
        assert {*house.state.rooms[LOBBY].members} == {member.id for member in members}
    assert not any(member.is_closed for member in members)


async def test_beats_only_where_they_are_needed(open_house: OpenHouse, quick_beats: float) -> None:
    """Without members there are no beats, nor on a server that is alone; otherwise there are (line 29)."""
    house = await open_house()
    ada = await house.join(LOBBY, "Ada", None)
    await asyncio.sleep(3 * quick_beats)  # that nothing happens in this time is what is tested
    assert house._journal.position == ada.joined
    other = await open_house()
    await until(lambda: house._journal.position > ada.joined + 4)
    await house.leave(ada)
    await until(lambda: not other.state.population)
    await asyncio.sleep(quick_beats)  # for a beat that was on its way
    position = house._journal.position
    await asyncio.sleep(3 * quick_beats)
    assert house._journal.position == position


async def test_leaving_while_the_pipeline_is_away(open_house: OpenHouse, pipeline: Pipeline) -> None:
    """That somebody left while nothing could be written is written once that is possible (line 23)."""
    house, other = await open_house(), await open_house()
    watcher = await other.join(LOBBY, "Bob", None)
    ada = await house.join(LOBBY, "Ada", None)
    await receive(watcher, 1)
    await pipeline.publisher.kill()
    await house.leave(ada)
    assert ada.id in house.state.rooms[LOBBY].members
    await pipeline.publisher.start()
    assert brief(await receive(watcher, 1)) == [("left", "Ada", "")]
    await until(lambda: not house._farewells)


async def test_what_never_got_out_is_never_seen(open_house: OpenHouse, pipeline: Pipeline) -> None:
    """What could not be stored in time fails, and nobody sees it, also not later (line 25)."""
    house = await open_house(queue_wait=0.3)
    ada, bob = await house.join(LOBBY, "Ada", None), await house.join(LOBBY, "Bob", None)
    await receive(ada, 1)
    await pipeline.publisher.kill()
    await until(lambda: house._uplink.problem is not None)
    with pytest.raises(Unavailable, match="not be stored in time"):
        await house.say(ada, "lost")
    with pytest.raises(Unavailable):
        await house.make_room("a", None, "ada")
    with pytest.raises(Unavailable):
        await house.join(LOBBY, "Eve", None)
    assert await house.problem() is not None
    await pipeline.publisher.start()
    await until(lambda: house._uplink.problem is None)
    await house.say(ada, "found")
    assert brief(await receive(bob, 1)) == [("chat", "Ada", "found")]
    assert said(await house.messages(LOBBY, limit=100)) == ["found"]
    assert {*house.state.rooms[LOBBY].members} == {ada.id, bob.id}
    assert [*house.state.rooms] == [LOBBY]
    assert await house.problem() is None


async def test_what_was_on_its_way_is_not_doubled(open_house: OpenHouse, pipeline: Pipeline) -> None:
    """What failed because its ack came too late, and is said again with its key, is there once (line 25)."""
    house = await open_house(queue_wait=0.3)
    ada = await house.join(LOBBY, "Ada", None)
    await pipeline.msgqueue.kill()
    with pytest.raises(Unavailable):
        await house.say(ada, "once", "k1")
    await pipeline.msgqueue.start()

    async def insist() -> int:
        while True:
            try:
                return (await house.say(ada, "once", "k1")).seq
            except Unavailable:
                pass

    async with asyncio.timeout(20):
        seq = await insist()
    (frame,) = await receive(ada, 1)
    assert (frame["message"], frame["seq"]) == ("once", seq)
    assert said(await house.messages(LOBBY, limit=100)) == ["once"]


async def test_reading_while_the_pipeline_is_away(open_house: OpenHouse, pipeline: Pipeline) -> None:
    """Without the subscriber service the log cannot be read, and health says so (line 30)."""
    house = await open_house()
    await pipeline.subscriber.kill()
    with pytest.raises(Unavailable, match="cannot be read"):
        await house.messages(LOBBY, limit=1)
    assert await house.problem() is not None
    await pipeline.subscriber.start()
    await until(lambda: house._uplink.problem is None)
    assert await house.messages(LOBBY, limit=1) == []


async def test_everything_is_killed_under_members(open_house: OpenHouse, pipeline: Pipeline) -> None:
    """Members stay through a restart of the whole pipeline, and miss nothing (line 25)."""
    house = await open_house()
    ada, bob = await house.join(LOBBY, "Ada", None), await house.join(LOBBY, "Bob", None)
    sending = [asyncio.create_task(house.say(ada, str(n), str(n))) for n in range(200)]
    await until(lambda: house.state.rooms[LOBBY].count > 10)
    for service in pipeline.services:
        await service.kill()
    for service in pipeline.services:
        await service.start()
    acks = [ack.seq for ack in await asyncio.gather(*sending)]
    frames = await receive(bob, 200)
    assert {frame["seq"] for frame in frames} == {*acks}
    assert sorted(int(frame["message"]) for frame in frames) == [*range(200)]


async def test_another_log(
    open_house: OpenHouse, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log has been replaced, a server starts over, and closes its members with 1013."""
    monkeypatch.setattr(uplink_module, "REFUSED_DELAY", 0.1)
    house = await open_house()
    await house.make_room("a", None, "ada")
    ada = await house.join("a", "Ada", None)
    key = house.state.rooms[LOBBY].key
    for service in pipeline.services:
        await service.kill()
    (tmp_path / "data").rename(tmp_path / "old")
    for service in pipeline.services:
        await service.start()
    assert (await end_of(ada)).code == 1013
    await until(lambda: house.ready)
    assert [*house.state.rooms] == [LOBBY]
    assert house.state.rooms[LOBBY].key != key
    again = await house.join(LOBBY, "Ada", None)
    await house.say(again, "hi")
    assert said(await house.messages(LOBBY, limit=10)) == ["hi"]
