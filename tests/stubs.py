"""Stub services: small servers over real TLS that misbehave on request.

Each is an async context manager that listens on a free port, or again on the same one after
:meth:`Stub.stop` and :meth:`Stub.start`::

    async with StubPublisher(cert_dir) as stub:
        stub.script.extend([Do.ACK, Do.DROP_UNACKED])
        ...
        await stub.until(lambda: len(stub.stored) == 2)

What a test must wait for, it waits for with :meth:`Stub.until`; nothing here is a matter of time.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.headers import parse_authorization_basic
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from fanline.change_notifier import ChangeNotifier
from fanline.errors import Rejected
from fanline.protocol import (
    SUBPROTOCOL,
    Ack,
    Message,
    NewMessage,
    PageAnswer,
    PopCommand,
    Popping,
    encode,
    refusal,
    split_array,
)
from fanline.protocol.topics import matches
from fanline.security.tls import server_context

# How long anything may take that a test waits for, in seconds: far more than it takes on a loaded machine.
DEADLINE = 60.0

# What the clients under test log in with.
USER, PASSWORD = "hello", "test"


class Stub:
    """A WebSocket server that a test controls from the inside.

    Args:
        cert_dir: Folder with ``server.crt`` and ``server.key``.
        port: Where to listen; 0 takes any free port.

    Attributes:
        answer: If set, requests are answered with this status, and no WebSocket is opened.
        location: Where such an answer leads to, if it redirects.
        speaks_v1: Whether ``fanline.v1`` is chosen when a client offers it.
        paths: The path of each WebSocket that was opened, in order.
        logins: User and password of each request, or no user and a token; also of those that were refused.
        frames: Every frame that was received, in order.
        connections: The open connections.
    """

    def __init__(self, cert_dir: Path, port: int = 0) -> None:
        self.port = port
        self.answer: HTTPStatus | None = None
        self.location: str | None = None
        self.speaks_v1 = True
        self.paths: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.frames: list[bytes] = []
        self.connections: dict[ServerConnection, None] = {}
        self._tls = server_context(cert_dir)
        self._server: Server
        self._changed: ChangeNotifier

    @property
    def url(self) -> str:
        """Where this stub listens, without a path."""
        return f"wss://localhost:{self.port}"

    async def start(self) -> None:
        """Listen; the port stays the same from the first start on."""
        self._changed = ChangeNotifier()
        self._is_stopping = False
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=self._tls,
            process_request=self._admit,
            select_subprotocol=self._select_subprotocol,
            compression=None,
            max_size=4 * 2**20,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection without a word, as a killed process does."""
        self._is_stopping = True
        self._server.close(close_connections=False)
        self.drop()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that this stub saw or did has made ``condition`` true."""
        async with asyncio.timeout(DEADLINE):
            while True:
                changed = self._changed.next
                if condition():
                    return
                await asyncio.wait([changed])

    def drop(self) -> None:
        """Cut every connection without a close frame."""
        while self.connections:
            self.connections.popitem()[0].transport.abort()

    def deafen(self) -> None:
        """Read nothing more from any connection, as a peer that hangs."""
        for connection in self.connections:
            connection.transport.pause_reading()

    @property
    def is_held_up(self) -> bool:
        """Return whether a connection has data waiting that its peer does not read."""
        return any(connection.transport.get_write_buffer_size() for connection in self.connections)

    async def close(self, code: int, reason: str = "") -> None:
        """Close every connection with a code."""
        for connection in tuple(self.connections):
            self.connections.pop(connection, None)
            await connection.close(code, reason)

    async def send(self, frame: str | bytes) -> None:
        """Send one frame to every connection, whatever it says."""
        for connection in tuple(self.connections):
            await connection.send(frame)

    async def drain(self, retry_ms: int) -> None:
        """Tell all clients when to come back, and close with 1001."""
        await self.send(encode({"drain": {"retry_ms": retry_ms}}).decode())
        await self.close(1001)

    def be_original(self) -> None:
        """Speak the plain dialect, and answer nothing, as the original Go services do."""
        self.speaks_v1 = False

        async def receive(connection: ServerConnection, frame: bytes) -> None:
            pass

        self.receive = receive  # type: ignore[method-assign]

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        """Act on one frame; what a particular stub does."""

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        authorization = request.headers["Authorization"]
        is_token = authorization.startswith("Bearer ")
        self.logins.append(
            ("", authorization.removeprefix("Bearer "))
            if is_token
            else parse_authorization_basic(authorization)
        )
        if self.answer is None:
            return None
        response = connection.respond(self.answer, "as the script says\n")
        response.headers.update({"Location": self.location} if self.location else {})
        return response

    def _select_subprotocol(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        chosen = Subprotocol(SUBPROTOCOL)
        return chosen if self.speaks_v1 and chosen in offered else None

    async def _serve(self, connection: ServerConnection) -> None:
        if self._is_stopping:  # its handshake was in progress when all others were dropped
            connection.transport.abort()
        else:
            await self._handle(connection)

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.connections[connection] = None
        self._changed.fire()
        try:
            while True:
                frame = await connection.recv(decode=False)
                self.frames.append(frame)
                await self.receive(connection, frame)
                self._changed.fire()
        except ConnectionClosed:
            pass
        finally:
            self.connections.pop(connection, None)
            self._changed.fire()


class Do(StrEnum):
    """Reaction of :class:`StubPublisher` to one message."""

    ACK = auto()  # store it and say so
    IGNORE = auto()  # say nothing, ever
    DROP_UNSTORED = auto()  # drop the connection, and lose the message
    DROP_UNACKED = auto()  # store it, and drop the connection instead of saying so
    DROP_ACKED = auto()  # store it, say so, and drop the connection


class StubPublisher(Stub):
    """Takes messages and answers them, as ``/publish`` and ``/pushmsg`` do.

    Attributes:
        script: What to do with the next messages: a :class:`Do`, or a
            :class:`~fanline.errors.Rejected` to answer with. When it is empty they are acknowledged.
        stored: The messages that were stored, each id once; the position of the first is 1.
        holding: While true, answers are kept back; :meth:`release` sends them.
    """

    def __init__(self, cert_dir: Path, port: int = 0) -> None:
        super().__init__(cert_dir, port)
        self.script: deque[Do | Rejected] = deque()
        self.stored: list[NewMessage] = []
        self.holding = False
        self._positions: dict[str, int] = {}
        self._held: list[tuple[ServerConnection, bytes]] = []
        self._followers: set[ServerConnection] = set()

    def drop(self) -> None:
        super().drop()
        for follower in self._followers:
            follower.transport.abort()

    async def _handle(self, connection: ServerConnection) -> None:
        """Serve a connection; one to ``/popmsg`` finds an empty log, and a test sees nothing of it."""
        assert connection.request is not None
        if connection.request.path != "/popmsg":
            await super()._handle(connection)
            return
        self._followers.add(connection)
        with suppress(ConnectionClosed):
            async for frame in connection:
                is_read = msgspec.json.decode(frame, type=PopCommand).read is not None
                answer = encode(PageAnswer(0, []) if is_read else Popping(None, 0))
                await connection.send(answer, text=True)
        self._followers.discard(connection)

    @property
    def contents(self) -> list[Any]:
        """The stored messages, as Python objects."""
        return [msgspec.json.decode(message.content) for message in self.stored]

    async def release(self) -> None:
        """Send the answers kept back, and keep back no more."""
        self.holding = False
        held, self._held = self._held, []
        for connection, answer in held:
            await connection.send(answer, text=True)

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        for body in split_array(frame):
            message = msgspec.json.decode(body, type=NewMessage)
            await self._follow(self.script.popleft() if self.script else Do.ACK, message, connection)

    async def _follow(self, step: Do | Rejected, message: NewMessage, connection: ServerConnection) -> None:
        if isinstance(step, Rejected):
            rejected = Rejected(step.code, step.reason, step.id or message.id)
            await self._answer(connection, encode(refusal(rejected)))
        elif step in (Do.ACK, Do.DROP_ACKED):
            await self._answer(connection, encode(self._store(message)))
        elif step is Do.DROP_UNACKED:
            self._store(message)
        if isinstance(step, Do) and step.startswith("drop"):
            # Not close(): what was sent before still arrives, what follows does not.
            connection.transport.close() if step is Do.DROP_ACKED else connection.transport.abort()
            await connection.wait_closed()
            raise ConnectionClosed(None, None)

    def _store(self, message: NewMessage) -> Ack:
        if message.id is not None and message.id in self._positions:
            return Ack(message.id, self._positions[message.id], duplicate=True)
        self.stored.append(message)
        if message.id is not None:
            self._positions[message.id] = len(self.stored)
        return Ack(message.id, len(self.stored))

    async def _answer(self, connection: ServerConnection, answer: bytes) -> None:
        if self.holding:
            self._held.append((connection, answer))
        else:
            await connection.send(answer, text=True)


class StubSubscriber(Stub):
    """Holds a small log in memory, and hands it out as ``/subscribe`` does.

    Attributes:
        log: Every message, also those that retention has dropped.
        floor: Positions up to this one are dropped by retention.
        refusals: What to answer to a ``sub`` of a pattern, instead of subscribing.
        commands: Every command received, in order.
        repeat: How many messages from before the right position are sent again after each ``sub``.
        has_positions: Whether answers and messages carry their positions.
        epoch: Name of the log, in answers; one who resumes with another is sent the whole log.
        sent: How often each position was sent.
    """

    def __init__(self, cert_dir: Path, port: int = 0) -> None:
        super().__init__(cert_dir, port)
        self.log: list[Message] = []
        self.floor = 0
        self.refusals: dict[str, Rejected] = {}
        self.commands: list[dict[str, Any]] = []
        self.repeat = 0
        self.has_positions = True
        self.epoch: str | None = None
        self.sent: Counter[int] = Counter()
        self._patterns: dict[ServerConnection, set[str]] = {}

    def store(self, topic: str, content: Any) -> Message:
        """Add a message to the log without delivering it, as while no subscriber is connected."""
        message = Message(topic, msgspec.Raw(encode(content)), seq=len(self.log) + 1, time=1_700_000_000_000)
        self.log.append(message)
        return message

    async def publish(self, topic: str, content: Any) -> Message:
        """Add a message to the log, and deliver it to all its subscribers."""
        message = self.store(topic, content)
        for connection in tuple(self.connections):
            if any(matches(pattern, topic) for pattern in self._patterns.get(connection, ())):
                await self._deliver(connection, message)
        return message

    def is_subscribed(self, pattern: str) -> bool:
        """Return whether an open connection subscribes to ``pattern``."""
        return any(pattern in self._patterns.get(connection, ()) for connection in self.connections)

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        for body in split_array(frame):
            command = msgspec.json.decode(body, type=dict[str, Any])
            self.commands.append(command)
            if "sub" in command:
                await self._subscribe(connection, command)
            elif "unsub" in command:
                self._patterns.get(connection, set()).discard(command["unsub"])
                await self._say(connection, {"unsubscribed": command["unsub"]})

    async def _subscribe(self, connection: ServerConnection, command: dict[str, Any]) -> None:
        pattern = command["sub"]
        if rejected := self.refusals.get(pattern):
            await self._say(connection, {"error": rejected.code, "reason": rejected.reason, "sub": pattern})
            return
        matching = [message for message in self.log if matches(pattern, message.topic)]
        after = self._start(command, matching)
        answer: dict[str, Any] = {"subscribed": pattern}
        if self.has_positions:
            answer["seq"] = after
        if self.epoch is not None:
            answer["epoch"] = self.epoch
        if after < self.floor:
            answer["gap"] = {"from": after + 1, "to": self.floor}
        await self._say(connection, answer)
        self._patterns.setdefault(connection, set()).add(pattern)
        for message in matching:
            if message.seq > max(after - self.repeat, self.floor):
                await self._deliver(connection, message)

    def _start(self, command: dict[str, Any], matching: list[Message]) -> int:
        if command.get("epoch") not in (None, self.epoch):
            return 0
        if command.get("latest"):
            newest = {message.topic: message.seq for message in matching}
            return min(newest.values(), default=len(self.log) + 1) - 1
        if "after" in command:
            return int(command["after"])
        if wanted := command.get("last", 0):
            kept = [message.seq for message in matching if message.seq > self.floor]
            return kept[-wanted] - 1 if wanted <= len(kept) else (kept[0] - 1 if kept else len(self.log))
        return len(self.log)

    async def _deliver(self, connection: ServerConnection, message: Message) -> None:
        self.sent[message.seq] += 1
        unnumbered = {"topic": message.topic, "content": message.content}
        await connection.send(encode(message if self.has_positions else unnumbered), text=True)

    async def _say(self, connection: ServerConnection, answer: dict[str, Any]) -> None:
        await connection.send(encode(answer), text=True)
