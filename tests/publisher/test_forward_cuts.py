"""The link to msgqueue cut at every point of the exchange: each message is stored once (promises 1, 3, 6)."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from fanline.backoff import Backoff
from fanline.client.transport.connection import ReconnectingConnection
from fanline.client.transport.login import Login
from fanline.protocol import Ack, NewMessage
from fanline.queue.appender import Appender
from fanline.server import Service
from fanline.tasks import running_task
from msgqueue.app import open_msgqueue
from publisher.ordered_replies import OrderedReplies
from tests.conftest import Dial, StartService
from tests.stubs import PASSWORD, USER

MESSAGES = 1_500
WINDOW = 20

# A TLS and a WebSocket handshake take some 4,000 bytes here; so the cut comes in them, right behind them, or
# anywhere in the exchange of the next messages and acks.
FIRST_CUT, LAST_CUT = 2_000, 6_500


class CuttingProxy:
    """Passes TCP on, and drops each connection after a random number of bytes in either direction."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.cuts = 0
        self._port = port
        self._rng = rng

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        left = self._rng.randrange(FIRST_CUT, LAST_CUT)

        def spend(count: int) -> int:
            nonlocal left
            allowed = min(count, left)
            left -= allowed
            return allowed

        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, spend)),
            asyncio.create_task(self._pump(far_reader, writer, spend)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self.cuts += 1
        for each in (writer, far_writer):
            each.transport.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, spend: Callable[[int], int]
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                allowed = spend(len(data))
                target.write(data[:allowed])
                await target.drain()
                if allowed < len(data):
                    return


async def stored_contents(queue: Service, dial: Dial) -> list[int]:
    """Read the whole log."""
    reader = await dial(queue, "/popmsg")
    await reader.send('{"pop":{"after":0}}')
    await reader.recv()
    found: list[int] = []
    while len(found) < MESSAGES:
        found += [message["content"] for message in msgspec.json.decode(await reader.recv())]
    return found


async def test_cut_anywhere(start_service: StartService, dial: Dial, tls: ssl.SSLContext) -> None:
    """However often and wherever the link is cut, every message is acked, stored once, and in order."""
    queue = await start_service(open_msgqueue)
    proxy = CuttingProxy(queue.port, random.Random(1))
    async with proxy.listening() as port:
        link = ReconnectingConnection(
            f"wss://localhost:{port}/pushmsg",
            login=Login.by_password(USER, PASSWORD),
            tls=tls,
            backoff=Backoff(0.001, 0.002, random.Random(2)),
        )
        appender = Appender(link, buffer_bytes=1 << 20, timeout=60)
        room = asyncio.Semaphore(WINDOW)
        acks: list[int] = []

        class Replies(OrderedReplies):
            def on_settled(self) -> None:
                for answer in self.take():
                    assert isinstance(answer, Ack)
                    acks.append(answer.seq)
                    room.release()

        replies = Replies()
        async with running_task(appender.run()):
            for number in range(MESSAGES):
                await room.acquire()
                appender.append(NewMessage("t", msgspec.Raw(str(number).encode())), replies.open())
            await appender.flush()
    assert proxy.cuts > 70
    assert acks == list(range(1, MESSAGES + 1))
    assert await stored_contents(queue, dial) == list(range(MESSAGES))
