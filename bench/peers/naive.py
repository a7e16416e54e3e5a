"""The baseline: ``websockets`` and its ``broadcast``. As a program: ``PORT CERTIFICATES``."""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.load.wire import Stream, client_frame
from bench.peers.base import Dialect, SingleServer, Template, message
from fanline.security.tls import server_context
from fanline.server.process import raise_file_limit


class NaiveDialect(Dialect):
    """JSON in text frames."""

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        del after
        stream.upgrade("/", {})
        for topic in topics:
            stream.send(client_frame(f"sub {topic}".encode()))
            stream.read_until(f"subscribed {topic}".encode())

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        del name
        stream.upgrade("/", {})

    def payload(self, topic: str, size: int) -> Template:
        return message(topic, size)


class Naive(SingleServer):
    """One process on uvloop, which stores and joins nothing."""

    name: ClassVar[str] = "naive"
    dialect: Dialect = NaiveDialect()

    @classmethod
    def version(cls) -> str:
        return f"websockets {version('websockets')}"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "bench.peers.naive", str(self.port), str(self.certificates)]


async def _run(port: int, certificates: Path) -> None:
    subscribers: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    async def handle(connection: ServerConnection) -> None:
        topics = set()
        try:
            async for frame in connection:
                assert isinstance(frame, str)
                if frame.startswith("sub "):
                    topic = frame.removeprefix("sub ")
                    topics.add(topic)
                    subscribers[topic].add(connection)
                    await connection.send(f"subscribed {topic}")
                else:
                    broadcast(subscribers[json.loads(frame)["topic"]], frame)
        finally:
            for topic in topics:
                subscribers[topic].discard(connection)

    context = server_context(certificates)
    async with serve(handle, "127.0.0.1", port, ssl=context, compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_run(int(sys.argv[1]), Path(sys.argv[2])))
