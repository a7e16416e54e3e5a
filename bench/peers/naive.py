"""The baseline: what one writes in an afternoon with ``websockets`` and its ``broadcast``."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar

from bench.peers.base import Dialect, Plain, Template, framed
from bench.peers.single import SingleServer
from bench.wire import TEXT, Stream, client_frame, server_header_size


class NaiveDialect(Dialect):
    """JSON in text frames."""

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Subscribe to each topic, and wait for the answers."""
        stream.upgrade("/", {})
        for topic in topics:
            stream.send(client_frame(f"sub {topic}".encode()))
            stream.read_until(f"subscribed {topic}".encode())

    def prepare_publisher(self, stream: Stream) -> None:
        """There is no login."""
        stream.upgrade("/", {})

    def publication(self, topic: str, size: int) -> Template:
        """Return the message itself, which the server hands on as it is."""
        return framed(Plain(topic, size).template(), TEXT)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return the message with the header of its frame."""
        return size + server_header_size(size)


class Naive(SingleServer):
    """One process, on uvloop."""

    name: ClassVar[str] = "naive"
    dialect: Dialect = NaiveDialect()

    @classmethod
    def version(cls) -> str:
        """Return the version of the library."""
        return f"websockets {version('websockets')}"

    def command(self) -> Sequence[str]:
        """Return the interpreter with the module beside this one."""
        return [sys.executable, "-m", "bench.peers.naive_server", str(self.port), str(self.certificates)]
