"""Publishing by POST between real clients and a stub of msgqueue."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanline.errors import Rejected
from fanline.security.users import User, UsersFile
from fanline.server import Service
from publisher.app import open_publisher
from tests.conftest import StartService
from tests.stubs import DEADLINE, Do, StubPublisher

Open = Callable[..., Awaitable[httpx.AsyncClient]]

ONE, MANY = "/topics/orders.eu/messages", "/messages"
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def open_http(
    queue: StubPublisher, start_service: StartService, tls: ssl.SSLContext
) -> AsyncIterator[Open]:
    """Start a publisher with some settings, and open an HTTP client that is logged in to it."""
    clients: list[httpx.AsyncClient] = []

    async def start(**settings: Any) -> httpx.AsyncClient:
        service = await start_service(open_publisher, queue_url=queue.url, **settings)
        url = f"https://localhost:{service.port}"
        login = ("hello", "test")
        client = httpx.AsyncClient(base_url=url, verify=tls, auth=login, trust_env=False, timeout=DEADLINE)
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.aclose()


@pytest.fixture
async def http(open_http: Open) -> httpx.AsyncClient:
    """An HTTP client that is logged in to a publisher."""
    return await open_http()


async def test_message_is_stored_and_acked(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """A POST is answered with 201 when the message is on disk, as the user who sent it (line 42)."""
    answer = await http.post(ONE, content=b' {"n": 1}\n', headers=JSON | {"Idempotency-Key": "a1"})
    assert (answer.status_code, answer.json()) == (201, {"ok": "a1", "seq": 1})
    assert answer.headers["Content-Type"] == "application/json"
    [stored] = queue.stored
    assert (stored.topic, bytes(stored.content), stored.id, stored.sender) == (
        "orders.eu",
        b'{"n": 1}',
        "a1",
        "hello",
    )


async def test_answer_waits_for_the_queue(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """No answer comes before that of msgqueue (promise 1)."""
    queue.holding = True
    answer = asyncio.create_task(http.post(ONE, content=b"1", headers=JSON))
    await queue.until(lambda: len(queue.stored) == 1)
    assert not answer.done()
    await queue.release()
    assert (await answer).status_code == 201


async def test_repeated_key_is_stored_once(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """The same key again gives 200, the first position, and stores nothing (promise 3)."""
    for quoted in ("k1", '"k1"'):
        answer = await http.post(ONE, content=b"1", headers=JSON | {"Idempotency-Key": quoted})
    assert (answer.status_code, answer.json()) == (200, {"ok": "k1", "seq": 1, "duplicate": True})
    assert queue.contents == [1]


async def test_text_is_a_string(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """A text becomes a JSON string, whatever is in it; also none at all."""
    for text in ('say "hi"\n', "ä€", ""):
        answer = await http.post(
            ONE, content=text.encode(), headers={"Content-Type": "text/plain;charset=UTF-8"}
        )
        assert answer.status_code == 201
    assert queue.contents == ['say "hi"\n', "ä€", ""]


@pytest.mark.parametrize(
    ("path", "topic"),
    [("a%2Fb.%C3%A4", "a/b.ä"), ("a/b", "a/b"), ("messages/messages", "messages/messages"), ("x%3Fy", "x?y")],
)
async def test_topic_is_percent_encoded(
    queue: StubPublisher, http: httpx.AsyncClient, path: str, topic: str
) -> None:
    """Every topic can be named in a path."""
    assert (await http.post(f"/topics/{path}/messages", content=b"1", headers=JSON)).status_code == 201
    assert queue.stored[0].topic == topic


async def test_array_has_an_answer_for_each_in_order(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """An array or lines of messages are acked one by one, in their order."""
    messages = [{"topic": "t", "content": n, "id": f"m{n}"} for n in range(50)]
    answer = await http.post(MANY, json=messages)
    assert answer.status_code == 201
    assert answer.json() == [{"ok": f"m{n}", "seq": n + 1} for n in range(50)]
    lines = "\r\n".join(map(json.dumps, messages)) + "\n\n"
    again = await http.post(MANY, content=lines, headers=LINES)
    assert again.status_code == 200
    assert again.json() == [{"ok": f"m{n}", "seq": n + 1, "duplicate": True} for n in range(50)]
    assert queue.contents == list(range(50))
    assert len(queue.frames) == 2


async def test_refused_message_of_an_array_harms_no_other(
    queue: StubPublisher, http: httpx.AsyncClient
) -> None:
    """Messages that can be stored are; the answer is a problem with an entry for each (promise 7)."""
    sent = [
        '{"topic":"t","content":1,"id":"a"}',
        '{"topic":"a b","content":2,"id":"b"}',
        "x",
        '{"topic":"t","content":4}',
    ]
    answer = await http.post(MANY, content="\n".join(sent), headers=LINES)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "bad-topic"
    assert [(entry.get("seq"), entry.get("error"), entry.get("id")) for entry in problem["messages"]] == [
        (1, None, None),
        (None, "bad-topic", "b"),
        (None, "bad-json", None),
        (2, None, None),
    ]
    assert queue.contents == [1, 4]


async def test_refusals_speak_of_the_body(http: httpx.AsyncClient) -> None:
    """An empty body, or one that is not JSON, was told of "the frame", of which POST knows nothing."""
    answers = [(await http.post(ONE, content=body, headers=JSON)).json() for body in (b"", b"[1")]
    assert [(answer["code"], answer["detail"].partition(":")[0]) for answer in answers] == [
        ("bad-json", "the body is empty"),
        ("bad-json", "what was sent is not JSON"),
    ]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        (ONE, JSON, b"{", 400, "bad-json"),
        (ONE, JSON, b"NaN", 400, "bad-json"),
        (ONE, JSON, b"1e400", 400, "bad-message"),
        (MANY, JSON, b'[{"topic":"t","content":1e400}]', 400, "bad-message"),
        (ONE, JSON, b'"\xff"', 400, "bad-json"),
        (ONE, TEXT, b"\xff", 400, "bad-json"),
        (ONE, JSON, b"[" * 70 + b"]" * 70, 400, "too-deep"),
        (ONE, JSON, b'"' + b"x" * 2_000 + b'"', 413, "too-big"),
        (ONE, JSON, b'"' + b"x" * 100_000_000 + b'"', 413, "too-big"),
        (ONE, {}, b"1", 415, "unsupported-media-type"),
        (ONE, {"Content-Type": "application/x-www-form-urlencoded"}, b"1", 415, "unsupported-media-type"),
        (ONE, {"Content-Type": "text/plain; charset=latin-1"}, b"1", 415, "unsupported-media-type"),
        (ONE, {"Content-Type": b"a/b/c;;;=\xff"}, b"1", 415, "unsupported-media-type"),
        (ONE, {"Content-Type": "application/json; charset*=x''%ff"}, b"1", 415, "unsupported-media-type"),
        (ONE, LINES, b"1", 415, "unsupported-media-type"),
        (ONE, JSON | {"Content-Encoding": "gzip"}, b"\x1f\x8b", 415, "unsupported-media-type"),
        (ONE, JSON | {"Idempotency-Key": "k" * 1_000}, b"1", 400, "bad-id"),
        (ONE, JSON | {"Idempotency-Key": ""}, b"1", 400, "bad-id"),
        (ONE, JSON | {"Idempotency-Key": "$1"}, b"1", 400, "bad-id"),
        (ONE, JSON | {"Idempotency-Key": b"\xff"}, b"1", 400, "bad-id"),
        (ONE, [*JSON.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")], b"1", 400, "bad-id"),
        ("/topics/a%00b/messages", JSON, b"1", 400, "bad-topic"),
        ("/topics/a%ffb/messages", JSON, b"1", 400, "bad-request"),
        ("/topics/a.*/messages", JSON, b"1", 400, "bad-topic"),
        ("/topics//messages", JSON, b"1", 400, "bad-topic"),
        (MANY, JSON, b"", 400, "bad-message"),
        (MANY, JSON, b"[]", 400, "bad-message"),
        (MANY, LINES, b"\n\n", 400, "bad-message"),
        (MANY, LINES, b"{}\n" * 5_001, 413, "too-big"),
        (MANY, JSON, b"[" + b"{}," * 5_000 + b"{}]", 413, "too-big"),
        (MANY, JSON, b"[1", 400, "bad-json"),
        (MANY, TEXT, b"x", 415, "unsupported-media-type"),
        (MANY, JSON | {"Idempotency-Key": "a"}, b'{"topic":"t","content":1}', 400, "bad-id"),
    ],
)  # fmt: skip
async def test_bad_request_is_named(
    open_http: Open,
    path: str,
    headers: Any,
    body: bytes,
    status: int,
    code: str | None,
) -> None:
    """A request that cannot be accepted says why, and the next on its connection is served (promise 7)."""
    http = await open_http(max_content=1_024)
    answer = await http.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"] if code else None) == (status, code), answer.text
    assert (await http.post(ONE, content=b"1", headers=JSON)).status_code == 201


async def test_body_in_chunks(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """A body whose length is not known before is read to its end."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000
        yield b"7"

    assert (await http.post(ONE, content=chunks(), headers=JSON)).status_code == 201
    assert queue.contents == [7]


async def test_rights_are_those_of_the_user(queue: StubPublisher, open_http: Open, tmp_path: Path) -> None:
    """A user publishes within their rights, under their own name, and after a login (line 44)."""
    file = UsersFile(tmp_path / "users")
    file.put(User("ann", publish=("orders.*",), subscribe=()), "secret", cost=4)
    http = await open_http(users_file=file.path)
    http.auth = httpx.BasicAuth("ann", "secret")
    assert (await http.post(ONE, content=b"1", headers=JSON)).status_code == 201
    forbidden = await http.post("/topics/other/messages", content=b"1", headers=JSON)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    forged = await http.post(MANY, json={"topic": "orders.us", "content": 1, "from": "bob"})
    assert (forged.status_code, forged.json()["messages"][0]["error"]) == (403, "forbidden")
    http.auth = httpx.BasicAuth("ann", "wrong")
    assert (await http.post(ONE, content=b"1", headers=JSON)).status_code == 401
    assert [message.sender for message in queue.stored] == ["ann"]


async def test_queue_away_is_503(queue: StubPublisher, open_http: Open) -> None:
    """While msgqueue is away a message waits for it, then is refused with when to try again (promise 6)."""
    await queue.stop()
    http = await open_http(queue_wait=0.3)
    answer = await http.post(ONE, content=b"1", headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue-unavailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    many = await http.post(MANY, json=[{"topic": "t", "content": 1}, {"topic": "a b", "content": 2}])
    assert (many.status_code, many.json()["code"]) == (503, "queue-unavailable")
    assert [entry["error"] for entry in many.json()["messages"]] == ["queue-unavailable", "bad-topic"]


@pytest.mark.parametrize("step", [Do.DROP_UNSTORED, Do.DROP_UNACKED, Do.DROP_ACKED])
async def test_link_drop_loses_and_doubles_nothing(
    queue: StubPublisher, http: httpx.AsyncClient, step: Do
) -> None:
    """Wherever the link to msgqueue drops, a message is stored once and acked (promises 1, 3, 6)."""
    queue.script.extend([Do.ACK, step, Do.ACK])
    answer = await http.post(MANY, json=[{"topic": "t", "content": n} for n in range(5)])
    assert sorted(entry["seq"] for entry in answer.json()) == [1, 2, 3, 4, 5]
    assert sorted(queue.contents) == [0, 1, 2, 3, 4]


async def test_refusal_of_the_queue_is_passed_on(queue: StubPublisher, http: httpx.AsyncClient) -> None:
    """A refusal of msgqueue reaches the client, in the words of msgqueue."""
    queue.script.append(Rejected("queue-unavailable", "the log cannot be written: disk full"))
    answer = await http.post(ONE, content=b"1", headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the log cannot be written: disk full")


async def test_stop_finishes_requests_in_progress(
    queue: StubPublisher, publisher: Service, tls: ssl.SSLContext
) -> None:
    """A stop waits for the ack of what was sent, and closes idle connections before (promise 8)."""
    queue.holding = True
    url = f"https://localhost:{publisher.port}"
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=("hello", "test"), trust_env=False, timeout=DEADLINE
    ) as http:
        answer = asyncio.create_task(http.post(ONE, content=b"1", headers=JSON))
        await queue.until(lambda: len(queue.stored) == 1)
        reader, writer = await asyncio.open_connection("localhost", publisher.port, ssl=tls)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"ok\n")
        stopping = asyncio.create_task(publisher.stop())
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        assert not answer.done()
        await queue.release()
        assert (await answer).status_code == 201
        await stopping
        writer.close()


async def raw(service: Service, tls: ssl.SSLContext, *parts: bytes) -> AsyncIterator[bytes]:
    """Send parts of a request over TLS; after each, yield the next head that comes back."""
    reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
    async with asyncio.timeout(DEADLINE):
        for part in parts:
            writer.write(part)
            yield await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_client_may_wait_for_100_continue(publisher: Service, tls: ssl.SSLContext) -> None:
    """A body that is not wanted need not be sent; one that is wanted is asked for."""
    head = (
        b"POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 3\r\nExpect: 100-continue\r\n"
    )
    login = b"Authorization: Basic aGVsbG86dGVzdA==\r\n\r\n"
    answers = [answer async for answer in raw(publisher, tls, head + login, b'"x"')]
    assert [answer.split()[1] for answer in answers] == [b"100", b"201"]
    answers = [answer async for answer in raw(publisher, tls, head + b"\r\n")]
    assert [answer.split()[1] for answer in answers] == [b"401"]


async def test_body_that_never_ends(
    queue: StubPublisher, start_service: StartService, tls: ssl.SSLContext
) -> None:
    """A body of which nothing more comes is refused with 408, and nothing is stored."""
    service = await start_service(open_publisher, queue_url=queue.url, handshake_timeout=2)
    head = (
        b"POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 3\r\nAuthorization: Basic aGVsbG86dGVzdA==\r\n\r\n"x'
    )
    answers = [answer async for answer in raw(service, tls, head)]
    assert [answer.split()[1] for answer in answers] == [b"408"]
    assert not queue.stored
