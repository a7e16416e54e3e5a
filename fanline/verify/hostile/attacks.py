"""Attacks of a client within all limits, each until cancelled.

Those that log in do so as a user who may publish and subscribe. None opens more than some hundreds of
connections.
"""

import asyncio
import base64
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec
from websockets.frames import Frame, Opcode

from fanline.protocol import basic_authorization
from fanline.verify.hostile.target import Target, again, discard, together

# What a frame may have at most on /publish.
PUBLISH_FRAME: Final = 4 << 20

LARGE: Final = "x" * 1_000_000
HEADER_BYTES: Final = 1_500
UNREAD_SECONDS: Final = 5.0

PUBLISH, SUBSCRIBE = "/publish", "/subscribe"

Attack = Callable[[Target], Coroutine[Any, Any, None]]


async def send_many_elements(target: Target) -> None:
    """Send frames that have as many elements as possible."""
    numbers = b"[" + b"1," * (PUBLISH_FRAME // 2 - 2) + b"1]"
    commands = b'["sub a"' + b',"sub a"' * 5_000 + b"]"
    async with asyncio.TaskGroup() as group:
        group.create_task(again(partial(_repeat, target, target.publisher, PUBLISH, numbers)))
        group.create_task(again(partial(_repeat, target, target.subscriber, SUBSCRIBE, commands)))


async def flood_with_messages(target: Target) -> None:
    """Publish small and large messages as fast as possible."""
    small = msgspec.json.encode([{"topic": "flood.small", "content": n} for n in range(250)])
    large = msgspec.json.encode({"topic": "flood.large", "content": LARGE})
    async with asyncio.TaskGroup() as group:
        for frame in (small, large, small, large):
            group.create_task(again(partial(_repeat, target, target.publisher, PUBLISH, frame)))


async def make_topics(target: Target) -> None:
    """Publish each message on a topic of its own."""
    name = base64.b32encode(os.urandom(5)).decode()
    frames = (
        msgspec.json.encode([{"topic": f"new.{name}.{start + n}", "content": 0} for n in range(250)])
        for start in count(step=250)
    )

    async def publish() -> None:
        async with target.open(target.publisher, PUBLISH) as connection:
            reading = asyncio.create_task(discard(connection))
            for frame in frames:
                await connection.send(frame, text=True)
                await asyncio.sleep(0)  # sending waits for nothing while the service takes all of it
            await reading

    await again(publish)


async def subscribe_to_many_patterns(target: Target) -> None:
    """Hold as many patterns as possible, which branch as much as possible."""
    body = ".".join("*" * 14)
    commands = [{"sub": f"{body[: 2 * (n % 14)]}t{n}.{body[2 * (n % 14) :]}"} for n in range(1_000)]
    await together(10, partial(_subscribe, target, commands))


async def catch_up_with_many_patterns(target: Target) -> None:
    """Read the whole log with many wildcards, again and again."""
    commands = [{"sub": f"none{n}.*.>", "after": 0} for n in range(998)]
    await together(3, partial(_subscribe, target, [*commands, {"sub": "*.flood.>", "after": 0}]))


async def read_history_of_nothing(target: Target) -> None:
    """Read pages for patterns that match nothing."""
    path = "/topics/no.*.such.>/messages"
    login = basic_authorization(target.user, target.password)
    await together(60, partial(_request, target, target.subscriber, path, login))


async def read_nothing(target: Target) -> None:
    """Subscribe to everything, and ping, and read nothing."""
    ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 100

    async def be_deaf(port: int, path: str) -> None:
        async with target.open(port, path) as connection:
            await connection.send('{"sub":">","last":1000}')
            connection.transport.pause_reading()
            async with asyncio.timeout(UNREAD_SECONDS):
                while True:
                    connection.transport.write(ping)
                    await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(again(partial(be_deaf, target.subscriber, SUBSCRIBE)))
            group.create_task(again(partial(be_deaf, target.publisher, PUBLISH)))


async def leave_frames_unfinished(target: Target) -> None:
    """Send all of a large frame but its end."""
    frame = Frame(Opcode.TEXT, b"x" * (PUBLISH_FRAME // 2)).serialize(mask=True)[:-1]

    async def send_most() -> None:
        async with target.open(target.publisher, PUBLISH) as connection:
            connection.transport.write(frame)
            await asyncio.wait_for(discard(connection), UNREAD_SECONDS)

    await together(40, send_most)


async def leave_handshakes_unfinished(target: Target) -> None:
    """Open connections without TLS, and some with TLS, and finish no request."""

    async def say_nothing(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        try:
            await asyncio.wait_for(reader.read(), UNREAD_SECONDS)
        finally:
            writer.transport.abort()

    async def say_half(port: int) -> None:
        reader, writer = await target.open_streams(port)
        try:
            writer.write(b"GET /publish HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 30_000)
            await asyncio.wait_for(reader.read(), UNREAD_SECONDS)
        finally:
            writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        for port in target.ports:
            group.create_task(together(200, partial(say_nothing, port)))
            group.create_task(together(50, partial(say_half, port)))


async def send_long_headers(target: Target) -> None:
    """Make requests without login, with longest headers and control characters."""
    origin = "\x1b[31m" + "\xff" * HEADER_BYTES
    headers = "".join(f"Origin: {origin}\r\n" for _ in range(20))
    await together(2, partial(_request, target, target.subscriber, "/topics/t/messages", "Basic x", headers))


async def guess_passwords(target: Target) -> None:
    """Log in with wrong passwords, as users that exist and as others."""
    guesses = count()

    async def guess() -> None:
        user = (target.user, "nobody")[next(guesses) % 2]
        login = basic_authorization(user, str(next(guesses)))
        await _request(target, target.publisher, "/publish", login)

    await together(10, guess)


async def connect_and_leave(target: Target) -> None:
    """Open WebSockets, and leave at once."""

    async def visit(port: int, path: str) -> None:
        async with target.open(port, path) as connection:
            connection.transport.abort()

    async with asyncio.TaskGroup() as group:
        group.create_task(again(partial(visit, target.publisher, PUBLISH)))
        group.create_task(again(partial(visit, target.subscriber, SUBSCRIBE)))


ATTACKS: Final[Mapping[str, Attack]] = {
    "many elements": send_many_elements,
    "floods": flood_with_messages,
    "new topics": make_topics,
    "many patterns": subscribe_to_many_patterns,
    "catching up": catch_up_with_many_patterns,
    "empty history": read_history_of_nothing,
    "reading nothing": read_nothing,
    "unfinished frames": leave_frames_unfinished,
    "unfinished handshakes": leave_handshakes_unfinished,
    "long headers": send_long_headers,
    "guessing": guess_passwords,
    "coming and going": connect_and_leave,
}


async def _repeat(target: Target, port: int, path: str, frame: bytes) -> None:
    """Send a frame again and again, and read what is answered."""
    async with target.open(port, path) as connection:
        reading = asyncio.create_task(discard(connection))
        try:
            while True:
                await connection.send(frame, text=True)
                await asyncio.sleep(0)  # sending waits for nothing while the service takes all of it
        finally:
            reading.cancel()


async def _subscribe(target: Target, commands: Sequence[Mapping[str, object]]) -> None:
    """Send commands, and read for a while what comes."""
    async with target.open(target.subscriber, SUBSCRIBE) as connection:
        for start in range(0, len(commands), 200):
            await connection.send(msgspec.json.encode(commands[start : start + 200]), text=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(discard(connection), UNREAD_SECONDS)


async def _request(target: Target, port: int, path: str, authorization: str, headers: str = "") -> None:
    """Make one request, and read the answer."""
    reader, writer = await target.open_streams(port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}"
        writer.write(f"{head}Authorization: {authorization}\r\n\r\n".encode("latin-1"))
        await reader.read()
    finally:
        writer.transport.abort()
