"""A room of chat, as a client sees it: what happens there, and what one says.

::

    async with Room("wss://localhost:8083", "lobby", token=token, tls=tls) as room:
        await (await room.send("Hello"))  # on disk
        async for event in room:
            print(event.member_name, event.message)
"""

import asyncio
import contextlib
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from itertools import count
from typing import Final, Literal, Self
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fanline.client.base import Client
from fanline.client.connection import Login, ReconnectingConnection, run_until_first
from fanline.errors import (
    CloseCode,
    ConfigurationError,
    Disconnected,
    ErrorCode,
    FanlineError,
    LoginRefused,
    Rejected,
)
from fanline.protocol import Ack, encode, join_array, split_array

SUBPROTOCOL: Final = "fanline.chat.v1"

# Messages without an answer at a time; further ones wait.
WINDOW: Final = 1_000

# What is joined into one frame; a message that is larger travels alone.
FRAME_BYTES: Final = 16_384

# Events read ahead of the reader: above the one no more is read, below the other again.
HIGH_WATER: Final = 256
LOW_WATER: Final = 64

# The server itself waits for its pipeline, 10 s by default, before it answers.
OPEN_TIMEOUT: Final = 15.0

# The server remembers ids for ten minutes, unless told otherwise; stay well within them.
MEMORY_OF_IDS: Final = 8 * 60.0


class RoomClosed(FanlineError):
    """The room is closed for good: it was deleted, or the server does not want this client in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened in a room.

    Attributes:
        seq: Its position in the log.
        type: Somebody said something, came, or went.
        member_id: Who that was.
        member_name: What they are called.
        message: What they said; empty if they came or went.
        sent: When it was stored.
        is_own: Whether it was this client, now or on an earlier connection.
        json: All of it, as it came.
    """

    seq: int
    type: Literal["chat", "joined", "left"]
    member_id: str
    member_name: str
    message: str
    sent: datetime
    is_own: bool
    json: bytes


class _Entry(msgspec.Struct, rename="camel"):
    seq: int
    type: Literal["chat", "joined", "left"]
    member_id: str
    member_name: str
    message: str
    sent: datetime


class _Frame(msgspec.Struct):
    """Whatever the server says: an acknowledgement, a refusal, or an event."""

    ok: str | None = None
    error: str | None = None
    type: str | None = None
    is_self: bool = msgspec.field(name="self", default=False)
    seq: int = 0
    reason: str = ""
    id: str | None = None


_decode_entry: Final = msgspec.json.Decoder(_Entry).decode
_decode_frame: Final = msgspec.json.Decoder(_Frame).decode


def read_event(json: bytes, own: Container[str] = ()) -> Event:
    """Read an event.

    Args:
        json: Its JSON text.
        own: The ids of the members that this client is, or was.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    entry = _decode_entry(json)
    return Event(
        seq=entry.seq,
        type=entry.type,
        member_id=entry.member_id,
        member_name=entry.member_name,
        message=entry.message,
        sent=entry.sent,
        is_own=entry.member_id in own,
        json=json,
    )


class _Said(msgspec.Struct, frozen=True):
    message: str
    id: str


class _Saying:
    """A message on its way."""

    __slots__ = ("answer", "body", "first_sent", "id")

    def __init__(self, id: str, text: str) -> None:  # noqa: A002 - wire name
        self.id = id
        self.body = _written(_Said(text, id))
        self.answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self.first_sent: float | None = None

    @property
    def is_risky(self) -> bool:
        """Whether the server may have stored it, and forgotten its id since."""
        return self.first_sent is not None and time.time() - self.first_sent > MEMORY_OF_IDS

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits for the answer, if anybody does."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # no need for asyncio to warn if nobody does


class Room(Client):
    """Takes part in a room, on any number of connections: iterate over it for what happens.

    After a lost connection it makes another one by itself, with growing delays, and goes on behind the last
    event: nothing is left out and nothing comes twice. What was said and has no answer is said again, in
    order and with the same ids, so that it is stored once. Each connection begins with one's own ``joined``.

    While nobody iterates, and nothing waits for an answer, only a few hundred events are read ahead.

    What ends it for good, and is raised by whatever is called from then on, is
    :class:`RoomClosed`; :class:`~fanline.errors.LoginRefused`, also when the token expires or is logged out;
    :class:`~fanline.errors.ConfigurationError` (no such room or service, or one that cannot be trusted); and
    :class:`~fanline.errors.Closed`. Leaving the ``async with`` block leaves the room; what has no answer by
    then may be stored or not.

    Args:
        url: The chat service, ``wss://HOST:PORT``.
        room: The id of the room.
        token: Who comes in.
        tls: How to verify the server; None trusts the CAs of the system.
        after: Begin behind this position; None begins with what is new.
        on_state: Called with None when a connection is made, and with the reason, a sentence, when it is
            lost or cannot be made.
    """

    def __init__(
        self,
        url: str,
        room: str,
        *,
        token: str,
        tls: ssl.SSLContext | None = None,
        after: int | None = None,
        on_state: Callable[[str | None], None] | None = None,
    ) -> None:
        link = ReconnectingConnection(
            f"{url.rstrip('/')}/api/serve/{quote(room, safe='')}",
            login=Login.by_token(token),
            tls=tls,
            subprotocol=SUBPROTOCOL,
            query=self._resume,
            open_timeout=OPEN_TIMEOUT,
            on_state=on_state,
        )
        super().__init__(link)
        self._position = after
        self._own: set[str] = set()
        self._arrived: deque[Event] = deque()
        self._news = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()
        self._pending: dict[str, _Saying] = {}
        self._unsent: deque[_Saying] = deque()
        self._work = asyncio.Event()
        self._window = asyncio.Semaphore(WINDOW)
        prefix = secrets.token_urlsafe(9)
        self._ids = (f"{prefix}-{number}" for number in count(1))

    async def send(self, text: str) -> asyncio.Future[Ack]:
        """Hand over a message to be said; wait only while a thousand have no answer yet.

        Messages are said in the order of the calls. If cancelled, this one is not.

        Args:
            text: The message.

        Returns:
            What to await for the position at which it is stored. It raises
            :class:`~fanline.errors.Rejected` if the message is refused, or was sent so long ago that nobody
            knows whether it is stored; and what ends the room for good. Cancelling it withdraws the message,
            unless it is on its way already.

        Raises:
            Rejected: If the message cannot be written as JSON.
            FanlineError: What has ended the room for good.
        """
        saying = _Saying(next(self._ids), text)
        await self._window.acquire()
        saying.answer.add_done_callback(lambda _: self._settled(saying))
        if self._over is not None:
            saying.fail(self._over)
            raise self._over
        self._pending[saying.id] = saying
        self._unsent.append(saying)
        self._work.set()
        self._space.set()  # the answer may stand behind more events than are read ahead
        return saying.answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._arrived:
            if self._over is not None:
                raise self._over
            self._news.clear()
            await self._news.wait()
        event = self._arrived.popleft()
        if len(self._arrived) <= LOW_WATER:
            self._space.set()
        return event

    # One connection after the other.

    async def _run(self) -> None:
        try:
            await super()._run()
        except ConfigurationError as error:
            if self._own and _is_missing(error.__cause__):
                raise RoomClosed(f"{self._link.url}: the room has been deleted") from error
            raise

    def _resume(self) -> str:
        return "" if self._position is None else f"?after={self._position}"

    async def _speak(self, connection: ClientConnection) -> None:
        if connection.subprotocol is None:
            raise ConfigurationError(f"{self._link.url} does not speak {SUBPROTOCOL}")
        self._rewind()
        try:
            await run_until_first(self._write(connection), self._read(connection))
        except ConnectionClosed:
            self._look_why(connection)
            raise

    # What is said.

    async def _write(self, connection: ClientConnection) -> None:
        while True:
            await self._work.wait()
            bodies = self._take_unsent()
            if bodies:
                await connection.send(bodies[0] if len(bodies) == 1 else join_array(bodies), text=True)
            else:
                self._work.clear()

    def _take_unsent(self) -> list[bytes]:
        """Return the next messages to send together; none if there are none."""
        bodies: list[bytes] = []
        size = 0
        while self._unsent:
            saying = self._unsent[0]
            size += len(saying.body)
            if bodies and size > FRAME_BYTES:
                break
            self._unsent.popleft()
            if not saying.answer.done():
                saying.first_sent = saying.first_sent or time.time()
                bodies.append(saying.body)
        return bodies

    def _rewind(self) -> None:
        """Let everything without an answer be sent again, except what might then be stored twice."""
        for saying in tuple(self._pending.values()):
            if saying.is_risky:
                reason = "the connection was lost for so long that nobody knows whether it was stored"
                saying.fail(Rejected(ErrorCode.ACK_UNAVAILABLE, reason, saying.id))
        self._unsent = deque(self._pending.values())
        self._work.set()

    def _settled(self, saying: _Saying) -> None:
        self._pending.pop(saying.id, None)
        self._window.release()

    # What is heard.

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            await self._space.wait()
            frame = await connection.recv(decode=False)
            try:
                for body in split_array(frame):
                    self._take(body)
            except msgspec.DecodeError as error:
                raise Disconnected(f"{self._link.url} has sent what is not JSON") from error
            if len(self._arrived) >= HIGH_WATER and not self._pending:
                self._space.clear()

    def _take(self, body: bytes) -> None:
        with contextlib.suppress(msgspec.ValidationError):  # nothing that is known here
            self._obey(_decode_frame(body), body)

    def _obey(self, frame: _Frame, body: bytes) -> None:
        if frame.type == "failed":
            # Everything without an answer is said again on the next connection, after the delay.
            raise Disconnected(f"{self._link.url}: {frame.reason}")
        saying = self._pending.get(frame.ok or frame.id or "")
        if frame.type is not None:
            self._admit(read_event(body, self._own), is_self=frame.is_self)
        elif saying is not None and frame.error is not None:
            saying.fail(Rejected(frame.error, frame.reason, saying.id))
        elif saying is not None and not saying.answer.done():
            saying.answer.set_result(Ack(saying.id, frame.seq))

    def _admit(self, event: Event, *, is_self: bool) -> None:
        """Let an event wait for the reader, unless they have had it."""
        if is_self:
            # It comes ahead of what was missed, so how far one has got it does not tell.
            self._own.add(event.member_id)
            if self._position is None:
                self._position = event.seq
            self._put(replace(event, is_own=True))
        elif self._position is None or event.seq > self._position:
            self._position = event.seq
            if not (event.is_own and event.type == "joined"):
                self._put(event)

    def _put(self, event: Event) -> None:
        self._arrived.append(event)
        self._news.set()

    # The end, of a connection and for good.

    def _look_why(self, connection: ClientConnection) -> None:
        """Raise what ends the room for good, if that is why the connection was closed."""
        code, reason = connection.close_code, connection.close_reason
        if code == CloseCode.LOGGED_OUT:
            raise LoginRefused(f"{self._link.url}: {reason or 'the login is over'}")
        if code in (CloseCode.ROOM_DELETED, CloseCode.POLICY):
            words = f": {reason}" if reason else f" has closed the connection: {code}"
            raise RoomClosed(f"{self._link.url}{words}")
        if code == CloseCode.TOO_BIG:
            self._refuse_largest()

    def _refuse_largest(self) -> None:
        """Refuse the message that the server did not take: it closed with 1009, which names none."""
        unsent = set(self._unsent)
        sent = [saying for saying in self._pending.values() if saying not in unsent]
        if sent:
            largest = max(sent, key=lambda saying: len(saying.body))
            reason = f"{len(largest.body):,} bytes are more than the server takes"
            largest.fail(Rejected(ErrorCode.TOO_BIG, reason, largest.id))

    def _give_up(self, error: BaseException) -> None:
        for saying in tuple(self._pending.values()):
            saying.fail(error)
        self._news.set()


def _is_missing(error: BaseException | None) -> bool:
    return isinstance(error, InvalidStatus) and error.response.status_code == HTTPStatus.NOT_FOUND


def _written(said: _Said) -> bytes:
    try:
        return encode(said)
    except UnicodeEncodeError:
        raise Rejected(ErrorCode.BAD_MESSAGE, "the message is not valid UTF-8", said.id) from None
