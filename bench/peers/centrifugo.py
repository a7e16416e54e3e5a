"""Centrifugo over WebSocket, with JSON protocol and memory engine."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from bench.load.wire import Stream, client_frame
from bench.peers.base import Dialect, SingleServer, Template, message

# Acknowledged messages go to this channel, which has a history; there is none for other channels.
_KEPT: Final = "kept:0"
_HISTORY: Final = {"history_size": 10_000, "history_ttl": "300s"}
_OPEN: Final = {"allow_subscribe_for_anonymous": True, "allow_subscribe_for_client": True,
                "allow_publish_for_anonymous": True, "allow_publish_for_client": True}  # fmt: skip

_MODULE: Final = re.compile(rb"mod\tgithub\.com/centrifugal/centrifugo/v\d+\tv(\S+)")


class CentrifugoDialect(Dialect):
    """JSON commands and replies, one or several lines to a frame.

    The server joins messages into one frame, so that they are counted by a mark.
    """

    mark = b'"push":{"channel"'
    ack_mark = b'"publish":{'

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        del after
        self.prepare_publisher(stream)
        for number, topic in enumerate(topics, 2):
            stream.send(client_frame(_command(number, "subscribe", {"channel": topic})))
            stream.read_until(b'"subscribe":{')
            stream.read_until(b"}")

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        del name
        stream.upgrade("/connection/websocket", {})
        stream.send(client_frame(_command(1, "connect", {})))
        stream.read_until(b'"pong":true}')
        stream.read_until(b"}")

    def payload(self, topic: str, size: int) -> Template:
        before, after = message(topic, size)
        head = f'{{"id":3,"publish":{{"channel":"{topic}","data":'.encode()
        return Template(head + before, after + b"}}")

    def acked_payload(self, name: str, size: int, together: int) -> bytes:
        return b"\n".join([_command(3, "publish", {"channel": _KEPT, "data": "x" * (size - 2)})] * together)


class Centrifugo(SingleServer):
    """One ``centrifugo`` by default settings, without login.

    Its pings are rare, as those of the other servers.
    """

    name: ClassVar[str] = "centrifugo"
    dialect: Dialect = CentrifugoDialect()

    @classmethod
    def missing(cls) -> str | None:
        if shutil.which("centrifugo"):
            return None
        how = "go install github.com/centrifugal/centrifugo/v6@latest"
        return f"centrifugo is left out, there is none on PATH: {how}"

    @classmethod
    def version(cls) -> str:
        """Return the version of the module it was built from.

        ``centrifugo version`` knows none.
        """
        found = _MODULE.search(Path(shutil.which("centrifugo") or "").read_bytes())
        return found[1].decode() if found else "unknown"

    def command(self) -> Sequence[str]:
        keys = {"cert_pem": f"{self.certificates}/server.crt", "key_pem": f"{self.certificates}/server.key"}
        configuration = {
            "http_server": {"address": "127.0.0.1", "port": self.port, "tls": {"enabled": True} | keys},
            "client": {"allow_anonymous_connect_without_token": True, "ping_interval": "1h"},
            "channel": {
                "without_namespace": _OPEN,
                "namespaces": [{"name": "kept"} | _OPEN | _HISTORY],
            },
            "usage_stats": {"disabled": True},
        }
        path = self.folder / "centrifugo.json"
        path.write_text(json.dumps(configuration))
        return ["centrifugo", "--config", str(path)]


def _command(number: int, method: str, parameters: dict[str, Any]) -> bytes:
    return json.dumps({"id": number, method: parameters}, separators=(",", ":")).encode()
