"""NATS with JetStream: a stream in a file, with an acknowledgement for each message."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from bench.peers.acked import TOPIC, AckedDialect
from bench.peers.base import Plain, Template, framed
from bench.peers.nats import Nats, NatsDialect, log_in
from bench.wire import BINARY, Refused, Stream, client_frame

_STREAM: Final = {"name": "BENCH", "subjects": ["bench.>"], "storage": "file", "retention": "limits"}
_CONSUMER: Final = {
    "stream_name": "BENCH",
    "config": {"deliver_subject": "deliver.0", "ack_policy": "none", "deliver_policy": "new"},
}

_PUBLISHER: Final = "publisher"


class JetStreamDialect(NatsDialect, AckedDialect):
    """Publishing with a reply subject for the acknowledgement; subscribing by a push consumer."""

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Let a push consumer deliver all of the stream that is new; the topics are all of its topics."""
        del topics
        log_in(stream)
        stream.send(client_frame(b"SUB deliver.0 0\r\n", BINARY))
        request(stream, "$JS.API.CONSUMER.CREATE.BENCH", _CONSUMER)

    def prepare_publisher(self, stream: Stream) -> None:
        """Do as one of those who get acknowledgements."""
        self.prepare_acked(stream, _PUBLISHER)

    def prepare_acked(self, stream: Stream, name: str) -> None:
        """Log in, and subscribe to the acknowledgements."""
        log_in(stream)
        stream.send(client_frame(f"SUB ack.{name} 0\r\nPING\r\n".encode(), BINARY))
        stream.read_until(b"PONG\r\n")

    def acked_publication(self, name: str, size: int, together: int) -> bytes:
        """Return PUBs with a reply subject."""
        one = f"PUB {TOPIC} ack.{name} {size}\r\n".encode() + b"x" * size + b"\r\n"
        return client_frame(one * together, BINARY)

    def publication(self, topic: str, size: int) -> Template:
        """Return a PUB with a reply subject."""
        message = Plain(topic, size).template()
        head = f"PUB {topic} ack.{_PUBLISHER} {size}\r\n".encode()
        return framed(Template(head + message.before, message.after + b"\r\n"), BINARY)


class JetStreamDefault(Nats):
    """JetStream as it is by default: acknowledged when the kernel has it, on disk up to two minutes later."""

    name: ClassVar[str] = "jetstream"
    dialect = JetStreamDialect()

    def prepare(self) -> None:
        """Make the stream."""
        with Stream(self.publish_at, self.publish_at.context()) as stream:
            log_in(stream)
            request(stream, "$JS.API.STREAM.CREATE.BENCH", _STREAM)

    def more_configuration(self) -> str:
        """Return where the stream is kept."""
        return f'jetstream {{\n  store_dir: "{self.folder}/jetstream"\n  {self.sync_interval()}\n}}'

    def sync_interval(self) -> str:
        """Return when it is brought to disk."""
        return ""


class JetStreamAlways(JetStreamDefault):
    """JetStream that brings each message to disk before it is acknowledged, as Fanline does."""

    name: ClassVar[str] = "jetstream-always"

    def sync_interval(self) -> str:
        """Return the setting."""
        return "sync_interval: always"


def request(stream: Stream, subject: str, question: Any) -> None:
    """Ask the server for something, and wait until it is done.

    Raises:
        Refused: If the server does not want to.
    """
    body = json.dumps(question)
    said = f"SUB reply 1\r\nPUB {subject} reply {len(body)}\r\n{body}\r\n"
    stream.send(client_frame(said.encode(), BINARY))
    stream.read_until(b"MSG reply 1 ")
    size = int(stream.read_until(b"\r\n"))
    answer = stream.read_exactly(size)
    if b'"error"' in answer:
        raise Refused(answer.decode())
