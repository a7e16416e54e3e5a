"""Garbage on every listener, over real TLS: whatever is sent, only its sender is harmed (promise 7)."""

import asyncio
import base64
import contextlib
import os
import random
import ssl
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from fanline.protocol import SUBPROTOCOL
from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, until

# `FUZZ_INPUTS=20000 pytest tests/pipeline/test_fuzz.py` for a longer run, `FUZZ_SEED=7` for another one.
INPUTS = int(os.environ.get("FUZZ_INPUTS", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

TOKEN = base64.b64encode(b"hello:test").decode()

# What is cut up, repeated and mixed: most of it makes sense in some place.
SCRAPS = (
    b'{"topic":"t","content":1,"id":"a"}',
    b'[{"topic":"t","content":[[]]}]',
    b'{"Topic":"t","Content":"sub"}',
    *(b"sub t", b"unsub t", b"sub t after=1", b"sub > last=5", b'{"sub":"t","after":0}', b'{"unsub":"t"}'),
    *(b'{"pop":{"after":0}}', b'{"pop":{"consumer":"c"}}', b'{"done":1}', b'{"forget":"c"}'),
    *(b'{"read":{"ref":1,"topics":["t"],"after":0}}', b'{"consumers":true}'),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\u0000", b"\xff\xfe", b"\x00", b"\xf0\x9f\x98\x80"),
    *(b"null", b"-1", b"1e999", b"9" * 400, b"[" * 2000, b'{"a":' * 500),
)


def some_payload(rng: random.Random) -> bytes:
    """Return something that a client might send, or nearly."""
    payload = b"".join(rng.choice(SCRAPS) for _ in range(rng.randrange(1, 5)))
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(payload) + 1)
        payload = payload[:place] + rng.randbytes(rng.randrange(3)) + payload[place + rng.randrange(3) :]
    return payload


def some_frames(rng: random.Random) -> bytes:
    """Return a few WebSocket frames, some of them against the protocol."""
    frames = b""
    for _ in range(rng.randrange(1, 6)):
        opcode = rng.choice((Opcode.TEXT, Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE))
        frame = Frame(opcode, some_payload(rng), fin=rng.random() < 0.9)
        with contextlib.suppress(Exception):  # what the library would not send is sent below, as bytes
            frames += frame.serialize(mask=rng.random() < 0.95)
    return frames + rng.randbytes(rng.choice((0, 0, 0, 1, 20)))


def some_request(rng: random.Random, path: str) -> bytes:
    """Return an opening handshake, most often a right one."""
    lines = [
        f"{rng.choice(('GET', 'GET', 'GET', 'GET', 'POST', 'FOO', ''))} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Basic {TOKEN if rng.random() < 0.9 else 'x' * rng.randrange(2000)}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(rng.randbytes(16)).decode()}",
    ]
    if rng.random() < 0.5:
        lines.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
    if rng.random() < 0.1:
        lines.insert(rng.randrange(len(lines)), "X" * rng.randrange(20_000))
    request = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return request if rng.random() < 0.9 else request[: rng.randrange(len(request))]


async def throw(service: Service, tls: ssl.SSLContext, data: list[bytes]) -> None:
    """Send data to a service in pieces, take what comes back for a moment, and go without a word."""
    reader, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
    with contextlib.suppress(ConnectionError):
        for piece in data:
            writer.write(piece)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(65_536), 0.02)
    writer.transport.abort()


@pytest.mark.timeout(0 if INPUTS > 1_000 else 60)
async def test_garbage_harms_only_its_sender(
    start_service: StartService, dial: Dial, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """Random requests and frames to every path: afterwards all three services work as before."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url)
    good = await dial(subscriber, "/subscribe")
    await good.send("sub good")
    await good.recv()
    places = [(queue, "/pushmsg"), (queue, "/popmsg"), (publisher, "/publish"), (subscriber, "/subscribe")]
    rng = random.Random(SEED)
    for _ in range(INPUTS // 10):
        thrown = []
        for _ in range(10):
            service, path = rng.choice(places)
            thrown.append(
                throw(service, tls, [some_request(rng, path), *(some_frames(rng) for _ in range(3))])
            )
        await asyncio.gather(*thrown)

    await until(lambda: [len(each.connections) for each in (queue, publisher, subscriber)] == [5, 0, 1])
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"good","content":"still here","id":"fuzz-is-over"}')
    assert '"ok":"fuzz-is-over"' in str(await client.recv())
    assert '"content":"still here"' in str(await good.recv())
