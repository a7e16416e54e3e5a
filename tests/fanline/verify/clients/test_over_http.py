"""The clients of ``fanline verify`` that speak HTTP, against services with a stub of msgqueue."""

import asyncio
import ssl
from pathlib import Path

import pytest

from fanline.errors import ErrorCode, Rejected
from fanline.security.tls import server_context
from fanline.verify.clients.load import Load
from fanline.verify.clients.over_http import ByPost, EventReader
from fanline.verify.clients.workload import Workload
from fanline.verify.system.installation import Place
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService, until
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE, PASSWORD, USER, Do, StubPublisher

COUNT = 100


def make_load(port: int, tls: ssl.SSLContext, password: str = PASSWORD) -> Load:
    url = f"wss://localhost:{port}"
    place = Place(url, url, USER, password, tls, DEADLINE)
    return Load(place, Workload("token", 1), seed=1, publishers=1, rate=2_000)


async def post(load: Load, stub: StubPublisher, *, count: int) -> ByPost:
    """Publish until the stub has stored so many, and then wait for all acks."""
    sender = ByPost(load, 0)
    task = asyncio.create_task(sender.run())
    async with asyncio.timeout(DEADLINE):
        await stub.until(lambda: len(stub.stored) >= count)
        load.is_over.set()
        await task
    return sender


async def test_posts_again_what_has_no_ack(
    cert_dir: Path, start_service: StartService, tls: ssl.SSLContext
) -> None:
    """A message refused because msgqueue is away is sent again; all is stored once, and acknowledged."""
    async with StubPublisher(cert_dir) as stub:
        service = await start_service(open_publisher, queue_url=stub.url)
        load = make_load(service.port, tls)
        away = Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue is away")
        stub.script.extend([Do.ACK, away, Do.ACK, Do.DROP_UNACKED])
        sender = await post(load, stub, count=COUNT)
        assert sender.sent.troubles == []
        assert len({message.id for message in stub.stored}) == len(stub.stored)
        assert load.acked == load.published == len(stub.stored)


async def test_notes_a_refused_post(cert_dir: Path, start_service: StartService, tls: ssl.SSLContext) -> None:
    """A message that is refused without a cause is noted, and not sent again."""
    async with StubPublisher(cert_dir) as stub:
        service = await start_service(open_publisher, queue_url=stub.url)
        load = make_load(service.port, tls)
        stub.script.extend([Do.ACK, Rejected(ErrorCode.TOO_BIG, "a byte too much")])
        sender = await post(load, stub, count=COUNT)
        (trouble,) = sender.sent.troubles
        assert "a byte too much" in trouble
        assert load.acked == load.published - 1


@pytest.mark.parametrize("kind", [ByPost, EventReader])
async def test_notes_a_refused_request(
    cert_dir: Path, start_service: StartService, tls: ssl.SSLContext, kind: type[ByPost | EventReader]
) -> None:
    """A request that is refused as a whole is noted with the reason of the service."""
    async with StubQueue(cert_dir) as stub:
        opened = open_publisher if kind is ByPost else open_subscriber
        service = await start_service(opened, queue_url=stub.url)
        load = make_load(service.port, tls, password="wrong")
        one = (
            ByPost(load, 0) if kind is ByPost else EventReader(load, "reader", [load.workload.everything], 0)
        )
        troubles = one.sent.troubles if isinstance(one, ByPost) else one.received.troubles
        task = asyncio.create_task(one.run())
        await until(lambda: bool(troubles))
        task.cancel()
        await asyncio.wait([task])
        assert troubles[0].startswith("401, unauthorized: ")


async def test_resumes_before_an_event_that_was_cut(cert_dir: Path, tls: ssl.SSLContext) -> None:
    """The id of an event counts once all of the event has come, as in a browser."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1\n"
        writer.write(head + b'id: 7-e\ndata: {"topic":"t","content":1,"seq":7}\n\nid: 8-e\n')
        writer.close()

    server = await asyncio.start_server(answer, "localhost", ssl=server_context(cert_dir))
    async with server:
        load = make_load(server.sockets[0].getsockname()[1], tls)
        reader = EventReader(load, "reader", ["t"], 0)
        task = asyncio.create_task(reader.run())
        await until(lambda: len(requests) == 2)
        task.cancel()
        await asyncio.wait([task])
    assert list(reader.received.seqs)[:1] == [7]
    assert b"last-event-id: 7-e\r\n" in requests[1].lower()
