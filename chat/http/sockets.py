"""The WebSockets: members of rooms, and subscribers of the feed.

The two directions of a connection never wait for each other:

* Outgoing texts wait in a :class:`~chat.service.members.DeliveryQueue`, and are written once in a turn of the
  event loop, in few frames. While the client does not read, a task waits for that.
* Messages of the client are written to the log as they come, :data:`IN_FLIGHT` at a time, and not faster than
  the rates allow; while some have to wait, nothing more is read from the client.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from chat.domain import sentences
from chat.domain.errors import Refused, Unavailable
from chat.domain.person import Role
from chat.domain.rooms import LOBBY
from chat.domain.views import encode
from chat.http.frames import ChatMessage, Failed, join_bodies, read_plain, read_v1
from chat.http.problems import problem_of
from chat.http.rates import ChatRates
from chat.service.chat_service import ChatService
from chat.service.login import ChatLogins
from chat.service.members import DeliveryQueue, LocalMember
from fanline import Ack, CloseCode, FanlineError, Rejected, parse_position
from fanline.server import (
    CHAT_SUBPROTOCOL,
    Claims,
    Connection,
    Handshake,
    OpenEndpoint,
    Opening,
    find_token,
    network,
    refusal,
    single_header,
    text_frame,
)

# Messages of one member that are being written to the log at a time.
IN_FLIGHT: Final = 64

Join = Callable[[Sequence[bytes]], Iterable[bytes]]
Open = Callable[[Handshake], Coroutine[Any, Any, Opening]]


class Sockets:
    """Open WebSockets.

    Args:
        chat: Executes commands.
        logins: Verifies tokens.
        rates: Limits the messages of members.
    """

    def __init__(self, chat: ChatService, logins: ChatLogins, rates: ChatRates) -> None:
        self._chat = chat
        self._logins = logins
        self._rates = rates

    def endpoints(self) -> dict[str, OpenEndpoint]:
        """Return the endpoints by path."""
        return {
            "/join": self._endpoint(self._join_lobby),
            "/api/serve/{id:path}": self._endpoint(self._join_room),
            "/groups/{id:path}": self._endpoint(self._join_room),
            "/api/feed": self._endpoint(self._watch),
        }

    def _endpoint(self, open_one: Open) -> OpenEndpoint:
        async def open_or_refuse(handshake: Handshake) -> Opening:
            try:
                self._chat.lifecycle.require_available()
                return await open_one(handshake)
            except FanlineError as error:
                raise problem_of(error) from error

        return OpenEndpoint(open=open_or_refuse)

    async def _join_lobby(self, handshake: Handshake) -> Opening:
        token = _token(handshake)
        if token is None:
            raise Refused(sentences.NO_TOKEN_TO_JOIN)
        return await self._join(LOBBY, self._logins.identify(token), handshake)

    async def _join_room(self, handshake: Handshake) -> Opening:
        claims = self._logins.admit(_token(handshake))
        return await self._join(handshake.path_params["id"], claims, handshake)

    async def _join(self, room: str, claims: Claims | None, handshake: Handshake) -> Opening:
        given = handshake.query_params.get("after")
        after = None if given is None else parse_position("after", given)
        is_v1 = CHAT_SUBPROTOCOL in handshake.offered
        name = self._chat.rooms.free_name() if claims is None else claims.name
        member = await self._chat.join(room, name, claims)

        def make_handler(connection: Connection) -> MemberConnection:
            return MemberConnection(self._chat, member, connection, self._rates, is_v1=is_v1, after=after)

        return Opening(
            make_handler=make_handler,
            expires=_expiry(claims),
            subprotocol=CHAT_SUBPROTOCOL if is_v1 else None,
        )

    async def _watch(self, handshake: Handshake) -> Opening:
        claims = self._logins.admit(_token(handshake))
        self._chat.lifecycle.require_open()

        def make_handler(connection: Connection) -> FeedConnection:
            return FeedConnection(self._chat.watch(claims), connection)

        # A browser that has offered its token so needs one of the subprotocols to be chosen.
        subprotocol = CHAT_SUBPROTOCOL if CHAT_SUBPROTOCOL in handshake.offered else None
        return Opening(make_handler=make_handler, expires=_expiry(claims), subprotocol=subprotocol)


class QueueWriter:
    """Write a queue's texts to a connection, and close both together.

    Args:
        queue: What is to be written.
        connection: The connection.
        join: Makes the payloads of frames from texts.
    """

    def __init__(self, queue: DeliveryQueue, connection: Connection, join: Join) -> None:
        self._queue = queue
        self._connection = connection
        self._join = join
        self._is_scheduled = False
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Write what waits, and from now on what is queued."""
        self._queue.on_change = self._schedule
        self._flush()

    def write(self, bodies: Sequence[bytes]) -> None:
        """Write texts ahead of those that are queued."""
        self._connection.write(b"".join(map(text_frame, self._join(bodies))))

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        if not self._connection.is_open:
            return
        if self._connection.paused:
            self._wait()
            return
        if bodies := self._queue.take_all():
            self.write(bodies)
        if self._is_scheduled:
            return
        if self._connection.paused:
            self._wait()
        elif self._queue.end is not None:
            self._connection.cut(self._queue.end.code, self._queue.end.reason)

    def _wait(self) -> None:
        self._is_scheduled = True
        self._connection.create_task(self._flush_when_writable())

    async def _flush_when_writable(self) -> None:
        await self._connection.writable()
        self._flush()


class MemberConnection:
    """The connection of one member to a room."""

    def __init__(
        self,
        chat: ChatService,
        member: LocalMember,
        connection: Connection,
        rates: ChatRates,
        *,
        is_v1: bool,
        after: int | None,
    ) -> None:
        self._chat = chat
        self._member = member
        self._connection = connection
        self._rates = rates
        self._person = member.user or member.id
        is_guest = member.token is None or member.token.role == Role.GUEST
        self._guest_network = network(connection.peer.address) if is_guest else None
        self._is_v1 = is_v1
        self._read = read_v1 if is_v1 else read_plain
        self._waiting: deque[ChatMessage | Refused] = deque()
        self._in_flight = 0
        self._is_resting = False  # until the rates allow the next message
        self._is_closed = False
        self._writer = QueueWriter(member, connection, join_bodies if is_v1 else iter)
        self._writer.write([member.first])
        if after is None:
            self._writer.start()
        else:
            connection.create_task(self._catch_up(after))

    def on_frame(self, payload: bytes) -> None:
        """Send the messages of a frame to the room, in order."""
        self._waiting.extend(self._read(payload))
        self._send_waiting()
        if self._waiting:
            self._connection.pause_reading()

    def on_close(self) -> None:
        """Leave the room, once the messages received so far are stored."""
        self._is_closed = True
        self._leave_when_stored()

    async def _catch_up(self, after: int) -> None:
        """Write what was missed, then what is queued."""
        try:
            async for bodies in self._chat.missed(self._member, after):
                self._writer.write(bodies)
                await self._connection.writable()
        except Unavailable as error:
            self._member.close(CloseCode.TRY_AGAIN_LATER, error.reason)
        self._writer.start()

    def _send_waiting(self) -> None:
        while self._waiting and self._in_flight < IN_FLIGHT and not self._is_resting:
            if delay := self._rates.message_delay(self._person, self._guest_network):
                self._is_resting = True
                self._connection.create_task(self._rest(delay))
            else:
                self._in_flight += 1
                self._connection.create_task(self._send(self._waiting.popleft()))

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._is_resting = False
        self._go_on()

    async def _send(self, message: ChatMessage | Refused) -> None:
        answer = None
        try:
            answer = await self._answer(message)
        except asyncio.CancelledError:  # the service stops: nothing goes on
            self._is_resting = True
            raise
        finally:  # also after a defect, which is logged: the member is to be able to leave
            self._in_flight -= 1
            if answer is not None:
                self._member.push(encode(answer))
            self._go_on()

    def _go_on(self) -> None:
        """Send what waits, then read more or leave.

        A member whose connection is lost leaves.
        """
        self._send_waiting()
        if self._is_closed:
            self._leave_when_stored()
        elif not self._waiting:
            self._connection.resume_reading()

    async def _answer(self, message: ChatMessage | Refused) -> object:
        """Send a message to the room; return the sender's answer, if any."""
        if isinstance(message, Refused):
            return refusal(message)
        try:
            ack = await self._chat.say(self._member, message.message, message.id)
        except Unavailable as error:
            return Failed(self._member.room.id, message.message, error.reason, message.id)
        except Rejected as rejected:
            return refusal(Rejected(rejected.code, rejected.reason, message.id))
        return Ack(message.id, ack.seq) if self._is_v1 else None

    def _leave_when_stored(self) -> None:
        if not self._in_flight and not self._waiting:
            self._chat.leave(self._member)


class FeedConnection:
    """The connection of one subscriber of the feed; its frames are ignored."""

    def __init__(self, queue: DeliveryQueue, connection: Connection) -> None:
        self._queue = queue
        QueueWriter(queue, connection, iter).start()

    def on_frame(self, payload: bytes) -> None:
        """Ignore a frame."""

    def on_close(self) -> None:
        """Unsubscribe."""
        self._queue.close(CloseCode.GOING_AWAY, "the client went away")


def _expiry(claims: Claims | None) -> float:
    return math.inf if claims is None else claims.expires


def _token(handshake: Handshake) -> str | None:
    authorization = single_header(handshake.headers, "authorization")
    return find_token(authorization, handshake.query_params.get("token"), handshake.offered)
