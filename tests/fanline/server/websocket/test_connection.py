"""One WebSocket: frames in and out, signs of life, and its end."""

import logging
import ssl

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fanline.server import Service
from tests.conftest import Dial, StartService, until
from tests.fanline.server.conftest import Echo, MakeToken


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
    make_token: MakeToken, service: Service, dial: Dial, tls: ssl.SSLContext
) -> None:
    """When a token expires its connection is closed with 4001, however busy it is, and no other."""
    url = f"wss://localhost:{service.port}/echo?token="
    async with (
        connect(url + make_token(lifetime=600), ssl=tls, proxy=None) as longer,
        connect(url + make_token(lifetime=1), ssl=tls, proxy=None) as short,
    ):
        with pytest.raises(ConnectionClosed):
            await talk(short)
        assert (short.close_code, short.close_reason) == (4001, "the token has expired; log in again")
        for client in (longer, await dial(service, "/echo")):
            await client.send("x")
            assert await client.recv()


async def test_defect_in_a_handler(service: Service, dial: Dial, caplog: pytest.LogCaptureFixture) -> None:
    """A defect ends its own connection with 1011, is logged, and harms nobody else."""
    with caplog.at_level(logging.ERROR):
        broken = await dial(service, "/broken")
        with pytest.raises(ConnectionClosed):
            await broken.recv()
    assert broken.close_code == 1011
    await until(lambda: "ZeroDivisionError" in caplog.text)
    client = await dial(service, "/echo")
    await client.send("x")
    assert await client.recv()


async def test_dead_peer_is_found_and_removed(start_service: StartService, echo: Echo, dial: Dial) -> None:
    """One that answers no ping is removed, in bounded time, and nothing is kept of it (line 8)."""
    service = await start_service(echo.open, ping_interval=0.2, silence_limit=0.2)
    dead, alive = await dial(service, "/echo"), await dial(service, "/echo")
    freeze(dead)
    await until(lambda: len(service.connections) == 1)
    await alive.send("still here")
    assert "still here" in str(await alive.recv())


async def test_half_a_frame(start_service: StartService, echo: Echo, dial: Dial) -> None:
    """One that sends half a frame and hangs holds nobody up, and goes the way of the dead (promise 7)."""
    service = await start_service(echo.open, ping_interval=0.2, silence_limit=0.2)
    half, good = await dial(service, "/echo"), await dial(service, "/echo")
    half.transport.write(b"\x81\xff\x00\x00")
    freeze(half)
    await good.send("x")
    assert await good.recv()
    await until(lambda: len(service.connections) == 1)


async def test_fragments_and_binary_frames(service: Service, dial: Dial) -> None:
    """A message in fragments, or in a binary frame, is a message like any other."""
    client = await dial(service, "/echo")
    await client.send(iter(["frag", "ment", "ed"]))
    assert '"fragmented"' in str(await client.recv())
    await client.send(b"binary")
    assert '"binary"' in str(await client.recv())
