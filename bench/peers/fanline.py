"""The services of this project: the pipeline, and chat on it."""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Final, Self
from urllib.parse import urlencode

import msgspec

from bench.load.layouts import TOPIC
from bench.load.wire import PONG, Address, Stream, client_frame
from bench.peers.base import FIRST_POSITION, Dialect, Peer, Template, padded
from bench.peers.logfile import begin_at
from bench.peers.process import ServerProcess, free_port
from bench.system import commit
from fanline.setting_sources import section_of
from fanline.settings import DEMO_PASSWORD, DEMO_USER

_LOGIN: Final = {
    "Authorization": "Basic " + base64.b64encode(f"{DEMO_USER}:{DEMO_PASSWORD}".encode()).decode(),
    "Sec-WebSocket-Protocol": "fanline.v1",
}

# What a delivered message has after its content.
_ADDED: Final = f',"seq":{FIRST_POSITION},"time":{"0" * 13},"from":"{DEMO_USER}"'

_URLS: Final = {"msgqueue": "queue_url", "publisher": "publisher_url", "subscriber": "subscriber_url"}


class FanlineDialect(Dialect):
    """``fanline.v1``, one message to a frame."""

    keepalive = client_frame(b"", PONG)  # unsolicited, which RFC 6455 allows (5.5.3)
    options: ClassVar[Mapping[str, object]] = {}  # of subscriptions to live messages

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        stream.upgrade("/subscribe", _LOGIN)
        options: Mapping[str, object] = self.options if after is None else {"after": after}
        stream.send(
            b"".join(client_frame(msgspec.json.encode({"sub": topic, **options})) for topic in topics)
        )
        for _ in topics:
            stream.read_until(b'{"subscribed":')
            stream.read_until(b"}")

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        del name
        stream.upgrade("/publish", _LOGIN)

    def payload(self, topic: str, size: int) -> Template:
        """Return a message that the services extend to ``size`` bytes."""
        return padded(f'{{"topic":"{topic}","content":"'.encode(), b'"}', size - len(_ADDED))

    def acked_payload(self, name: str, size: int, together: int) -> bytes:
        del name
        one = f'{{"topic":"{TOPIC}","content":"{"x" * (size - 2)}"}}'
        return (one if together == 1 else f"[{','.join([one] * together)}]").encode()


class PresenceDialect(FanlineDialect):
    """Subscribers that are present on their topics."""

    settling = 1.0  # the last joins are still being stored
    options: ClassVar[Mapping[str, object]] = {"presence": True}


class LatestDialect(FanlineDialect):
    """Subscribers that begin with the newest message of each topic."""

    options: ClassVar[Mapping[str, object]] = {"latest": True}


class EventsDialect(FanlineDialect):
    """A stream of server-sent events for each subscriber."""

    keepalive = b""  # streams have comments after a silence

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        query = [("topic", topic) for topic in topics] + ([] if after is None else [("after", str(after))])
        stream.send(_request("GET", f"/events?{urlencode(query)}"))
        stream.read_until(b"\r\n\r\nretry: ")
        stream.read_until(b"\n\n")

    def delivery_size(self, topic: str, size: int) -> int:
        del topic
        return size + len(f"id: {FIRST_POSITION}-{'e'.ljust(13, '0')}\ndata: \n\n")


class PostDialect(FanlineDialect):
    """A POST for each message, one at a time per connection."""

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        """Do nothing: each request has the login."""

    def acked_publication(self, name: str, size: int, together: int) -> bytes:
        del name
        assert together == 1
        return _request("POST", f"/topics/{TOPIC}/messages", f'"{"x" * (size - 2)}"')


def _request(method: str, target: str, body: str = "") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Authorization: {_LOGIN['Authorization']}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", body]).encode()


class Fanline(Peer):
    """Msgqueue, publisher and subscriber with their default settings.

    A log that is in the folder already, as ``data``, is used.

    Attributes:
        checkout: The source tree, with a virtual environment in ``.venv``; None for this one.
        services: The services that are started, the one that delivers first.
        workers: Number of processes of the publisher, and of the subscriber.
    """

    name: ClassVar[str] = "fanline"
    keeps: ClassVar[bool] = True
    dialect: Dialect = FanlineDialect()
    checkout: ClassVar[Path | None] = None
    services: ClassVar[Sequence[str]] = ("subscriber", "publisher", "msgqueue")
    workers: ClassVar[int] = 1

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder, certificates)
        self.ports = {name: free_port() for name in self.services}
        self._processes: dict[str, ServerProcess] = {}
        self._running = ExitStack()

    @classmethod
    def version(cls) -> str:
        return version("fanline") if cls.checkout is None else f"commit {commit(cls.checkout)}"

    def __enter__(self) -> Self:
        with self._running:
            if not (self.folder / "data").exists():
                begin_at(self.folder / "data", FIRST_POSITION)
            for name in reversed(self.services):
                self._start(name)
            for name in self.services:
                self._processes[name].wait_until(partial(self._is_ready, name))
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def pids(self) -> Mapping[str, int]:
        return {name: self._processes[name].pid for name in self.services}

    @property
    def publish_at(self) -> Address:
        return self.address(self.ports["publisher"])

    @property
    def subscribe_at(self) -> Address:
        return self.address(self.ports["subscriber"])

    def kill(self, name: str) -> None:
        self._processes[name].kill()

    def restart(self, name: str) -> None:
        self._start(name)
        self._processes[name].wait_until(partial(self._is_ready, name))

    def _start(self, name: str) -> None:
        settings: dict[str, object] = {
            "cert_dir": self.certificates,
            "data_dir": self.folder / "data",
            "token_key_file": self.folder / "token.key",
            "workers": self.workers,
            section_of(name).name_of("port"): self.ports[name],
        }
        settings |= {url: f"wss://localhost:{self.ports[service]}" for service, url in _URLS.items()}
        environment = {f"FANLINE_{key.upper()}": str(value) for key, value in settings.items()}
        python = sys.executable if self.checkout is None else str(self.checkout / ".venv/bin/python")
        command = [python, "-m", name]
        log = self.folder / f"{name}.log"
        process = self._processes[name] = ServerProcess(command, log, environment, self.checkout)
        self._running.callback(process.stop)

    def _is_ready(self, name: str) -> bool:
        address = self.address(self.ports[name])
        try:
            with Stream(address, address.context()) as stream:
                return stream.get("/readyz") == 200
        except OSError:
            return False


class FanlineEvents(Fanline):
    """The same, with subscribers that receive server-sent events."""

    name: ClassVar[str] = "fanline-events"
    dialect: Dialect = EventsDialect()


class FanlinePresence(Fanline):
    """The same, with subscribers that are present on their topics."""

    name: ClassVar[str] = "fanline-presence"
    dialect: Dialect = PresenceDialect()


class FanlinePost(Fanline):
    """The same, with publishers that make a request for each message."""

    name: ClassVar[str] = "fanline-post"
    dialect: Dialect = PostDialect()


class TwoWorkers(Fanline):
    """The same with two processes of the publisher, and of the subscriber."""

    name: ClassVar[str] = "fanline, 2 workers"
    workers: ClassVar[int] = 2


class ChatDialect(Dialect):
    """Members of one room, as the web page is one.

    A member receives messages in arrays, so that they are counted by a mark.
    """

    mark = b'"type":"chat"'
    keepalive = FanlineDialect.keepalive

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        """Enter the room, whatever the topics are."""
        del topics, after
        stream.upgrade("/api/serve/lobby", {"Sec-WebSocket-Protocol": "fanline.chat.v1"})
        stream.read_until(b'"self":true')

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        """Enter the room: only members can speak."""
        self.subscribe(stream, ())

    def payload(self, topic: str, size: int) -> Template:
        """Return a message that the services extend to ``size`` bytes."""
        entry = {
            "id": "1000001", "seq": 1000001, "roomId": "lobby", "memberId": "0" * 32,
            "memberName": "Some Body", "type": "chat", "message": "", "sent": "2026-01-01T00:00:00.000Z",
        }  # fmt: skip
        added = len(json.dumps(entry, separators=(",", ":"))) - len('{"message":""}')
        return padded(b'{"message":"', b'"}', size - added)


class Chat(Fanline):
    """Chat, and the pipeline under it."""

    name: ClassVar[str] = "chat"
    services: ClassVar[Sequence[str]] = ("chat", *Fanline.services)
    dialect: Dialect = ChatDialect()

    @property
    def publish_at(self) -> Address:
        return self.address(self.ports["chat"])

    @property
    def subscribe_at(self) -> Address:
        return self.address(self.ports["chat"])
