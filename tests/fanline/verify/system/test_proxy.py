"""The network link of ``fanline verify``, between a plain client and an echo server."""

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from fanline.verify.system.proxy import MAX_TORN_BYTES, Proxy
from tests.stubs import DEADLINE

BIG = bytes(range(256)) * 8_000

Stream = tuple[StreamReader, StreamWriter]
Dial = Callable[[], Awaitable[Stream]]


class Echo:
    """A server that sends back whatever comes, and closes when asked to."""

    def __init__(self) -> None:
        self.received = b""
        self.port = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError):
            while (data := await reader.read(65_536)) and data != b"close":
                self.received += data
                writer.write(data)
                await writer.drain()
            writer.write(b"the end")
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """The server behind the link."""
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        yield echo


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    """A link to the server."""
    proxy = Proxy(random.Random(1))
    proxy.target = echo.port
    await proxy.start()
    async with asyncio.timeout(DEADLINE):
        yield proxy
    await proxy.close()


@pytest.fixture
async def dial(proxy: Proxy) -> AsyncIterator[Dial]:
    """Connect to the link; what is still open at the end is closed."""
    opened: list[StreamWriter] = []

    async def dial() -> Stream:
        stream = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append(stream[1])
        return stream

    yield dial
    for writer in opened:
        writer.transport.abort()


async def echoed(stream: Stream, data: bytes) -> bytes:
    """Send something, and return as much of what comes back."""
    reader, writer = stream
    writer.write(data)
    return await reader.readexactly(len(data))


async def rest(stream: Stream) -> bytes:
    """Return what still comes until the connection ends, in whichever way."""
    data = b""
    try:
        while chunk := await stream[0].read(65_536):
            data += chunk
    except ConnectionError:
        pass
    return data


async def connected(dial: Dial) -> Stream:
    """Return a connection that is known to be through."""
    stream = await dial()
    assert await echoed(stream, b"hello") == b"hello"
    return stream


async def test_relays_both_ways(proxy: Proxy, dial: Dial) -> None:
    """Everything arrives, byte for byte, on several connections at once."""
    streams = [await connected(dial) for _ in range(3)]
    assert all(await asyncio.gather(*(echoed(stream, BIG) for stream in streams)))


async def test_the_end_of_one_side_reaches_the_other_behind_its_data(proxy: Proxy, dial: Dial) -> None:
    """Data that a service sends before it closes is not lost."""
    stream = await connected(dial)
    stream[1].write(b"close")
    assert await rest(stream) == b"the end"


async def test_cut(proxy: Proxy, dial: Dial) -> None:
    """All connections are reset; new ones are made as before."""
    streams = [await connected(dial) for _ in range(2)]
    proxy.cut()
    for reader, _ in streams:
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    await connected(dial)


async def test_tear(proxy: Proxy, dial: Dial, echo: Echo) -> None:
    """A connection ends within what is being sent, with a part of it delivered; new ones are unharmed."""
    stream = await connected(dial)
    echo.received = b""
    tearing = asyncio.create_task(proxy.tear(DEADLINE))
    await asyncio.sleep(0)
    stream[1].write(BIG)
    await rest(stream)
    assert 0 < len(echo.received) < MAX_TORN_BYTES
    assert BIG.startswith(echo.received)
    assert await echoed(await connected(dial), BIG) == BIG
    tearing.cancel()


async def test_tear_of_an_idle_connection(proxy: Proxy, dial: Dial) -> None:
    """One that carries nothing is cut when the time is over."""
    stream = await connected(dial)
    await proxy.tear(0)
    assert await rest(stream) == b""


async def test_stall(proxy: Proxy, dial: Dial) -> None:
    """Nothing passes until the longest stall is over; nothing is lost, on old and new connections."""
    old = await connected(dial)
    stalling = asyncio.create_task(proxy.stall(0.3))
    await proxy.stall(0)
    new = await dial()
    for stream in (old, new):
        stream[1].write(b"late")
    reading = [asyncio.create_task(stream[0].read(4)) for stream in (old, new)]
    await stalling
    assert not any(task.done() for task in reading)
    assert [await task for task in reading] == [b"late", b"late"]


async def test_block(proxy: Proxy, dial: Dial) -> None:
    """Old connections are reset, and new ones too, until it is over."""
    old = await connected(dial)
    blocking = asyncio.create_task(proxy.block(DEADLINE))
    assert await rest(old) == b""
    assert await rest(await dial()) == b""
    blocking.cancel()
    await asyncio.wait([blocking])
    await connected(dial)


async def test_no_service_at_the_other_end(proxy: Proxy, dial: Dial) -> None:
    """Without a target, or with one that does not listen, connections end at once."""
    proxy.target = 1
    assert await rest(await dial()) == b""
    proxy.target = None
    assert await rest(await dial()) == b""


async def test_a_slow_reader_is_felt_at_the_other_end(proxy: Proxy, dial: Dial) -> None:
    """The link holds little: who sends more to one that does not read has to wait."""
    _, writer = await connected(dial)

    async def send_much() -> None:
        for _ in range(50):
            writer.write(BIG)
            await writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send_much(), 1)


async def test_close(proxy: Proxy, dial: Dial) -> None:
    """Nothing is left of the connections, not even of those that do not read."""
    streams = [await connected(dial) for _ in range(2)]
    streams[0][1].write(BIG * 4)
    await proxy.close()
    for stream in streams:
        await rest(stream)
    with pytest.raises(ConnectionRefusedError):
        await dial()
