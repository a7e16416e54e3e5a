"""RFC 6455 as the cases of Autobahn test it, on real TLS sockets; all of them: `make conformance`."""

import asyncio
import base64
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from fanline.server import App, Connection, Endpoint, Service, metrics
from fanline.tasks import running_task
from subscriber.settings import SubscriberSettings
from tests.conftest import StartService
from tests.fanline.server.websocket.conformance_cases import BINARY, CLOSE, PONG, Case, Sent, cases, sizes
from tests.stubs import DEADLINE, PASSWORD, USER

LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
HANDSHAKE = (
    f"GET /echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {LOGIN}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()
NORMAL = Sent(CLOSE, (1000).to_bytes(2)).serialize()

# One of each kind; the others are tested by `make conformance`.
SHORT = (
    "1.1.4 1.1.8 1.2.7 2.3 2.5 2.6 2.9 2.10 3.2 3.4 3.7 4.1.4 4.2.4 5.1 5.8 5.12 5.15 5.18 5.19 6.1.2 6.2.3 "
    "6.3.2 6.4.1 6.4.4 6.6.3 6.15.1 6.17.2 6.22.10 7.1.3 7.1.4 7.1.5 7.3.1 7.3.2 7.5.1 7.9.3 7.13.2"
)
ALL = {case.name: case for case in cases()}


class Echo:
    """Sends every message back, in a binary frame."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_frame(self, payload: bytes) -> None:
        self._connection.write(Sent(BINARY, payload).serialize(mask=b""))

    def on_close(self) -> None:
        pass


@asynccontextmanager
async def open_echo(_: SubscriberSettings, max_frame: int = 4 << 20) -> AsyncIterator[App]:
    """Run a service that echoes."""

    async def drain() -> None:
        pass

    yield App(
        max_frame=max_frame,
        metrics=metrics.new_registry(),
        endpoints={"/echo": Endpoint(make_handler=Echo)},
        readiness_problem=lambda: None,
        drain=drain,
    )


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the opcode and the payload of the server's next frame."""
    first, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    assert first & 0x70 == 0
    return first & 0x0F, await reader.readexactly(size)


async def send(case: Case, writer: asyncio.StreamWriter, answered: asyncio.Semaphore) -> None:
    """Write the frames of the client, in pieces of the size that the case has."""
    for frame in case.sent:
        if frame is None:
            await answered.acquire()
            continue
        data = frame.serialize()
        for start in range(0, len(data), case.chop or len(data)):
            writer.write(data[start : start + case.chop] if case.chop else data)
            if case.chop:
                await writer.drain()
    if not case.is_closed_by_server:
        for _ in range(len(case.answers) - case.sent.count(None)):
            await answered.acquire()
        writer.write(NORMAL)


async def play(case: Case, service: Service, tls: ssl.SSLContext) -> str | None:
    """Have one conversation, and return what was wrong in it."""
    reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls, limit=1 << 20)
    answered = asyncio.Semaphore(0)
    async with asyncio.timeout(DEADLINE):
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        async with running_task(send(case, writer, answered)):
            problem = await listen(case, reader, answered)
        writer.write(NORMAL)  # the answer to its close, if that is not an answer itself
        left = await reader.read()
    writer.transport.abort()
    return problem or (f"sent {left[:20]!r} after its close" if left else None)


async def listen(case: Case, reader: asyncio.StreamReader, answered: asyncio.Semaphore) -> str | None:
    """Read what the server sends, and return what was wrong with it."""
    expected = {PONG: deque[bytes](), BINARY: deque[bytes]()}
    for opcode, payload in case.answers:
        expected[opcode].append(payload)
    for _ in case.answers:
        opcode, payload = await read_frame(reader)
        if not expected.get(opcode) or payload != expected[opcode].popleft():
            return f"answered with {payload[:20]!r} ({opcode})"
        answered.release()
    opcode, payload = await read_frame(reader)
    code = int.from_bytes(payload[:2]) if payload else 1005
    if opcode != CLOSE or code not in case.codes:
        return f"ended with {payload[:20]!r} ({opcode})"
    return None


async def failures(chosen: Iterable[Case], service: Service, tls: ssl.SSLContext) -> dict[str, str]:
    """Return what is wrong, by the number of the case."""
    problems = {case.name: await play(case, service, tls) for case in chosen}
    return {name: problem for name, problem in problems.items() if problem is not None}


async def test_conforms_to_rfc_6455(start_service: StartService, tls: ssl.SSLContext) -> None:
    """Frames, control frames, fragments, texts and closes are taken, or refused with the right code."""
    service = await start_service(open_echo)
    assert await failures((ALL[name] for name in SHORT.split()), service, tls) == {}


@pytest.mark.long
async def test_conforms_in_every_case(start_service: StartService, tls: ssl.SSLContext) -> None:
    """Each case of chapters 1 to 7 of Autobahn ends as it must; 246 of them."""
    service = await start_service(open_echo)
    assert await failures(ALL.values(), service, tls) == {}


@pytest.mark.long
async def test_conforms_with_large_messages(start_service: StartService, tls: ssl.SSLContext) -> None:
    """Messages of up to 16 MiB, in up to 65,536 fragments or writes of 64 bytes, come back (chapter 9)."""
    service = await start_service(partial(open_echo, max_frame=16 << 20))
    assert await failures(sizes(), service, tls) == {}
