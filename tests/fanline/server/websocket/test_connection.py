"""One WebSocket: frames in and out, signs of life, and its end."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from fanline.server import App, Connection, Endpoint, MakeHandler, Service, metrics
from subscriber.settings import SubscriberSettings
from tests.conftest import Dial, StartService, WallClock, until
from tests.fanline.server.conftest import Echo, Get, MakeToken
from tests.stubs import DEADLINE


async def talk(client: ClientConnection) -> None:
    """Say something, and hear the answer, again and again."""
    while True:
        await client.send("x")
        await client.recv()


def freeze(client: ClientConnection) -> None:
    """Make a client as silent as a stopped process: it reads nothing, and so answers no ping."""
    client.transport.pause_reading()


async def test_login_and_echo(service: Service, dial: Dial) -> None:
    """With a login the WebSocket opens, and the app knows who it is and what they speak (line 1)."""
    v1, plain = await dial(service, "/echo"), await dial(service, "/echo", v1=False)
    await v1.send("a")
    await plain.send("b")
    assert await v1.recv() == '{"user":"hello","said":"a","in":"v1"}'
    assert await plain.recv() == '{"user":"hello","said":"b","in":"plain"}'
    assert v1.subprotocol == "fanline.v1"
    assert plain.subprotocol is None


async def test_a_connection_ends_with_its_token(
    make_token: MakeToken, start_service: StartService, echo: Echo, dial: Dial, tls: ssl.SSLContext
) -> None:
    """When a token expires its connection is closed with 4001, however busy it is, and no other."""
    clock = WallClock()
    service = await start_service(echo.open, wall_clock=clock)
    url = f"wss://localhost:{service.port}/echo?token="
    async with (
        connect(url + make_token(lifetime=600), ssl=tls, proxy=None, open_timeout=DEADLINE) as longer,
        connect(url + make_token(lifetime=60), ssl=tls, proxy=None, open_timeout=DEADLINE) as short,
    ):
        await short.send("x")
        assert await short.recv()
        clock.offset = 120
        with pytest.raises(ConnectionClosed):
            await talk(short)
        assert (short.close_code, short.close_reason) == (
            4001,
            "the token or the certificate has expired; log in again",
        )
        for client in (longer, await dial(service, "/echo")):
            await client.send("x")
            assert await client.recv()


async def test_defect_in_a_handler(service: Service, dial: Dial, caplog: pytest.LogCaptureFixture) -> None:
    """A defect ends its own connection with 1011, is logged, and harms no other."""
    with caplog.at_level(logging.ERROR):
        broken = await dial(service, "/broken")
        with pytest.raises(ConnectionClosed):
            await broken.recv()
    assert broken.close_code == 1011
    await until(lambda: "ZeroDivisionError" in caplog.text)
    client = await dial(service, "/echo")
    await client.send("x")
    assert await client.recv()


async def pass_time(service: Service, alive: ClientConnection) -> None:
    """Check the lives of connections over an hour: one answers its pings, and the other one is cut."""
    now = asyncio.get_running_loop().time()
    for seconds in (0, 1_800, 3_600):
        service.connections.check_lives(now + seconds)
        await alive.send("still here")
        assert "still here" in str(await alive.recv())
    await until(lambda: len(service.connections) == 1)


async def test_dead_peer_is_found_and_removed(service: Service, dial: Dial) -> None:
    """One that answers no ping is removed, in bounded time, and nothing is kept of it (line 8)."""
    dead, alive = await dial(service, "/echo"), await dial(service, "/echo")
    freeze(dead)
    await pass_time(service, alive)


async def test_half_a_frame(service: Service, dial: Dial) -> None:
    """A client that sends half a frame and hangs delays no other, and is closed as dead (promise 7)."""
    half, good = await dial(service, "/echo"), await dial(service, "/echo")
    half.transport.write(b"\x81\xff\x00\x00")
    freeze(half)
    await pass_time(service, good)


async def test_cuts_a_message_that_trickles_in(
    start_service: StartService, echo: Echo, dial: Dial, get: Get
) -> None:
    """A frame whose bytes come ever so slowly is given up in bounded time (promise 7)."""
    service = await start_service(echo.open, silence_limit=0.3)
    client = await dial(service, "/echo")
    client.transport.write(b"\x81\xfe\x10\x00\x00\x00\x00\x00")
    async with asyncio.timeout(DEADLINE):
        while service.connections:
            client.transport.write(b"x")
            await asyncio.sleep(0.05)
    assert 'fanline_connections_cut_total{reason="unfinished"} 1.0' in (await get(service, "/metrics")).text


async def test_bounds_the_memory_of_unfinished_messages(
    start_service: StartService, echo: Echo, dial: Dial
) -> None:
    """Of many messages that do not arrive whole the largest are given up, and others go on."""
    service = await start_service(echo.open, unfinished_bytes=100_000)
    large = [await dial(service, "/echo") for _ in range(3)]
    small, good = await dial(service, "/echo"), await dial(service, "/echo")
    head = Frame(Opcode.TEXT, b"x" * 60_000).serialize(mask=True)
    for client in large:
        client.transport.write(head[:-1])
    small.transport.write(head[:1_000])
    await until(lambda: len(service.connections) == 3)
    await good.send("x")
    assert await good.recv()
    small.transport.write(head[1_000:])
    assert await small.recv()


async def test_bounds_the_memory_of_what_is_not_read(
    start_service: StartService, echo: Echo, dial: Dial, get: Get
) -> None:
    """If too much waits for those who read nothing, they are cut and counted, and others go on (line 47)."""
    service = await start_service(echo.open, unread_bytes=1_024)
    deaf, good = await dial(service, "/echo"), await dial(service, "/echo")
    freeze(deaf)
    frame = Frame(Opcode.TEXT, b"x" * 60_000).serialize(mask=True)
    while not any(connection.paused for connection in service.connections):
        deaf.transport.write(frame)
        await good.send("x")
        assert await good.recv()
    await until(lambda: sum(connection.is_open for connection in service.connections) == 1)
    assert 'fanline_connections_cut_total{reason="slow"} 1.0' in (await get(service, "/metrics")).text
    await good.send("x")
    assert await good.recv()


async def test_pongs_that_are_not_read_do_not_pile_up(service: Service, dial: Dial) -> None:
    """A client that sends pings and reads no pongs is not read from, so memory stays bounded."""
    client, good = await dial(service, "/echo"), await dial(service, "/echo")
    freeze(client)
    pings = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 500
    for _ in range(80):  # 5 MB, more than the buffers of the kernel
        client.transport.write(pings)
        await good.send("x")
        await good.recv()
    assert max(connection.write_buffer_size for connection in service.connections) < 1 << 20
    client.transport.resume_reading()
    await (await client.ping())


async def test_fragments_and_binary_frames(service: Service, dial: Dial) -> None:
    """A message in fragments, or in a binary frame, is a message like any other."""
    client = await dial(service, "/echo")
    await client.send(iter(["frag", "ment", "ed"]))
    assert '"fragmented"' in str(await client.recv())
    await client.send(b"binary")
    assert '"binary"' in str(await client.recv())


class Closing:
    """Closes its connection with a reason of a certain length, which the client sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_frame(self, payload: bytes) -> None:
        self._connection.cut(1013, "ä" * int(payload) + "end")

    def on_close(self) -> None:
        pass


@pytest.mark.parametrize("length", [0, 60, 61, 62, 5_000])
async def test_cuts_a_long_close_reason(start_service: StartService, dial: Dial, length: int) -> None:
    """A close reason of any length closes the connection; of a long one the beginning is sent."""
    service = await start_service(partial(open_with, make_handler=Closing))
    client = await dial(service, "/closing")
    await client.send(str(length))
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1013
    assert client.close_reason is not None
    assert len(client.close_reason.encode()) <= 123
    assert client.close_reason == ("ä" * length + "end")[: len(client.close_reason)]
    assert len(client.close_reason) >= min(length, 61)


@asynccontextmanager
async def open_with(settings: SubscriberSettings, make_handler: MakeHandler) -> AsyncIterator[App]:
    """Run a service with one endpoint."""

    async def drain() -> None:
        pass

    yield App(
        max_frame=settings.max_frame,
        metrics=metrics.new_registry(),
        endpoints={"/closing": Endpoint(make_handler=make_handler)},
        readiness_problem=lambda: None,
        drain=drain,
    )


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(Opcode.TEXT, b"\xff\xfe")], 1007),
        ([Frame(Opcode.TEXT, b"\xc3", fin=False), Frame(Opcode.CONT, b"(")], 1007),
        ([Frame(Opcode.TEXT, b"a", fin=False), Frame(Opcode.TEXT, b"b")], 1002),
        ([Frame(Opcode.CONT, b"a")], 1002),
        ([Frame(Opcode.TEXT, b"x" * 5_000)], 1009),
        ([Frame(Opcode.TEXT, b"x" * 3_000, fin=False), Frame(Opcode.CONT, b"x" * 3_000)], 1009),
    ],
)
async def test_closes_on_a_violation(
    start_service: StartService, echo: Echo, dial: Dial, frames: list[Frame], code: int
) -> None:
    """A frame that RFC 6455 forbids, or one too large, closes the connection with the right code."""
    service = await start_service(echo.open, max_content=1_024)
    client, good = await dial(service, "/echo"), await dial(service, "/echo")
    client.transport.write(b"".join(frame.serialize(mask=True) for frame in frames))
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == code
    await good.send("x")
    assert await good.recv()


async def test_accepts_a_character_in_two_fragments(service: Service, dial: Dial) -> None:
    """Fragments may be cut within a character."""
    client = await dial(service, "/echo")
    for frame in (Frame(Opcode.TEXT, b"\xc3", fin=False), Frame(Opcode.CONT, b"\xa4")):
        client.transport.write(frame.serialize(mask=True))
    assert '"said":"ä"' in str(await client.recv())


async def test_many_frames_at_once_are_all_handled(service: Service, dial: Dial) -> None:
    """Frames beyond a fair share come in their order too, on a handler and on a task."""
    for path in ("/echo", "/task"):
        client = await dial(service, path)
        frames = [Frame(Opcode.TEXT, str(n).encode()).serialize(mask=True) for n in range(1_000)]
        client.transport.write(b"".join(frames))
        for number in range(1_000):
            assert f'"said":"{number}"' in str(await client.recv())


@pytest.mark.parametrize(("word", "code"), [("break", 1011), ("end", 1000)])
async def test_end_of_a_task_closes(service: Service, dial: Dial, word: str, code: int) -> None:
    """A handler that is a task closes its connection when it ends, and with 1011 when it fails."""
    client = await dial(service, "/task")
    await client.send(word)
    await client.recv()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == code
