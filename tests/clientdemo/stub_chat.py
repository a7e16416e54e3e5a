"""A stub chat service: one room over real TLS, which misbehaves on request."""

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fanline.change_notifier import ChangeNotifier
from fanline.errors import Rejected
from fanline.protocol import split_array
from tests.stubs import PASSWORD, Stub

ROOM = "den"
SUBPROTOCOL = Subprotocol("fanline.chat.v1")
START = datetime(2026, 11, 20, 9, 18, tzinfo=UTC)

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")


class Do(StrEnum):
    """Reaction of :class:`StubChat` to one message."""

    STORE = auto()  # store it, and show and acknowledge it
    IGNORE = auto()  # say nothing, ever
    FAIL = auto()  # give it back, as if it could not be stored in time, and read no more
    DROP_UNSTORED = auto()  # drop the connection, and lose the message
    DROP_UNACKED = auto()  # store it, and drop the connection instead of saying so


class _Connection(ServerConnection):
    """A connection whose request may have a body, which this library does not know."""

    body = b""
    _request = b""

    def data_received(self, data: bytes) -> None:
        if self.request is not None:
            super().data_received(data)
            return
        self._request += data
        head, _, self.body = self._request.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None or len(self.body) >= int(length[1]):
            super().data_received(_LENGTH.sub(b"", head) + b"\r\n\r\n")


class StubChat(Stub):
    """Lets people into the room :data:`ROOM`, and shows them what is said there.

    Attributes:
        log: What has happened in the room.
        script: What to do with the next messages; when it is empty they are stored.
        problem: If set, what is asked for at a path that begins with the first is answered with the others.
        entered: Name and ``after`` of each WebSocket that was opened, in order.
    """

    def __init__(self, cert_dir: Path, port: int = 0) -> None:
        super().__init__(cert_dir, port)
        self.log: list[dict[str, Any]] = []
        self.script: deque[Do | Rejected] = deque()
        self.problem: tuple[str, HTTPStatus, str] | None = None
        self.entered: list[tuple[str, int | None]] = []
        self._positions: dict[tuple[str, str], int] = {}
        self._members: dict[ServerConnection, tuple[str, str]] = {}

    @property
    def said(self) -> list[tuple[str, str]]:
        """The messages received, with their senders."""
        return [(event["memberName"], event["message"]) for event in self.log if event["type"] == "chat"]

    def store(
        self, name: str, message: str = "", *, kind: str = "chat", member: str = "other"
    ) -> dict[str, Any]:
        """Add an event without sending it, as while no client is connected."""
        seq = 2 * len(self.log) + 1
        sent = (START + timedelta(minutes=len(self.log))).isoformat(timespec="milliseconds")
        event = {
            "id": str(seq),
            "seq": seq,
            "roomId": ROOM,
            "memberId": member,
            "memberName": name,
            "type": kind,
            "message": message,
            "sent": sent.replace("+00:00", "Z"),
        }
        self.log.append(event)
        return event

    async def happen(self, name: str, message: str = "", **more: str) -> dict[str, Any]:
        """Add an event, and send it to all clients."""
        event = self.store(name, message, **more)
        await self.say(event)
        return event

    async def say(self, frame: object) -> None:
        """Send one frame to all clients."""
        await self.send(msgspec.json.encode(frame).decode())

    async def start(self) -> None:
        self._changed = ChangeNotifier()
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            self.port,
            ssl=self._tls,
            process_request=self._admit,
            select_subprotocol=lambda _, offered: (
                SUBPROTOCOL if SUBPROTOCOL in offered and self.speaks_v1 else None
            ),
            compression=None,
            max_size=65_536,
            create_connection=_Connection,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    # Pages.

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, _Connection)
        if self.problem is not None and request.path.startswith(self.problem[0]):
            _, status, reason = self.problem
            return _problem(status, "as-scripted", reason)
        if request.method == "POST":
            return self._let_in(request.path, connection.body)
        url = urlsplit(request.path)
        if not request.headers["Authorization"].startswith("Bearer token-of-"):
            return _problem(HTTPStatus.UNAUTHORIZED, "unauthorized", "this is no token")
        if ROOM not in url.path.split("/"):
            return _problem(HTTPStatus.NOT_FOUND, "unknown-room", "there is no such room")
        if url.path == f"/api/room/{ROOM}/messages":
            return _answer(HTTPStatus.OK, self._page(parse_qs(url.query)))
        return None

    def _let_in(self, path: str, body: bytes) -> Response:
        name = "Coral Otter"
        if path == "/login":
            credentials = msgspec.json.decode(body)
            name = credentials["name"]
            self.logins.append((name, credentials["password"]))
            if credentials["password"] != PASSWORD:
                reason = "this is not the password of this server"
                return _problem(HTTPStatus.UNAUTHORIZED, "wrong-password", reason)
        return _answer(HTTPStatus.OK, {"token": f"token-of-{name}", "name": name, "expires": 0})

    def _page(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        before = int(query.get("before", ["1000000"])[0])
        return [event for event in self.log if event["seq"] < before][-int(query["limit"][0]) :]

    # The room.

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name = connection.request.headers["Authorization"].removeprefix("Bearer token-of-")
        query = parse_qs(urlsplit(connection.request.path).query)
        after = int(query["after"][0]) if "after" in query else None
        member = f"member-{len(self.entered)}"
        missed = [event for event in self.log if after is not None and event["seq"] > after]
        joined = await self.happen(name, kind="joined", member=member)
        await self._tell(connection, joined | {"self": True})
        if missed:
            await self._tell(connection, missed)
        self._members[connection] = name, member
        self.entered.append((name, after))
        await super()._handle(connection)
        self.store(name, kind="left", member=member)

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        for body in split_array(frame):
            message = msgspec.json.decode(body)
            await self._follow(self.script.popleft() if self.script else Do.STORE, message, connection)

    async def _follow(
        self, step: Do | Rejected, message: dict[str, Any], connection: ServerConnection
    ) -> None:
        key, text = message["id"], message["message"]
        if isinstance(step, Rejected):
            await self._tell(connection, {"error": step.code, "reason": step.reason, "id": key})
        elif step is Do.FAIL:
            failed = {"type": "failed", "roomId": ROOM, "message": text, "reason": "not in time", "id": key}
            await self._tell(connection, failed)
        elif step in (Do.STORE, Do.DROP_UNACKED):
            await self._store_once(connection, key, text, is_shown=step is Do.STORE)
        if step in (Do.DROP_UNSTORED, Do.DROP_UNACKED):
            connection.transport.abort()
        if step in (Do.FAIL, Do.DROP_UNSTORED, Do.DROP_UNACKED):
            await connection.wait_closed()
            raise ConnectionClosed(None, None)

    async def _store_once(self, connection: ServerConnection, key: str, text: str, *, is_shown: bool) -> None:
        name, member = self._members[connection]
        if (name, key) not in self._positions:
            event = self.store(name, text, member=member)
            self._positions[name, key] = event["seq"]
            if is_shown:
                await self.say(event)
        if is_shown:
            await self._tell(connection, {"ok": key, "seq": self._positions[name, key]})

    async def _tell(self, connection: ServerConnection, frame: object) -> None:
        await connection.send(msgspec.json.encode(frame), text=True)


def _problem(status: HTTPStatus, code: str, detail: str) -> Response:
    """Return an answer of RFC 9457, as chat gives it."""
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return _answer(status, problem, "application/problem+json")


def _answer(status: HTTPStatus, content: object, kind: str = "application/json") -> Response:
    body = msgspec.json.encode(content)
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
