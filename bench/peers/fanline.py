"""The three services of this project."""

import base64
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Final, Self

import msgspec

from bench.logfile import begin_at
from bench.peers.acked import TOPIC, AckedDialect
from bench.peers.base import FIRST_POSITION, Dialect, Peer, Template, filled, framed
from bench.processes import ServerProcess
from bench.wire import PONG, TEXT, Address, Stream, client_frame, server_header_size
from fanline.settings import DEMO_PASSWORD, DEMO_USER

_LISTENING: Final = re.compile(r"listening on https://[^:]+:(\d+)")

_NEIGHBOURS: Final = {
    "queue_url": "msgqueue",
    "publisher_url": "publisher",
    "subscriber_url": "subscriber",
}

_LOGIN: Final = {
    "Authorization": "Basic " + base64.b64encode(f"{DEMO_USER}:{DEMO_PASSWORD}".encode()).decode(),
    "Sec-WebSocket-Protocol": "fanline.v1",
}


class FanlineDialect(AckedDialect):
    """``fanline.v1``, one message to a frame."""

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Log in, subscribe to each topic, and wait for the answers."""
        stream.upgrade("/subscribe", _LOGIN)
        stream.send(b"".join(client_frame(msgspec.json.encode({"sub": topic})) for topic in topics))
        for _ in topics:
            stream.read_until(b'{"subscribed":')
            stream.read_until(b"}")

    def prepare_publisher(self, stream: Stream) -> None:
        """Log in."""
        stream.upgrade("/publish", _LOGIN)

    def publication(self, topic: str, size: int) -> Template:
        """Return a message so much shorter as the services will add to it."""
        before = f'{{"topic":"{topic}","content":"'.encode()
        return framed(filled(before, b'"}', size - len(_added())), TEXT)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return the message with the header of its frame."""
        return size + server_header_size(size)

    def prepare_acked(self, stream: Stream, name: str) -> None:
        """Log in; every publisher gets acknowledgements."""
        del name
        self.prepare_publisher(stream)

    def acked_publication(self, name: str, size: int, together: int) -> bytes:
        """Return one frame: a message, or an array of them."""
        del name
        one = f'{{"topic":"{TOPIC}","content":"{"x" * (size - 2)}"}}'
        return client_frame((one if together == 1 else f"[{','.join([one] * together)}]").encode())

    def resume(self, stream: Stream, topic: str, position: int) -> None:
        """Make a new connection that of a subscriber who has had everything up to a position."""
        stream.upgrade("/subscribe", _LOGIN)
        stream.send(client_frame(msgspec.json.encode({"sub": topic, "after": position})))
        stream.read_until(b'{"subscribed":')
        stream.read_until(b"}")

    def sign_of_life(self) -> bytes:
        """Return a pong that nobody has asked for, which RFC 6455 allows (5.5.3)."""
        return client_frame(b"", PONG)


def _added() -> str:
    """Return what stands behind the content of a message when it is delivered, and not before."""
    return f',"seq":{FIRST_POSITION},"time":{"0" * 13},"from":"{DEMO_USER}"'


class Fanline(Peer):
    """Msgqueue, publisher and subscriber, with the settings that they have by default.

    A log that is in the folder already, as ``data``, is used.

    Attributes:
        services: Those that are started, the one that delivers first.
        workers: How many processes there are of the publisher, and of the subscriber.
    """

    name: ClassVar[str] = "fanline"
    keeps: ClassVar[bool] = True
    dialect: Dialect = FanlineDialect()

    services: ClassVar[Sequence[str]] = ("subscriber", "publisher", "msgqueue")
    workers: ClassVar[int] = 1

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder, certificates)
        self.ports: dict[str, int] = {}
        self._processes: dict[str, ServerProcess] = {}
        self._running = ExitStack()

    @classmethod
    def version(cls) -> str:
        """Return the version of the package."""
        return version("fanline")

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            if not (self.folder / "data").exists():
                begin_at(self.folder / "data", FIRST_POSITION)
            for name in reversed(self.services):
                self._start(starting, name)
            for name in self.services:
                self._processes[name].wait_until(partial(self._is_ready, name))
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def pids(self) -> Mapping[str, int]:
        """The services, the one that delivers first."""
        return {name: self._processes[name].pid for name in self.services}

    @property
    def publish_at(self) -> Address:
        """The publisher service."""
        return self.address(self.ports["publisher"])

    @property
    def subscribe_at(self) -> Address:
        """The subscriber service."""
        return self.address(self.ports["subscriber"])

    def restart(self, name: str) -> None:
        """Start a service again, on the port that it had."""
        self._start(self._running, name)

    def kill(self, name: str) -> None:
        """Kill a service, as a power cut would."""
        self._processes[name].kill()

    def _start(self, running: ExitStack, name: str) -> None:
        settings: dict[str, object] = {
            "cert_dir": self.certificates,
            "data_dir": self.folder / "data",
            "token_key_file": self.folder / "token.key",
            "workers": self.workers,
            f"{name}_port": self.ports.get(name, 0),
        }
        for setting, neighbour in _NEIGHBOURS.items():
            if neighbour in self.ports:
                settings[setting] = f"wss://localhost:{self.ports[neighbour]}"
        environment = {f"FANLINE_{key.upper()}": str(value) for key, value in settings.items()}
        log = self.folder / f"{name}.log"
        log.write_bytes(b"")
        process = ServerProcess([sys.executable, "-m", name], log, environment)
        running.callback(process.stop)
        process.wait_until(lambda: _LISTENING.search(log.read_text()) is not None)
        found = _LISTENING.search(log.read_text())
        assert found is not None
        self.ports[name] = int(found[1])
        self._processes[name] = process

    def _is_ready(self, name: str) -> bool:
        address = self.address(self.ports[name])
        with Stream(address, address.context()) as stream:
            return stream.get("/readyz") == 200


class TwoWorkers(Fanline):
    """The same with two processes of the publisher, and of the subscriber."""

    name: ClassVar[str] = "fanline, 2 workers"
    workers: ClassVar[int] = 2
