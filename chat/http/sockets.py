"""The WebSockets: members of rooms, and the feed of all rooms.

A refusal is the answer to the handshake, in JSON as for other requests. The two directions of an open
connection never wait for each other:

* Outgoing texts wait in a :class:`~chat.service.members.DeliveryQueue`. One task sends all of them in few
  frames, and waits while the client does not read.
* Messages of the client are written to the log as they come, :data:`IN_FLIGHT` at a time; while so many are
  not stored, nothing more is read from the client.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from chat.domain.errors import MemberClosed, Unavailable
from chat.domain.names import random_name
from chat.domain.rooms import LOBBY
from chat.domain.views import encode
from chat.http.frames import SUBPROTOCOL, ChatMessage, Failed, join_bodies, read_plain, read_v1
from chat.http.problems import Problem, ProblemCode, Refused, problem_of
from chat.service.chat_service import ChatService
from chat.service.login import Logins
from chat.service.members import DeliveryQueue, LocalMember
from fanline.errors import CloseCode, ErrorCode, FanlineError, Rejected
from fanline.protocol import Ack, parse_position, refusal
from fanline.security.tokens import Claims, find_token
from fanline.server import text_frame
from fanline.tasks import running_task

# Messages of one member that are being written to the log at a time.
IN_FLIGHT: Final = 64

# The limit of the reason in a close frame (RFC 6455, 5.5).
MAX_REASON_BYTES: Final = 123

# The key of the FrameWriter in the extensions of a connection's scope.
FRAMES: Final = "fanline.frames"

SendBodies = Callable[[Sequence[bytes]], Awaitable[None]]

_ROOM: Final = "/api/serve/"


class FrameWriter(Protocol):
    """Write ready-made frames without ASGI, which would cost a tenth more.

    Attributes:
        writable: Set while the client reads.
    """

    writable: asyncio.Event

    def write(self, frames: bytes) -> None:
        """Write complete frames without waiting; do nothing once the connection is closing."""
        ...


class Sockets:
    """Serve WebSockets: an ASGI application.

    Args:
        chat: Executes commands.
        logins: Verifies tokens.

    Attributes:
        connections: The number of open connections.
    """

    def __init__(self, chat: ChatService, logins: Logins) -> None:
        self.connections = 0
        self._chat = chat
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a handshake, and serve the connection until its end."""
        await receive()  # the connect event
        try:
            self._chat.lifecycle.require_ready()
            await self._open(_Handshake(scope), _Socket(receive, send, scope["extensions"][FRAMES]))
        except FanlineError as error:
            await problem_of(error).response()(scope, receive, send)

    async def _open(self, handshake: "_Handshake", socket: "_Socket") -> None:
        if handshake.path == "/join":
            if handshake.token is None:
                raise Rejected(ErrorCode.BAD_MESSAGE, "a token is needed: /join?token=…")
            await self._enter(LOBBY, self._logins.identify(handshake.token), handshake, socket)
        elif handshake.path == "/api/feed":
            await self._watch(self._logins.admit(handshake.token), socket)
        elif handshake.path.startswith(_ROOM):
            claims = self._logins.admit(handshake.token)
            await self._enter(handshake.path.removeprefix(_ROOM), claims, handshake, socket)
        else:
            reason = f"there is no WebSocket at {handshake.path}"
            raise Refused(Problem(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, reason))

    async def _enter(
        self, room: str, claims: Claims | None, handshake: "_Handshake", socket: "_Socket"
    ) -> None:
        after, is_v1 = handshake.after, handshake.is_v1
        name = random_name() if claims is None else claims.name
        member = await self._chat.join(room, name, claims)
        try:
            await socket.accept(SUBPROTOCOL if is_v1 else None)
            with self._counted():
                await MemberConnection(self._chat, member, socket, is_v1=is_v1).serve(after)
        finally:
            self._chat.leave(member)

    async def _watch(self, claims: Claims | None, socket: "_Socket") -> None:
        subscriber = self._chat.watch(claims)
        try:
            await socket.accept()
            with self._counted():
                async with running_task(_send_all(subscriber, socket.send_each, socket)):
                    async for _ in socket.frames():
                        pass  # frames of the client are ignored
        finally:
            subscriber.close(CloseCode.GOING_AWAY, "the client went away")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1


class MemberConnection:
    """The connection of one member to a room."""

    def __init__(self, chat: ChatService, member: LocalMember, socket: "_Socket", *, is_v1: bool) -> None:
        self._chat = chat
        self._member = member
        self._socket = socket
        self._is_v1 = is_v1
        self._send = socket.send_joined if is_v1 else socket.send_each
        self._read = read_v1 if is_v1 else read_plain
        self._free = asyncio.Semaphore(IN_FLIGHT)

    async def serve(self, after: int | None) -> None:
        """Send and receive until the connection ends; messages received by then are still stored."""
        async with running_task(self._write(after)), asyncio.TaskGroup() as group:
            async for frame in self._socket.frames():
                for message in self._read(frame):
                    await self._free.acquire()
                    group.create_task(self._say(message))

    async def _write(self, after: int | None) -> None:
        await self._send([self._member.first])
        if after is not None:
            await self._send_missed(after)
        await _send_all(self._member, self._send, self._socket)

    async def _send_missed(self, after: int) -> None:
        try:
            async for bodies in self._chat.missed(self._member, after):
                await self._send(bodies)
        except Unavailable as error:
            self._member.close(CloseCode.TRY_AGAIN_LATER, str(error))

    async def _say(self, message: ChatMessage | Rejected) -> None:
        try:
            answer = await self._answer(message)
        finally:
            self._free.release()
        if answer is not None:
            self._member.push(encode(answer))

    async def _answer(self, message: ChatMessage | Rejected) -> object:
        """Send a message to the room; return the answer to its sender, if any."""
        if isinstance(message, Rejected):
            return refusal(message)
        try:
            ack = await self._chat.say(self._member, message.message, message.id)
        except Unavailable as error:
            return Failed(self._member.room.id, message.message, str(error), message.id)
        except Rejected as rejected:
            return refusal(Rejected(rejected.code, rejected.reason, message.id))
        return Ack(message.id, ack.seq) if self._is_v1 else None


class _Handshake:
    """The request of a handshake."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"]
        self.is_v1 = SUBPROTOCOL in scope["subprotocols"]
        self._query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self._authorization = Headers(scope=scope).get("authorization")

    @property
    def token(self) -> str | None:
        """The token, if any."""
        return find_token(self._authorization, self._query.get("token"))

    @property
    def after(self) -> int | None:
        """The position after which events were missed; None if only new events are wanted.

        Raises:
            Rejected: If it is not a position.
        """
        given = self._query.get("after")
        if given is None:
            return None
        return parse_position("after", given)


class _Socket:
    """A WebSocket of the ASGI server.

    Once the client is gone :meth:`frames` ends, and sending does nothing.
    """

    def __init__(self, receive: Receive, send: Send, frames: FrameWriter) -> None:
        self._receive = receive
        self._send = send
        self._frames = frames

    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept the handshake."""
        await self._emit({"type": "websocket.accept", "subprotocol": subprotocol})

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames of the client until the connection ends."""
        while (event := await self._receive())["type"] == "websocket.receive":
            text = event.get("text")
            yield event["bytes"] if text is None else text.encode()

    async def send_each(self, bodies: Sequence[bytes]) -> None:
        """Send JSON texts, one in each frame; wait while the client does not read."""
        await self._frames.writable.wait()
        self._frames.write(b"".join(map(text_frame, bodies)))

    async def send_joined(self, bodies: Sequence[bytes]) -> None:
        """Send JSON texts in few frames, each a text or an array; wait as :meth:`send_each` does."""
        await self.send_each(list(join_bodies(bodies)))

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a code and a reason."""
        text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        await self._emit({"type": "websocket.close", "code": code, "reason": text})

    async def _emit(self, event: Message) -> None:
        # uvicorn raises OSError once the client is gone, RuntimeError once it was aborted.
        with suppress(OSError, RuntimeError):
            await self._send(event)


async def _send_all(queue: DeliveryQueue, send: SendBodies, socket: _Socket) -> None:
    """Send the texts of a queue until the queue or the connection is closed."""
    try:
        while True:
            await send(await queue.take())
    except MemberClosed as closed:
        await socket.close(closed.code, closed.reason)
