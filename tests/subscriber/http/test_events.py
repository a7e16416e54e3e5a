"""Server-sent events between real clients and a stub of msgqueue."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fanline.errors import CloseCode
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, receive_objects, until
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE
from tests.subscriber.event_reader import Event, EventReader

Listen = Callable[..., Coroutine[Any, Any, EventReader]]

ONE, MANY = "/topics/t/events", "/events?topic=t&topic=u.*"


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubQueue]:
    """A stub of msgqueue whose log has the numbers 1 to 9 on ``t``, at these positions, and 10 on ``u.x``."""
    async with StubQueue(cert_dir) as stub:
        for n in range(1, 10):
            stub.store("t", n)
        stub.store("u.x", 10)
        yield stub


@pytest.fixture
async def subscriber(queue: StubQueue, start_service: StartService) -> Service:
    """A subscriber service that follows the stub."""
    service = await start_service(open_subscriber, queue_url=queue.url)
    await queue.until(lambda: queue.is_popped)
    return service


@pytest.fixture
async def listen(tls: ssl.SSLContext) -> AsyncIterator[Listen]:
    """Open streams; at the end they are closed."""
    readers: list[EventReader] = []

    async def open_one(service: Service, target: str, **how: Any) -> EventReader:
        readers.append(await EventReader.open(service.port, target, tls, **how))
        return readers[-1]

    yield open_one
    for reader in readers:
        reader.close()


async def test_messages_are_events(queue: StubQueue, subscriber: Service, listen: Listen) -> None:
    """A message is an event with its position as the id, and what fanline.v1 delivers as data (line 43)."""
    stream = await listen(subscriber, ONE)
    assert stream.status == 200
    for header in (
        "Content-Type: text/event-stream\r\n",
        "X-Accel-Buffering: no\r\n",
        "Cache-Control: no-store",
    ):
        assert header in stream.head
    opening = await stream.block()
    assert (opening.id, opening.data) == ("10", None)
    assert 0 <= (opening.retry or 0) <= 200
    await queue.publish(("t", {"n": "ä\n"}), ("other", 1), ("t", 2))
    assert await stream.block() == Event(
        data={"topic": "t", "content": {"n": "ä\n"}, "seq": 11, "time": 1_700_000_000_000}, id="11"
    )
    assert await stream.contents(1) == [2]


@pytest.mark.parametrize(
    ("target", "headers", "position", "expected"),
    [
        (ONE, {}, "10", []),
        (ONE + "?after=7", {}, "7", [8, 9]),
        (ONE + "?last=1", {}, "8", [9]),
        (ONE + "?last=1", {"Last-Event-ID": "6"}, "6", [7, 8, 9]),
        (ONE + "?after=0", {"Last-Event-ID": "10"}, "10", []),
        (ONE, {"Last-Event-ID": ""}, "10", []),
        (ONE, {"Last-Event-ID": "7-"}, "7", [8, 9]),
        (ONE, {"Last-Event-ID": "7-another"}, "0", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (ONE + "?after=7&epoch=another", {}, "0", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (ONE + "?latest=true", {}, "8", [9]),
        (ONE + "?latest=true", {"Last-Event-ID": "6"}, "6", [7, 8, 9]),
        ("/topics/%3E/events?latest=true", {}, "8", [9, 10]),
        ("/topics/%3E/events?after=8", {}, "8", [9, 10]),
        (MANY + "&after=8", {}, "8", [9, 10]),
        (MANY + "&last=1&topic=t", {}, "8", [9, 10]),
    ],
)
async def test_stream_begins_where_it_is_asked_to(
    queue: StubQueue,
    subscriber: Service,
    listen: Listen,
    target: str,
    headers: dict[str, str],
    position: str,
    expected: list[int],
) -> None:
    """Options are those of ``sub``; a browser's Last-Event-ID counts for more than they do (line 43)."""
    stream = await listen(subscriber, target, headers=headers)
    assert (await stream.block()).id == position
    await queue.publish(("t", 11))
    if "another" in repr((target, headers)):
        assert await stream.next() == Event("gap", {"from": 8, "to": 10})
    assert await stream.contents(len(expected) + 1) == [*expected, 11]


@pytest.mark.parametrize(
    ("target", "headers", "status", "code"),
    [
        (ONE, {"Last-Event-ID": "-1"}, 400, "bad-position"),
        (ONE, {"Last-Event-ID": "abc"}, 400, "bad-position"),
        (ONE, {"Last-Event-ID": "99"}, 400, "bad-position"),
        (ONE + "?after=99", {}, 400, "bad-position"),
        (ONE + "?after=", {}, 400, "bad-position"),
        (ONE + "?after=1&last=1", {}, 400, "bad-command"),
        (ONE + "?after=1&latest=true", {}, 400, "bad-command"),
        (ONE + "?latest=1", {}, 400, "bad-command"),
        (ONE + "?limit=1", {}, 400, "bad-command"),
        ("/events", {}, 400, "bad-command"),
        ("/events?topic=a%20b", {}, 400, "bad-topic"),
        ("/topics/a%00b/events", {}, 400, "bad-topic"),
        ("/events?topic=%ff", {}, 400, "bad-request"),
        ("/topics//events", {}, 400, "bad-topic"),
        ("/events?" + "&".join(f"topic={n}" for n in range(4)), {}, 400, "too-many-subscriptions"),
        (ONE, {"Authorization": "Basic eDp5"}, 401, "unauthorized"),
        (ONE, {"Origin": "https://elsewhere.example"}, 403, "foreign-origin"),
    ],
)
async def test_bad_request_is_refused(
    queue: StubQueue,
    start_service: StartService,
    listen: Listen,
    target: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """A stream that cannot be had is refused before it begins, with a problem (promise 7)."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, max_subscriptions=3)
    stream = await listen(subscriber, target, headers=headers | {"Connection": "close"})
    problem = json.loads(await stream.rest())
    assert (stream.status, problem["code"]) == (status, code)
    assert not subscriber.connections.per_user


async def test_rights_and_tokens(
    queue: StubQueue, start_service: StartService, listen: Listen, tmp_path: Path
) -> None:
    """Rights are those of ``/subscribe``; a browser's token may be in the query (lines 43 and 44)."""
    users = UsersFile(tmp_path / "users")
    users.put(User("hello", subscribe=("t",)), "test", cost=4)
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    token = key.issue(Claims.new("page", lifetime=600, subscribe=("u.*",)), PIPELINE)
    subscriber = await start_service(open_subscriber, queue_url=queue.url, users_file=users.path)
    assert (await listen(subscriber, ONE)).status == 200
    assert (await listen(subscriber, MANY)).status == 403
    assert (await listen(subscriber, f"{ONE}?token={token}")).status == 403
    stream = await listen(subscriber, f"/topics/u.x/events?token={token}&last=1")
    assert await stream.contents(1) == [10]
    assert subscriber.connections.per_user == {"hello": 1, "page": 1}


async def test_page_of_an_allowed_origin(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """A page elsewhere may read a stream if its origin is allowed."""
    origin = "https://pages.example.org"
    subscriber = await start_service(open_subscriber, queue_url=queue.url, allowed_origins=[origin])
    stream = await listen(subscriber, ONE, headers={"Origin": origin})
    assert stream.status == 200
    assert f"Access-Control-Allow-Origin: {origin}\r\n" in stream.head


async def test_streams_and_websockets_get_the_same(
    queue: StubQueue, subscriber: Service, listen: Listen, dial: Dial
) -> None:
    """A stream and a WebSocket get the same messages, in the same order (line 44)."""
    client = await dial(subscriber, "/subscribe")
    await client.send('[{"sub":"t","after":0},{"sub":"u.*","after":0}]')
    stream = await listen(subscriber, MANY + "&after=0")
    for n in range(11, 50):
        await queue.publish((("t", "u.y", "v")[n % 3], n))
    frames = [frame for frame in await receive_objects(client, 38) if "seq" in frame and "topic" in frame]
    assert [(await stream.next()).data for _ in frames] == frames
    assert len(frames) == 36


async def test_json_over_several_lines(queue: StubQueue, subscriber: Service, listen: Listen) -> None:
    """Line breaks between the values of a content do not break the event."""
    stream = await listen(subscriber, ONE)
    record = queue.store("t", 0)
    body = record.body.replace(b'"content":0', b'"content":{\r\n "a":\n\n 1}\r')
    for connection in queue.followers:
        await connection.send(b"[" + body + b"]", text=True)
    assert await stream.contents(1) == [{"a": 1}]


async def test_gap_is_an_event(queue: StubQueue, subscriber: Service, listen: Listen) -> None:
    """Positions that retention has removed are named before what remains (promise 4)."""
    queue.floor = 5
    stream = await listen(subscriber, ONE + "?after=2")
    assert (await stream.block()).id == "2"
    assert await stream.next() == Event("gap", {"from": 3, "to": 5})
    assert await stream.contents(4) == [6, 7, 8, 9]


async def test_silent_stream_has_a_heartbeat(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """A stream without messages has a comment now and then, so that proxies keep it."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, event_heartbeat=0.1)
    stream = await listen(subscriber, ONE)
    await stream.block()
    assert (await stream.block()).is_comment


async def test_stop_sets_when_to_return(queue: StubQueue, subscriber: Service, listen: Listen) -> None:
    """A stop writes when to come back and why, and then ends the stream (promise 8)."""
    stream = await listen(subscriber, ONE)
    await stream.block()
    await queue.publish(("t", 11))
    assert await stream.contents(1) == [11]
    await subscriber.stop()
    end = await stream.next()
    assert (end.name, end.data["code"]) == ("end", 1001)
    assert 0 <= (end.retry if end.retry is not None else -1) <= 200
    assert await stream.rest() == b""


async def test_slow_stream_loses_nothing(queue: StubQueue, subscriber: Service, listen: Listen) -> None:
    """A reader that falls behind delays no other, and gets everything, in order (promise 5)."""
    slow = await listen(subscriber, ONE)
    slow.freeze()
    fast = await listen(subscriber, ONE)
    big = "x" * 100_000
    for n in range(100):
        await queue.publish(("t", [n, big]))
        assert (await fast.contents(1))[0][0] == n
    await until(lambda: any(channel.write_buffer_size for channel in subscriber.connections))
    slow.thaw()
    assert [content[0] for content in await slow.contents(100)] == list(range(100))


async def test_stream_that_is_never_read_is_cut(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """A reader that takes nothing for the silence limit is cut, and memory for it is bounded (promise 5)."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url, silence_limit=1, drain_timeout=1)
    await queue.until(lambda: queue.is_popped)
    stream = await listen(subscriber, ONE)
    stream.freeze()
    for _ in range(200):
        await queue.publish(("t", "x" * 100_000))
    await until(lambda: not len(subscriber.connections))


async def test_stream_ends_with_its_token(
    queue: StubQueue, start_service: StartService, listen: Listen, tmp_path: Path
) -> None:
    """When a token expires its stream ends with 4001 (line 44)."""
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    token = key.issue(Claims.new("page", lifetime=600, subscribe=("t",)), PIPELINE)
    now = time.time()
    subscriber = await start_service(open_subscriber, queue_url=queue.url, wall_clock=lambda: now)
    stream = await listen(subscriber, f"{ONE}?token={token}")
    other = await listen(subscriber, ONE)
    now += 700
    end = await stream.next()
    assert (end.name, end.data["code"]) == ("end", 4001)
    await queue.publish(("t", 11))
    assert await other.contents(1) == [11]


async def test_queue_away_is_503_or_a_stream_that_ends(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """While msgqueue is away a program gets 503; an EventSource an answer after which it comes back."""
    await queue.stop()
    subscriber = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    stream = await listen(subscriber, ONE)
    assert stream.status == 503
    assert "retry-after: " in stream.head
    patient = await listen(subscriber, ONE, headers={"Accept": "text/event-stream", "Connection": "close"})
    assert patient.status == 200
    assert 1_000 <= ((await patient.block()).retry or 0) <= 5_000
    assert await patient.rest() == b""


async def ask_early(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> tuple[Service, asyncio.Task[EventReader]]:
    """Ask for a stream while msgqueue is away; return the service, and the stream that waits."""
    await queue.stop()
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    opening = asyncio.create_task(listen(subscriber, ONE + "?after=8"))
    await until(lambda: bool(len(subscriber.connections)))
    return subscriber, opening


async def test_stream_waits_for_the_queue(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """A stream that is asked for while the service starts begins when the end of the log is known."""
    _, opening = await ask_early(queue, start_service, listen)
    await queue.start()
    async with asyncio.timeout(DEADLINE):
        assert await (await opening).contents(1) == [9]


async def test_stream_that_is_cut_before_it_begins_ends(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """A user who is disconnected, or whose token is revoked, while a stream waits does not keep it."""
    subscriber, opening = await ask_early(queue, start_service, listen)
    subscriber.connections.check_logins(lambda _: (CloseCode.LOGGED_OUT, "disconnected by an operator"))
    await queue.start()
    async with asyncio.timeout(DEADLINE):
        stream = await opening
        end = await stream.next()
    assert (end.name, end.data["code"]) == ("end", 4001)
    assert await stream.rest() == b""


async def test_client_that_leaves_is_forgotten(
    queue: StubQueue, start_service: StartService, listen: Listen
) -> None:
    """Streams whose clients leave, after they begin or before, leave nothing behind."""
    subscriber = await start_service(open_subscriber, queue_url=queue.url)
    stream = await listen(subscriber, ONE)
    assert subscriber.connections.per_user == {"hello": 1}
    stream.close()
    await until(lambda: not len(subscriber.connections))
    impatient = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.5)
    queue.is_mute = True
    early = asyncio.create_task(listen(impatient, ONE + "?after=3"))
    await queue.until(lambda: bool(queue.reads))
    early.cancel()
    await until(lambda: not len(impatient.connections))
    assert not impatient.connections.per_user


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
async def test_other_methods(subscriber: Service, tls: ssl.SSLContext, method: str) -> None:
    """HEAD is answered with the headers alone, OPTIONS with what is possible."""
    reader, writer = await asyncio.open_connection("localhost", subscriber.port, ssl=tls)
    login = "Authorization: Basic aGVsbG86dGVzdA==\r\nConnection: close\r\nContent-Length: 0\r\n"
    writer.write(f"{method} {ONE} HTTP/1.1\r\nHost: localhost\r\n{login}\r\n".encode())
    async with asyncio.timeout(DEADLINE):
        answer = (await reader.read()).decode()
    writer.close()
    status, expected = {
        "HEAD": (200, "text/event-stream"),
        "OPTIONS": (204, "GET, HEAD, OPTIONS"),
        "POST": (405, "GET, HEAD, OPTIONS"),
    }[method]
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert expected in answer
    assert (method == "POST") == ("\r\n\r\n{" in answer)
