"""Reading the log with the public client: a subscriber service over a stub of msgqueue, and its absence."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

import certs
from fanline.client import Gap, History, HistoryPage, check_ready
from fanline.errors import Closed, ConfigurationError, Disconnected, LoginRefused, Rejected
from fanline.security.client_tls import client_context
from fanline.security.users import User, UsersFile
from fanline.server import App, Service, metrics
from subscriber.app import open_subscriber
from subscriber.settings import SubscriberSettings
from tests.conftest import StartService, until
from tests.stub_queue import StubQueue
from tests.stubs import PASSWORD, USER

MakeHistory = Callable[..., History]


@pytest.fixture
async def queue(cert_dir: Path) -> AsyncIterator[StubQueue]:
    """A stub of msgqueue whose log has 25 messages on ``t``, at the odd positions up to 49."""
    async with StubQueue(cert_dir) as stub:
        for n in range(1, 51):
            stub.store("t" if n % 2 else "other", n)
        yield stub


@pytest.fixture
async def subscriber(queue: StubQueue, start_service: StartService) -> Service:
    """A subscriber service that reads from the stub."""
    return await start_service(open_subscriber, queue_url=queue.url)


@pytest.fixture
def make_history(subscriber: Service, tls: ssl.SSLContext) -> MakeHistory:
    """Make a client of that service."""

    def make(**how: object) -> History:
        usual: dict[str, object] = {"user": USER, "password": PASSWORD, "tls": tls, "url": url(subscriber)}
        return History(**(usual | how))  # type: ignore[arg-type]

    return make


def url(service: Service) -> str:
    return f"wss://localhost:{service.port}"


def contents(page: HistoryPage) -> list[object]:
    return [message.value() for message in page.messages]


async def test_pages(make_history: MakeHistory) -> None:
    """The newest messages, those before and those after a position come in the order of the log."""
    async with make_history() as history:
        assert contents(await history.page("t")) == list(range(1, 50, 2))
        assert contents(await history.page("t", limit=2)) == [47, 49]
        assert contents(await history.page("t", last=3)) == [45, 47, 49]
        assert contents(await history.page("t", before=47, limit=3)) == [41, 43, 45]
        assert contents(await history.page("t", after=20, limit=2)) == [21, 23]
        assert contents(await history.page("t", after=49)) == []


async def test_a_message_is_what_a_subscriber_gets(make_history: MakeHistory) -> None:
    """A message of a page has all that a delivered one has."""
    async with make_history() as history:
        (message,) = (await history.page("t", last=1)).messages
    assert (message.topic, bytes(message.content), message.seq) == ("t", b"49", 49)
    assert message.time == 1_700_000_000_000


async def test_names_and_patterns(make_history: MakeHistory, queue: StubQueue) -> None:
    """Any topic can be asked for, however it is spelled, and so can a pattern."""
    for topic in ("größe.m", "a/b?c=d&e#f%20", "x.y"):
        queue.store(topic, topic)
    async with make_history() as history:
        assert contents(await history.page("größe.*")) == ["größe.m"]
        assert contents(await history.page("a/b?c=d&e#f%20")) == ["a/b?c=d&e#f%20"]
        assert contents(await history.page("x.>")) == ["x.y"]


async def test_a_gap_is_told(make_history: MakeHistory, queue: StubQueue) -> None:
    """Positions removed by retention are named, as for a subscriber."""
    queue.floor = 30
    async with make_history() as history:
        page = await history.page("t", after=9, limit=2)
        assert (contents(page), page.gap) == ([31, 33], Gap("t", 10, 30))
        assert (await history.page("t", after=30, limit=1)).gap is None


async def test_a_position_of_another_log_is_told(make_history: MakeHistory, queue: StubQueue) -> None:
    """A page after a position of a log that was replaced is the first one of the new log (line 51)."""
    queue.epoch = "e2"
    async with make_history() as history:
        page = await history.page("t", after=9, limit=2, epoch="e1")
        assert (contents(page), page.gap, page.epoch) == ([1, 3], Gap("t", is_new_log=True), "e2")
        page = await history.page("t", after=9, limit=2, epoch="e2")
        assert (contents(page), page.gap) == ([11, 13], None)


async def test_many_at_once(make_history: MakeHistory) -> None:
    """Any number of tasks may read at once; each gets its own page."""
    async with make_history() as history:
        pages = await asyncio.gather(*(history.page("t", after=n, limit=1) for n in range(0, 50, 2)))
    assert [contents(page) for page in pages] == [[n] for n in range(1, 50, 2)]


@pytest.mark.parametrize(
    ("topic", "parameters", "code"),
    [
        ("a b", {}, "bad-topic"),
        ("..", {}, "bad-topic"),
        ("", {}, "bad-topic"),
        ("t", {"limit": 0}, "bad-position"),
        ("t", {"limit": 1_001}, "bad-position"),
        ("t", {"after": -1}, "bad-position"),
        ("t", {"after": 1, "before": 2}, "bad-command"),
    ],
)
async def test_a_wrong_request_is_rejected(
    make_history: MakeHistory, topic: str, parameters: dict[str, Any], code: str
) -> None:
    """A wrong request raises the refusal of the service, with its code; the next one is answered."""
    async with make_history() as history:
        with pytest.raises(Rejected) as rejected:
            await history.page(topic, **parameters)
        assert rejected.value.code == code
        assert contents(await history.page("t", last=1)) == [49]


async def test_rights(
    queue: StubQueue, start_service: StartService, make_history: MakeHistory, tmp_path: Path
) -> None:
    """A topic beyond the user's rights is rejected; a wrong password is refused, and not shown."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice", subscribe=("other",)), "secret", cost=4)
    service = await start_service(open_subscriber, queue_url=queue.url, users_file=users.path)
    async with make_history(url=url(service), user="alice", password="secret") as history:
        with pytest.raises(Rejected) as rejected:
            await history.page("t")
        assert rejected.value.code == "forbidden"
        assert contents(await history.page("other", last=1)) == [50]
    async with make_history(url=url(service), user="alice", password="my-guess") as history:
        with pytest.raises(LoginRefused, match="refuses user 'alice': wrong user") as refused:
            await history.page("t")
        assert "my-guess" not in str(refused.value)


async def test_the_queue_is_away(
    queue: StubQueue, start_service: StartService, make_history: MakeHistory
) -> None:
    """While the service cannot read the log, it says so."""
    service = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    await queue.stop()
    async with make_history(url=url(service)) as history:
        with pytest.raises(Rejected) as rejected:
            await history.page("t")
        assert rejected.value.code == "queue-unavailable"


async def test_a_service_that_hangs(
    make_history: MakeHistory, queue: StubQueue, start_service: StartService
) -> None:
    """A page takes no longer than it may."""
    queue.is_mute = True
    service = await start_service(open_subscriber, queue_url=queue.url, drain_timeout=0.2)
    async with make_history(url=url(service), timeout=0.2) as history:
        with pytest.raises(Disconnected, match=r"does not answer within 0\.2 s"):
            await history.page("t")


async def test_a_service_that_is_gone_and_comes_back(
    make_history: MakeHistory, subscriber: Service, queue: StubQueue, start_service: StartService
) -> None:
    """A service that cannot be reached is named, and asked again once it is there."""
    async with make_history() as history:
        assert contents(await history.page("t", last=1)) == [49]
        port = subscriber.port
        await subscriber.stop()
        with pytest.raises(Disconnected, match=f"wss://localhost:{port} cannot be reached"):
            await history.page("t")
        await start_service(open_subscriber, queue_url=queue.url, subscriber_port=port)
        assert contents(await history.page("t", last=1)) == [49]


async def test_a_service_of_another_authority(make_history: MakeHistory, tmp_path: Path) -> None:
    """A service whose certificate another CA has signed gets no password; the error says what to check."""
    certs.ensure(tmp_path)
    async with make_history(tls=client_context(tmp_path)) as history:
        with pytest.raises(ConfigurationError, match="its certificate cannot be trusted"):
            await history.page("t")


@asynccontextmanager
async def open_other(_: SubscriberSettings, response: Response) -> AsyncIterator[App]:
    """Run a service that is something else, or unwell."""

    async def show(_: Request) -> Response:
        return response

    async def drain() -> None:
        pass

    yield App(
        max_frame=1024,
        metrics=metrics.new_registry(),
        pages={"/topics/t/messages": show},
        readiness_problem=lambda: None,
        drain=drain,
    )


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (Response(b"<html>"), ConfigurationError, "does not answer as a subscriber"),
        (Response(b"nothing\nat all", 404), ConfigurationError, "HTTP 404, nothing$"),
        (Response(b"", 403), LoginRefused, "refuses user 'hello': HTTP 403$"),
        (Response(b"{}", 502), Disconnected, "cannot serve at present: HTTP 502"),
    ],
)
async def test_another_answer(
    start_service: StartService,
    make_history: MakeHistory,
    response: Response,
    error: type[Exception],
    words: str,
) -> None:
    """Whatever else answers, or stands in between, no foreign error comes through."""
    service = await start_service(partial(open_other, response=response))
    async with make_history(url=url(service)) as history:
        with pytest.raises(error, match=words):
            await history.page("t")


async def test_outside_of_its_block(make_history: MakeHistory) -> None:
    """Before it is entered and after it is left, it says how it is used."""
    history = make_history()
    with pytest.raises(Closed, match="enter it with `async with`"):
        await history.page("t")
    async with history:
        pass
    with pytest.raises(Closed):
        await history.page("t")


@pytest.mark.parametrize(
    "wrong", ["ws://localhost:8082", "localhost", "wss://", "wss://h:x", "wss://u:p@host"]
)
def test_a_url_that_is_none(tls: ssl.SSLContext, wrong: str) -> None:
    """Without TLS, without a host or with a login in it, a URL is refused, and the login not repeated."""
    with pytest.raises(ConfigurationError) as refused:
        History(wrong, user=USER, password=PASSWORD, tls=tls)
    assert "u:p" not in str(refused.value)


def test_a_user_name_with_a_colon(tls: ssl.SSLContext) -> None:
    """A name that no login can carry is refused as by the other clients."""
    with pytest.raises(ConfigurationError, match="cannot have a colon"):
        History(user="a:b", password=PASSWORD, tls=tls)


# Readiness


async def test_readiness(subscriber: Service, queue: StubQueue, tls: ssl.SSLContext) -> None:
    """A service says whether it is ready; why it is not, its users alone are told."""
    await until(lambda: subscriber.app.readiness_problem() is None)
    await check_ready(url(subscriber), tls=tls)
    await queue.stop()
    await until(lambda: subscriber.app.readiness_problem() is not None)
    with pytest.raises(Disconnected, match=f"{url(subscriber)} is not ready: HTTP 503, not ready"):
        await check_ready(url(subscriber), tls=tls)


async def test_readiness_without_a_service(subscriber: Service, tls: ssl.SSLContext) -> None:
    """A service that is not there is not ready."""
    where = url(subscriber)
    await subscriber.stop()
    with pytest.raises(Disconnected, match="cannot be reached"):
        await check_ready(where, tls=tls)


async def test_readiness_of_one_who_hangs(tls: ssl.SSLContext) -> None:
    """A service that takes the connection and says nothing is not ready, within bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Disconnected, match="does not answer within"):
            await check_ready(f"wss://localhost:{port}", tls=tls, timeout=0.2)
