"""The chat service, on the three others."""

import json
from collections.abc import Sequence
from typing import ClassVar, Final

from bench.peers.base import Dialect, Template, filled, framed
from bench.peers.fanline import Fanline
from bench.wire import PONG, TEXT, Address, Stream, client_frame

_ROOM: Final = "/api/serve/lobby"
_PROTOCOL: Final = {"Sec-WebSocket-Protocol": "fanline.chat.v1"}


class ChatDialect(Dialect):
    """Members of one room, as the web page is one.

    What is due to a member comes in arrays, so that the bytes do not tell how many messages there were:
    they are counted by what stands in each of them.
    """

    mark = b'"type":"chat"'

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Enter the room; the topics are of no concern."""
        del topics
        stream.upgrade(_ROOM, _PROTOCOL)
        stream.read_until(b'"self":true')

    def prepare_publisher(self, stream: Stream) -> None:
        """Enter the room; whoever speaks there is a member."""
        self.subscribe(stream, ())

    def publication(self, topic: str, size: int) -> Template:
        """Return a message so much shorter as the services will add to it."""
        del topic
        return framed(filled(b'{"message":"', b'"}', size - len(_added()) + len('{"message":""}')), TEXT)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return 1: what is counted are messages."""
        del topic, size
        return 1

    def sign_of_life(self) -> bytes:
        """Return a pong that nobody has asked for."""
        return client_frame(b"", PONG)


class Chat(Fanline):
    """Chat, and the pipeline that it stands on."""

    name: ClassVar[str] = "chat"
    services: ClassVar[Sequence[str]] = ("chat", *Fanline.services)
    dialect: Dialect = ChatDialect()

    @property
    def publish_at(self) -> Address:
        """The chat service."""
        return self.address(self.ports["chat"])

    @property
    def subscribe_at(self) -> Address:
        """The chat service."""
        return self.address(self.ports["chat"])


def _added() -> str:
    """Return a message as a member gets it, with nothing in it."""
    entry = {
        "id": "1000001", "seq": 1000001, "roomId": "lobby", "memberId": "0" * 32, "memberName": "Some Body",
        "type": "chat", "message": "", "sent": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    return json.dumps(entry, separators=(",", ":"))
