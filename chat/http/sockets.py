"""The WebSockets: a member's way into a room, and the feed of what happens to all rooms.

Why one cannot be had is told as the answer to its handshake, in JSON like everywhere. Once it is open, its
two directions wait for each other nowhere:

* What waits for the client is in its :class:`~chat.service.members.Outbox`. One task takes everything that
  is there and sends it, in as few frames as it may; while the client does not read, that task waits, and
  nobody else.
* What the client says is handed on as it comes, :data:`IN_FLIGHT` messages at a time; while so many are not
  stored yet, nothing more is read from it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from chat.domain.errors import MemberClosed, Unavailable
from chat.domain.names import random_name
from chat.domain.state import LOBBY
from chat.http.problems import Problem, ProblemCode, Refused, problem_of
from chat.http.schema import MAX_POSITION
from chat.service.house import House
from chat.service.login import Logins
from chat.service.members import LocalMember, Outbox
from fanline.errors import CloseCode, ErrorCode, FanlineError, Rejected
from fanline.protocol import Ack, encode, join_array, refusal, split_array
from fanline.security.tokens import Claims, find_token
from fanline.server.connection import text_frame
from fanline.tasks import running_task

SUBPROTOCOL: Final = "fanline.chat.v1"

# Messages of one member that are on their way into the log at a time.
IN_FLIGHT: Final = 64

# What is joined into one frame; a single message that is larger is one all the same.
FRAME_BYTES: Final = 65_536

# What a close frame has room for (RFC 6455, 5.5).
MAX_REASON_BYTES: Final = 123

# Under this name the server puts a FrameWriter into a connection's scope.
FRAMES: Final = "fanline.frames"

SendBodies = Callable[[Sequence[bytes]], Awaitable[None]]

_ROOM: Final = "/api/serve/"


class Said(msgspec.Struct, frozen=True):
    """What a client says in the protocol ``fanline.chat.v1``.

    Attributes:
        message: The text.
        id: What tells it from everything else that is said with the same token.
    """

    message: str
    id: str | None = None


class _Named(msgspec.Struct):
    id: str | None = None


_decode_said: Final = msgspec.json.Decoder(Said).decode
_decode_named: Final = msgspec.json.Decoder(_Named).decode


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag="failed", rename="camel"):
    """Tells a member that what they said could not be stored."""

    room_id: str
    message: str
    reason: str
    id: str | None = None


class FrameWriter(Protocol):
    """A way past ASGI for frames that are ready-made: ASGI would make sending them a tenth dearer.

    Attributes:
        writable: Set while the client reads what is sent to it.
    """

    writable: asyncio.Event

    def write(self, frames: bytes) -> None:
        """Write complete frames; never waits, and does nothing once the connection is closing."""
        ...


class Sockets:
    """Answers WebSocket handshakes, and speaks on what is opened: an ASGI application.

    Args:
        house: The rooms.
        logins: The tokens.

    Attributes:
        connections: How many are open.
    """

    def __init__(self, house: House, logins: Logins) -> None:
        self.connections = 0
        self._house = house
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake, and see the connection through to its end."""
        await receive()  # that somebody wants to connect
        try:
            if not self._house.ready:
                raise Unavailable("this server is still reading what was said before it was started")
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
        member = await self._house.join(room, name, claims)
        try:
            await socket.accept(SUBPROTOCOL if is_v1 else None)
            with self._counted():
                await _Seat(self._house, member, socket, is_v1=is_v1).occupy(after)
        finally:
            await self._house.leave(member)

    async def _watch(self, claims: Claims | None, socket: "_Socket") -> None:
        watcher = self._house.watch(claims)
        try:
            await socket.accept()
            with self._counted():
                async with running_task(_send_all(watcher, socket.send_each, socket)):
                    async for _ in socket.frames():
                        pass  # it has nothing to say
        finally:
            watcher.close(CloseCode.GOING_AWAY, "the client went away")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1


class _Seat:
    """One member's connection to a room, while it is open."""

    def __init__(self, house: House, member: LocalMember, socket: "_Socket", *, is_v1: bool) -> None:
        self._house = house
        self._member = member
        self._socket = socket
        self._is_v1 = is_v1
        self._send = socket.send_joined if is_v1 else socket.send_each
        self._read = _read_said if is_v1 else _read_line
        self._free = asyncio.Semaphore(IN_FLIGHT)

    async def occupy(self, after: int | None) -> None:
        """Send and receive until the connection ends; what was said by then is still stored."""
        async with running_task(self._write(after)), asyncio.TaskGroup() as sayings:
            async for frame in self._socket.frames():
                for said in self._read(frame):
                    await self._free.acquire()
                    sayings.create_task(self._say(said))

    async def _write(self, after: int | None) -> None:
        await self._send([self._member.first])
        if after is not None:
            await self._send_missed(after)
        await _send_all(self._member, self._send, self._socket)

    async def _send_missed(self, after: int) -> None:
        try:
            async for bodies in self._house.missed(self._member, after):
                await self._send(bodies)
        except Unavailable as error:
            self._member.close(CloseCode.TRY_AGAIN_LATER, str(error))

    async def _say(self, said: Said | Rejected) -> None:
        try:
            answer = await self._answer(said)
        finally:
            self._free.release()
        if answer is not None:
            self._member.push(encode(answer))

    async def _answer(self, said: Said | Rejected) -> object:
        """Let everybody in the room have a message; return what to tell its sender, if anything."""
        if isinstance(said, Rejected):
            return refusal(said)
        try:
            ack = await self._house.say(self._member, said.message, said.id)
        except Unavailable as error:
            return Failed(self._member.room.id, said.message, str(error), said.id)
        except Rejected as rejected:
            return refusal(Rejected(rejected.code, rejected.reason, said.id))
        return Ack(said.id, ack.seq) if self._is_v1 else None


class _Handshake:
    """What a client asks for."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"]
        self.is_v1 = SUBPROTOCOL in scope["subprotocols"]
        self._query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self._authorization = Headers(scope=scope).get("authorization")

    @property
    def token(self) -> str | None:
        """The token that it shows."""
        return find_token(self._authorization, self._query.get("token"))

    @property
    def after(self) -> int | None:
        """The position behind which everything is wanted; None if only what is new.

        Raises:
            Rejected: If it is not a position.
        """
        given = self._query.get("after")
        if given is None:
            return None
        if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) <= MAX_POSITION):
            raise Rejected(ErrorCode.BAD_POSITION, "after must be a position: a number, 0 or more")
        return int(given)


class _Socket:
    """A WebSocket, as the ASGI server hands it to us.

    Once the client is gone :meth:`frames` ends, and what is sent is lost, without an error.
    """

    def __init__(self, receive: Receive, send: Send, frames: FrameWriter) -> None:
        self._receive = receive
        self._send = send
        self._frames = frames

    async def accept(self, subprotocol: str | None = None) -> None:
        """Open it."""
        await self._emit({"type": "websocket.accept", "subprotocol": subprotocol})

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield what the client sends, until the connection ends, whoever ends it."""
        while (event := await self._receive())["type"] == "websocket.receive":
            text = event.get("text")
            yield event["bytes"] if text is None else text.encode()

    async def send_each(self, bodies: Sequence[bytes]) -> None:
        """Send JSON texts, a frame each; wait while the client does not read."""
        await self._frames.writable.wait()
        self._frames.write(b"".join(map(text_frame, bodies)))

    async def send_joined(self, bodies: Sequence[bytes]) -> None:
        """Send JSON texts in few frames, each one of them or an array; otherwise as :meth:`send_each`."""
        await self.send_each(list(_frames(bodies)))

    async def close(self, code: int, reason: str) -> None:
        """Close it, and say why."""
        said = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        await self._emit({"type": "websocket.close", "code": code, "reason": said})

    async def _emit(self, event: Message) -> None:
        # uvicorn raises OSError once the client is gone, RuntimeError once it has itself cut it off.
        with suppress(OSError, RuntimeError):
            await self._send(event)


async def _send_all(outbox: Outbox, send: SendBodies, socket: _Socket) -> None:
    """Send what waits for a client, and what will, until the outbox or the connection is closed."""
    try:
        while True:
            await send(await outbox.take())
    except MemberClosed as closed:
        await socket.close(closed.code, closed.reason)


def _frames(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield JSON texts joined into arrays, those alone in their frame as they are."""
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if batch and size + len(body) > FRAME_BYTES:
            yield _joined(batch)
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    yield _joined(batch)


def _joined(bodies: Sequence[bytes]) -> bytes:
    return bodies[0] if len(bodies) == 1 else join_array(bodies)


def _read_line(frame: bytes) -> Iterator[Said | Rejected]:
    """Yield what a person has typed: the frame is the message."""
    try:
        yield Said(frame.decode())
    except UnicodeDecodeError:
        yield Rejected(ErrorCode.BAD_MESSAGE, "a message must be text in UTF-8")


def _read_said(frame: bytes) -> Iterator[Said | Rejected]:
    """Yield the messages of a frame, and what is wrong with those that are none."""
    try:
        for body in split_array(frame):
            yield _said(body)
    except (msgspec.DecodeError, RecursionError) as error:
        yield Rejected(ErrorCode.BAD_JSON, f"the frame is not JSON: {error}")


def _said(body: bytes) -> Said | Rejected:
    try:
        return _decode_said(body)
    except msgspec.ValidationError as error:
        return Rejected(ErrorCode.BAD_MESSAGE, f"not a message: {error}", _id_of(body))


def _id_of(body: bytes) -> str | None:
    """Return the id of what is no message, so that its sender knows which."""
    try:
        return _decode_named(body).id
    except msgspec.ValidationError:
        return None
