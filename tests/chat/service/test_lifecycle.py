"""Starting, working and stopping, on a pipeline in this process."""

import pytest

from chat.domain.errors import Unavailable
from chat.domain.events import SERVERS, Beat
from chat.domain.rooms import LOBBY
from chat.domain.sentences import AWAY
from chat.service.chat_service import Tuning
from msgqueue.app import open_msgqueue
from tests.chat.conftest import NewServer, OpenServer, Services
from tests.chat.frames import ADMIN, end_of, receive, say_all
from tests.conftest import StartService, until


async def test_a_later_server_knows_everything(open_server: OpenServer) -> None:
    """Rooms, members, counts and pages are rebuilt from the log (line 27)."""
    server = await open_server()
    await server.make_room("a", "A", ADMIN)
    await server.make_room("b", "B", ADMIN)
    await server.delete_room("b", ADMIN)
    ada = await server.join("a", "Ada", None)
    await say_all(server, ada, [str(n) for n in range(201)])
    later = await open_server()
    one, other = server.rooms.by_id["a"], later.rooms.by_id["a"]
    assert [*later.rooms.by_id] == [*server.rooms.by_id]
    for field in ("name", "key", "made", "count", "last", "members", "starts"):
        assert getattr(other, field) == getattr(one, field)
    assert (await later.page("a", 3))["messages"][0]["message"] == "200"


async def test_a_stop_is_clean(open_server: OpenServer) -> None:
    """A stopping server closes all clients with 1001; the others see the leaves at once (line 27)."""
    server, other = await open_server(), await open_server()
    bob = await other.join(LOBBY, "Bob", None)
    members = [await server.join(LOBBY, "Ada", None) for _ in range(3)]
    watcher = server.watch(None)
    await receive(bob, 3)
    await server.lifecycle.drain()
    assert not server.state.presence.state.own
    assert server.rooms.by_id[LOBBY].members.keys() == {bob.id}
    assert [(await end_of(each)).code for each in (*members, watcher)] == [1001] * 4
    assert [frame["type"] for frame in await receive(bob, 3)] == ["left"] * 3
    for attempt in (server.join(LOBBY, "Ada", None), server.make_room("a", None, ADMIN)):
        with pytest.raises(Unavailable, match="stops"):
            await attempt
    with pytest.raises(Unavailable, match="stops"):
        server.watch(None)


async def test_writes_fail_after_the_end(new_server: NewServer) -> None:
    """A server that has stopped has no connection, and says so."""
    server = new_server()
    async with server.running():
        await until(lambda: server.lifecycle.is_ready)
    with pytest.raises(Unavailable, match="no connection"):
        await server.state.writer.write(SERVERS, Beat(server.state.presence.server))


async def test_nothing_is_done_before_the_log_is_read(open_server: OpenServer) -> None:
    """A server that does not know yet what there is says so."""
    server = await open_server(ready=False)
    assert not server.lifecycle.is_ready
    assert await server.lifecycle.problem()
    with pytest.raises(Unavailable, match="is starting"):
        await server.make_room("a", None, ADMIN)
    with pytest.raises(Unavailable, match="is starting"):
        server.watch(None)
    await until(lambda: server.lifecycle.is_ready)
    assert await server.lifecycle.problem() is None


async def test_a_defect_is_told(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that cannot go on is not healthy, and says why in its log."""
    server = await open_server(queue_wait=0.3)

    def fail(logged: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server.rooms, "apply", fail)
    with pytest.raises(Unavailable):
        await server.make_room("a", None, ADMIN)
    await until(lambda: "chat has failed" in caplog.text)
    problem = await server.lifecycle.problem()
    assert problem is not None
    assert "restarted" in problem
    assert "ZeroDivisionError" in caplog.text


async def test_the_feed_is_told_that_the_pipeline_is_away(
    open_server: OpenServer, services: Services, start_service: StartService
) -> None:
    """With msgqueue away the feed is told so, and joins are refused at once; and that it is back."""
    server = await open_server(tuning=Tuning(check_interval=0.05))
    watcher = server.watch(None)
    await receive(watcher, 1)
    server.lifecycle.require_available()
    port = services.msgqueue.port
    await services.msgqueue.stop()
    assert await receive(watcher, 1) == [{"pipeline": "away", "reason": AWAY.text}]
    with pytest.raises(Unavailable, match="out of reach"):
        server.lifecycle.require_available()
    await start_service(open_msgqueue, msgqueue_port=port)
    assert await receive(watcher, 1) == [{"pipeline": "ok"}]
    server.lifecycle.require_available()
