"""The log of a topic over plain HTTP, page by page, between real clients and a stub of msgqueue."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanline.security.users import User, UsersFile
from fanline.server import Service
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stub_queue import StubQueue
from tests.stubs import DEADLINE


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
async def http(subscriber: Service, tls: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that is logged in to the subscriber."""
    url = f"https://localhost:{subscriber.port}"
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=("hello", "test"), trust_env=False, timeout=DEADLINE
    ) as client:
        yield client


def contents(response: httpx.Response) -> list[Any]:
    """Return what is in the messages of a page."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return [message["content"] for message in response.json()]


def link(response: httpx.Response, rel: str) -> str | None:
    """Return where a ``Link`` header leads."""
    found = re.search(rf'<([^>]+)>; rel="{rel}"', response.headers["Link"])
    return found[1] if found else None


async def test_newest_page(http: httpx.AsyncClient) -> None:
    """Without a parameter come the newest messages, the oldest of them first, as they are delivered."""
    response = await http.get("/topics/t/messages")
    assert contents(response) == list(range(1, 50, 2))
    assert response.json()[0] == {"topic": "t", "content": 1, "seq": 1, "time": 1_700_000_000_000}
    assert contents(await http.get("/topics/t/messages?last=3")) == [45, 47, 49]


async def test_backwards_without_gap_or_repeat(http: httpx.AsyncClient) -> None:
    """Following ``prev`` from the newest page leads through everything once, and ends."""
    pages: list[list[int]] = []
    where = "/topics/t/messages?limit=10"
    while where:
        response = await http.get(where)
        pages.insert(0, contents(response))
        where = link(response, "prev") or ""
    assert [len(page) for page in pages] == [0, 5, 10, 10]
    assert list(chain.from_iterable(pages)) == list(range(1, 50, 2))


async def test_forwards_without_gap_or_repeat(http: httpx.AsyncClient, queue: StubQueue) -> None:
    """Following ``next`` leads through everything once, and then to what comes later."""
    found: list[int] = []
    where = "/topics/t/messages?after=0&limit=10"
    for _ in range(4):
        response = await http.get(where)
        found += contents(response)
        where = link(response, "next") or ""
    assert found == list(range(1, 50, 2))
    queue.store("t", 51)
    assert contents(await http.get(where)) == [51]


async def test_pages_hold_together(http: httpx.AsyncClient) -> None:
    """From a page in the middle both adjacent pages are reached, and back."""
    middle = await http.get("/topics/t/messages?after=20&limit=5")
    assert contents(middle) == [21, 23, 25, 27, 29]
    older = await http.get(link(middle, "prev") or "")
    assert contents(older) == [11, 13, 15, 17, 19]
    assert contents(await http.get(link(older, "next") or "")) == contents(middle)


async def test_wildcards_and_names(http: httpx.AsyncClient, queue: StubQueue) -> None:
    """A pattern works as a topic does, and names are percent-encoded."""
    queue.store("größe.m", "x")
    assert contents(await http.get("/topics/gr%C3%B6%C3%9Fe.%2A/messages")) == ["x"]
    assert contents(await http.get("/topics/nothing/messages")) == []
    response = await http.get("/topics/größe.m/messages?limit=1")
    assert contents(await http.get(link(response, "prev") or "")) == []


async def test_a_page_for_a_client_that_left_is_not_read(http: httpx.AsyncClient, queue: StubQueue) -> None:
    """Msgqueue is told that nothing waits for it any more."""
    queue.is_mute = True
    asking = asyncio.create_task(http.get("/topics/t/messages"))
    await queue.until(lambda: len(queue.reads) == 1)
    asking.cancel()
    await queue.until(lambda: queue.cancelled == [queue.reads[0].ref])


async def test_gap_is_named(http: httpx.AsyncClient, queue: StubQueue) -> None:
    """Positions removed by retention are in the header of a page."""
    queue.floor = 30
    response = await http.get("/topics/t/messages?after=9&limit=2")
    assert contents(response) == [31, 33]
    assert response.headers["Fanline-Gap"] == "10-30"


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/topics/t/messages?after=-1", 400, "after"),
        ("/topics/t/messages?after=abc", 400, "after"),
        ("/topics/t/messages?before=%F0%9F%98%80", 400, "before"),
        ("/topics/t/messages?limit=0", 400, "limit"),
        ("/topics/t/messages?limit=1001", 400, "limit"),
        ("/topics/t/messages?after=1&before=2", 400, "exclude"),
        ("/topics/t/messages?page=1", 400, "page"),
        ("/topics/a%20b/messages", 400, "not a topic"),
        ("/topics//messages", 400, "empty"),
        ("/topics/t", 404, "nothing at /topics/t"),
    ],
)
async def test_bad_request(http: httpx.AsyncClient, path: str, status: int, word: str) -> None:
    """A wrong request gets a status and a sentence."""
    response = await http.get(path)
    assert response.status_code == status
    assert word in response.text


async def test_rights(
    queue: StubQueue, start_service: StartService, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """One who may not subscribe to a topic may not read its history either; nor may a stranger."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice", subscribe=("other",)), "secret", cost=4)
    service = await start_service(open_subscriber, queue_url=queue.url, users_file=users.path)
    url = f"https://localhost:{service.port}"
    async with httpx.AsyncClient(base_url=url, verify=tls, trust_env=False, timeout=DEADLINE) as client:
        assert (await client.get("/topics/t/messages")).status_code == 401
        assert (await client.get("/topics/t/messages", auth=("alice", "secret"))).status_code == 403
        assert (
            await client.get("/topics/other/messages?last=1", auth=("alice", "secret"))
        ).status_code == 200


async def test_queue_is_away(queue: StubQueue, start_service: StartService, tls: ssl.SSLContext) -> None:
    """While the log cannot be read a page is 503, in bounded time."""
    await queue.stop()
    service = await start_service(open_subscriber, queue_url=queue.url, queue_wait=0.2)
    url = f"https://localhost:{service.port}"
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=("hello", "test"), trust_env=False, timeout=DEADLINE
    ) as client:
        assert (await client.get("/topics/t/messages")).status_code == 503
