"""The journal on three real NATS servers, with TLS, and msgqueues on it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from fanline.errors import ConfigurationError
from fanline.verify.cluster.nats_servers import SERVER_COUNT
from msgqueue.app import open_msgqueue
from msgqueue.journal.jetstream import JetStreamJournal
from msgqueue.journal.servers import require_synced
from msgqueue.journal.session import NatsLogin, Session
from msgqueue.store.base import AppendResult
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.replica.patience import Patience
from tests.conftest import Dial, StartService, receive_objects, until
from tests.msgqueue.journal.nats_cluster import NatsCluster
from tests.msgqueue.store.store_model import WINDOW, Clock, new

UNSYNCED = 2


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, cert_dir: Path, tls: ssl.SSLContext
) -> Iterator[NatsCluster]:
    """Three servers, of which one does not sync what it acknowledges."""
    cluster = NatsCluster(tmp_path_factory.mktemp("nats"), cert_dir, tls, unsynced=(UNSYNCED,))
    try:
        asyncio.run(cluster.start_all())
        yield cluster
    finally:
        cluster.stop()


async def open_journal(
    servers: NatsCluster,
    stream: str,
    *,
    user: str = "fanline",
    max_payload: int = 6 << 20,
    timeout: float = 60,
) -> JetStreamJournal:
    login = NatsLogin(servers.tls, user, "secret")
    return await JetStreamJournal.open(
        servers.urls, stream, login, max_bytes=1 << 30, max_payload=max_payload, timeout=timeout
    )


@asynccontextmanager
async def session_of(servers: NatsCluster, stream: str) -> AsyncIterator[Session]:
    session = await Session.connect(servers.urls[0], stream, NatsLogin(servers.tls, "fanline", "secret"))
    try:
        yield session
    finally:
        await session.close()


async def join(
    servers: NatsCluster, stream: str, folder: Path, stack: AsyncExitStack, patience: Patience
) -> ReplicaStore:
    journal = await open_journal(servers, stream)
    store = await ReplicaStore.join(folder, journal, dedupe_window=WINDOW, clock=Clock(), patience=patience)
    stack.push_async_callback(store.close)
    return store


async def test_two_msgqueues_serve_one_log(
    servers: NatsCluster, start_service: StartService, dial: Dial, tmp_path: Path
) -> None:
    """Messages pushed to one are popped from the other, in one order, with one epoch (line 61)."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    cluster: dict[str, Any] = {
        "store": "jetstream",
        "nats_urls": servers.urls,
        "nats_user": "fanline",
        "nats_password_file": password,
        "nats_stream": "TWO",
        "journal_unverified": True,
        "queue_wait": 30,
    }
    one = await start_service(open_msgqueue, data_dir=tmp_path / "a", **cluster)
    other = await start_service(open_msgqueue, data_dir=tmp_path / "b", **cluster)
    await until(lambda: one.app.readiness_problem() is other.app.readiness_problem() is None)
    popper = await dial(other, "/popmsg")
    await popper.send('{"pop": {"after": "earliest"}}', text=True)
    await receive_objects(popper, 1)
    answers = []
    for number, queue in enumerate([one, other, one]):
        pusher = await dial(queue, "/pushmsg")
        await pusher.send(msgspec.json.encode([{"topic": "t", "content": number}]), text=True)
        answers += await receive_objects(pusher, 1)
    assert [answer["seq"] for answer in answers] == [1, 2, 3]
    records = await receive_objects(popper, 3)
    assert [(record["seq"], record["content"]) for record in records] == [(1, 0), (2, 1), (3, 2)]
    worker, next_worker = await dial(one, "/popmsg"), await dial(other, "/popmsg")
    await worker.send('{"pop": {"consumer": "billing"}}', text=True)
    assert [record["seq"] for record in (await receive_objects(worker, 4))[1:]] == [1, 2, 3]
    await worker.send('{"done": 2}', text=True)
    await next_worker.send('{"pop": {"consumer": "billing"}}', text=True)
    [popping] = await receive_objects(next_worker, 1)
    assert popping["seq"] <= 2
    await worker.close()
    assert [record["seq"] for record in await receive_objects(next_worker, 1)] == [3]


async def test_servers_that_do_not_sync_are_refused(servers: NatsCluster) -> None:
    """A server that acknowledges what is not on disk is named; one that cannot be asked, if most cannot."""
    urls = servers.monitor_urls
    with pytest.raises(ConfigurationError, match=r"the server n2 at .* acknowledges what is not on disk yet"):
        await require_synced(urls, servers.tls)
    await require_synced((*urls[:UNSYNCED], "https://localhost:1"), servers.tls)
    with pytest.raises(ConfigurationError, match="most of the servers cannot be asked"):
        await require_synced((urls[0], "https://localhost:1"), servers.tls)


async def test_what_cannot_be_a_journal_is_refused(servers: NatsCluster) -> None:
    """A wrong login, another kind of stream and a server that takes too little are told in words."""
    with pytest.raises(ConfigurationError, match=r"no journal after 2 s: .*[Aa]uthorization"):
        await open_journal(servers, "X", user="mallory", timeout=2)
    with pytest.raises(ConfigurationError, match="set max_payload: 8MB"):
        await open_journal(servers, "X", max_payload=9 << 20)
    async with session_of(servers, "OTHER") as session:
        config = {"name": "OTHER", "subjects": ["OTHER.log"], "num_replicas": 1, "max_age": 10**12}
        await session.ask("STREAM.CREATE.OTHER", msgspec.json.encode(config))
    with pytest.raises(ConfigurationError, match=r"OTHER cannot be a journal: .*max_age is"):
        await open_journal(servers, "OTHER")


async def test_what_is_not_answered_is_asked_again(servers: NatsCluster) -> None:
    """While a leader is elected questions get lost; each held acks up until it was given up (line 60)."""
    asked = 0

    async def answer_the_second(message: Msg) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            await message.respond(b'{"state": {"last_seq": 7}}')

    other = Client()
    await other.connect(
        [servers.urls[0]], tls=servers.tls, tls_handshake_first=True, user="fanline", password="secret"
    )
    await other.subscribe("$JS.API.ELECTION", cb=answer_the_second)
    await other.flush()
    async with session_of(servers, "X") as session:
        assert (await session.ask("ELECTION")).state.last_seq == 7
    await other.close()


async def test_a_stream_that_is_gone_stops_the_acks(servers: NatsCluster, tmp_path: Path) -> None:
    """Nothing is acknowledged when the stream was deleted, nor when it is made again (line 62)."""
    async with AsyncExitStack() as stack:
        store = await join(servers, "GONE", tmp_path / "a", stack, Patience(give_up=60, ready=1))
        for number in range(5):
            assert await store.append([new()]) == [AppendResult(number + 1, duplicate=False)]
        async with session_of(servers, "GONE") as session:
            await session.ask("STREAM.DELETE.GONE")
        await until(lambda: "the stream GONE has no leader, or is gone" in (store.problem or ""))
    with pytest.raises(
        ConfigurationError, match="the journal ends at entry 0, and this msgqueue has applied"
    ):
        await join(servers, "GONE", tmp_path / "a", AsyncExitStack(), Patience())


async def publish(store: ReplicaStore, name: str, results: list[AppendResult], stop: asyncio.Event) -> None:
    while not stop.is_set():
        results += await store.append([new("t", f"{name}.{len(results)}", id=f"{name}.{len(results)}")])


async def stored(store: ReplicaStore) -> Sequence[bytes]:
    await store.catch_up()
    return [record.body for record in (await store.read(0, limit=100_000, max_bytes=1 << 30)).records]


async def until_more(acked: dict[str, list[AppendResult]], more: int) -> None:
    """Wait until each publisher has so many more acknowledgements."""
    wanted = {name: len(results) + more for name, results in acked.items()}
    await until(lambda: all(len(acked[name]) >= number for name, number in wanted.items()))


Mend = Callable[[], None]


async def kill_leader(servers: NatsCluster) -> Mend:
    leader = await servers.leader("FAULTS")
    servers.kill(leader)
    return partial(servers.start, leader)


async def freeze_leader(servers: NatsCluster) -> Mend:
    leader = await servers.leader("FAULTS")
    servers.freeze(leader)
    return partial(servers.thaw, leader)


async def kill_all(servers: NatsCluster) -> Mend:
    for number in range(SERVER_COUNT):
        servers.kill(number)
    for number in range(SERVER_COUNT):
        servers.start(number)
    return lambda: None


@pytest.mark.long
@pytest.mark.parametrize("fault", [kill_leader, freeze_leader, kill_all])
async def test_goes_on_when_servers_fail(
    tmp_path: Path,
    cert_dir: Path,
    tls: ssl.SSLContext,
    fault: Callable[[NatsCluster], Awaitable[Mend]],
) -> None:
    """The leading server is killed or frozen, or all are killed, under load (lines 60, 61).

    Nothing acknowledged is lost, doubled or out of order, and it goes on by itself.
    """
    async with AsyncExitStack() as stack:
        servers = NatsCluster(tmp_path, cert_dir, tls)
        stack.callback(servers.stop)
        await servers.start_all()
        await require_synced(servers.monitor_urls, tls)
        stores = {
            name: await join(servers, "FAULTS", tmp_path / name, stack, Patience(give_up=60.0))
            for name in "ab"
        }
        stop = asyncio.Event()
        acked: dict[str, list[AppendResult]] = {"a": [], "b": []}
        tasks = [asyncio.create_task(publish(stores[name], name, acked[name], stop)) for name in "ab"]
        for _ in range(3):
            await until_more(acked, 20)
            mend = await fault(servers)
            await until_more(acked, 20)
            mend()
        stop.set()
        await asyncio.gather(*tasks)
        bodies = await stored(stores["a"])
        assert bodies == await stored(stores["b"])
        assert len(bodies) == sum(map(len, acked.values()))
        for name, results in acked.items():
            assert [result.seq for result in results] == sorted(result.seq for result in results)
            for number, result in enumerate(results):
                assert f'"{name}.{number}"'.encode() in bodies[result.seq - 1]
