"""The naive server: ``python -m bench.peers.naive_server PORT CERTIFICATES``. Nothing is stored or joined."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from fanline.security.tls import server_context
from fanline.server.process import raise_file_limit

_subscribers: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def _handle(connection: ServerConnection) -> None:
    topics = set()
    try:
        async for frame in connection:
            assert isinstance(frame, str)
            if frame.startswith("sub "):
                topic = frame.removeprefix("sub ")
                topics.add(topic)
                _subscribers[topic].add(connection)
                await connection.send(f"subscribed {topic}")
            else:
                broadcast(_subscribers[json.loads(frame)["topic"]], frame)
    finally:
        for topic in topics:
            _subscribers[topic].discard(connection)


async def _run(port: int, certificates: Path) -> None:
    context = server_context(certificates)
    async with serve(_handle, "127.0.0.1", port, ssl=context, compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_run(int(sys.argv[1]), Path(sys.argv[2])))
