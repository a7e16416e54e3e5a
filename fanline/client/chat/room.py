"""A chat room for a client: received events, and sent messages.

::

    async with ChatRoom("wss://localhost:8083", "lobby", token=token, tls=tls) as room:
        await (await room.send("Hello"))  # on disk
        async for event in room:
            print(event.member_name, event.message)
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal, Self
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fanline.client.base import HIGH_WATER, LOW_WATER, OnState
from fanline.client.sending import PublishResult, SendingClient
from fanline.client.transport.connection import ReconnectingConnection, run_until_first
from fanline.client.transport.login import Login
from fanline.client.transport.translate import take_each
from fanline.errors import (
    CloseCode,
    ConfigurationError,
    Disconnected,
    ErrorCode,
    FanlineError,
    LoginRefused,
    Rejected,
)
from fanline.protocol import CHAT_SUBPROTOCOL, Ack, encode

# Messages without an answer at a time; further ones wait.
WINDOW: Final = 1_000

# What is joined into one frame; a message that is larger travels alone.
_FRAME_BYTES: Final = 16_384

# The server itself waits for its pipeline, 10 s by default, before it answers.
OPEN_TIMEOUT: Final = 15.0

# The server remembers ids for ten minutes, unless told otherwise; stay well within them.
ID_LIFETIME: Final = 8 * 60.0


class RoomClosed(FanlineError):
    """The room was deleted, or its server refuses this client."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """An event in a room.

    Attributes:
        seq: Its position in the log.
        type: A message, or a member who came or left.
        member_id: The member.
        member_name: The member's display name.
        message: The text; empty if the member came or left.
        sent: When it was stored.
        is_own: Whether it was this client, now or on an earlier connection.
        json: The whole event, as it came.
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
    """A frame of the server: an acknowledgement, a refusal, or an event."""

    ok: str | None = None
    error: str | None = None
    type: str | None = None
    is_self: bool = msgspec.field(name="self", default=False)
    seq: int = 0
    reason: str = ""
    id: str | None = None


_decode_entry: Final = msgspec.json.Decoder(_Entry).decode
_decode_frame: Final = msgspec.json.Decoder(_Frame).decode


def read_event(json: bytes, own: Container[str] = ()) -> RoomEvent:
    """Read an event.

    Args:
        json: Its JSON text.
        own: The ids of the members that this client is, or was.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    entry = _decode_entry(json)
    return RoomEvent(**msgspec.structs.asdict(entry), is_own=entry.member_id in own, json=json)


class _Said(msgspec.Struct, frozen=True):
    message: str
    id: str


class ChatRoom(SendingClient):
    """Takes part in a room: iterate over it for events.

    After a lost connection it makes another one by itself, with growing delays, and goes on after the last
    event: nothing is left out and nothing comes twice. Messages without an ack are sent again, in order and
    with the same ids, so that each is stored once. Each connection begins with the client's own ``joined``.

    While nothing iterates, and no message waits for its ack, only a few hundred events are read ahead.

    What ends it, and is raised by every call from then on, is :class:`RoomClosed`;
    :class:`~fanline.LoginRefused`, also when the token expires or is logged out;
    :class:`~fanline.ConfigurationError` (no such room or service, or one that cannot be trusted); and
    :class:`~fanline.Closed`. Leaving the ``async with`` block leaves the room; what has no ack by then may
    be stored or not.

    Args:
        url: The chat service, ``wss://HOST:PORT``.
        room: The id of the room.
        token: The login, from :class:`~fanline.ChatPages`.
        tls: How to verify the server; None trusts the CAs of the system.
        after: Begin after this position; None begins with what is new.
        id_lifetime: Seconds for which the server certainly remembers the id of a message.
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
        id_lifetime: float = ID_LIFETIME,
        on_state: OnState | None = None,
    ) -> None:
        link = ReconnectingConnection(
            f"{url.rstrip('/')}/api/serve/{quote(room, safe='')}",
            login=Login.by_token(token),
            tls=tls,
            subprotocol=CHAT_SUBPROTOCOL,
            query=self._resume,
            open_timeout=OPEN_TIMEOUT,
            on_state=on_state,
        )
        super().__init__(link, window=WINDOW, frame_bytes=_FRAME_BYTES)
        self._id_lifetime = id_lifetime
        self._position = after
        self._own: set[str] = set()
        self._arrived: deque[RoomEvent] = deque()
        self._news = asyncio.Event()
        self._can_read = asyncio.Event()
        self._can_read.set()

    @property
    def waiting(self) -> int:
        """Number of events that have arrived and are not returned."""
        return len(self._arrived)

    async def send(self, text: str) -> PublishResult:
        """Send a message, waiting only while a thousand have no ack.

        Messages are sent in the order of the calls. If cancelled, this one is not.

        Args:
            text: The message.

        Returns:
            What to await for the position at which it is stored. It raises
            :class:`~fanline.Rejected` if the message is refused, or was sent so long ago that it may be
            stored or not; and what ends the room. Cancelling the wait withdraws the message, unless it is
            on its way already.

        Raises:
            Rejected: If the message cannot be written as JSON.
            FanlineError: What has ended the room.
        """
        key = next(self._ids)
        result = PublishResult(key, _encode(_Said(text, key)), key, withdraw=self._withdraw)
        await self._hand_over(result)
        self._can_read.set()  # the ack may come after more events than are read ahead
        return result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RoomEvent:
        while not self._arrived:
            if self._over is not None:
                raise self._over
            self._news.clear()
            await self._news.wait()
        event = self._arrived.popleft()
        if len(self._arrived) <= LOW_WATER:
            self._can_read.set()
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
            raise ConfigurationError(f"{self._link.url} does not speak {CHAT_SUBPROTOCOL}")
        self._refuse_uncertain()
        self._send_again()
        try:
            await run_until_first(self._write(connection), self._read(connection))
        except ConnectionClosed:
            self._look_why(connection)
            raise

    # Sending.

    def _on_sending(self, results: list[PublishResult]) -> None:
        until = time.time() + self._id_lifetime
        for result in results:
            result.deadline = min(result.deadline, until)

    def _refuse_uncertain(self) -> None:
        """Refuse messages that may be stored, under ids that may be forgotten."""
        for result in self._outbox.expire(time.time()):
            reason = "the connection was lost for so long that it is unknown whether it was stored"
            self._fail(result, Rejected(ErrorCode.ACK_UNAVAILABLE, reason, result.id))

    # Receiving.

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            await self._can_read.wait()
            take_each(await connection.recv(decode=False), self._take, self._link.url)
            if len(self._arrived) >= HIGH_WATER and not self._outbox:
                self._can_read.clear()

    def _take(self, body: bytes) -> None:
        with contextlib.suppress(msgspec.ValidationError):  # nothing that is known here
            self._execute(_decode_frame(body), body)

    def _execute(self, frame: _Frame, body: bytes) -> None:
        if frame.type == "failed":
            # Everything without an ack is sent again on the next connection, after the delay.
            raise Disconnected(f"{self._link.url}: {frame.reason}")
        if frame.type is not None:
            self._admit(read_event(body, self._own), is_self=frame.is_self)
            return
        result = self._outbox.settle(frame.ok or frame.id or "")
        if result is not None and frame.error is not None:
            self._fail(result, Rejected(frame.error, frame.reason, result.id))
        elif result is not None:
            self._acknowledge(result, Ack(result.id, frame.seq))

    def _admit(self, event: RoomEvent, *, is_self: bool) -> None:
        """Queue an event for the reader, unless it was delivered before."""
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

    def _put(self, event: RoomEvent) -> None:
        self._arrived.append(event)
        self._news.set()

    # The end of a connection, and of the room.

    def _look_why(self, connection: ClientConnection) -> None:
        """Raise what ends the room, if the connection's close code says so."""
        code, reason = connection.close_code, connection.close_reason
        if code == CloseCode.LOGGED_OUT:
            raise LoginRefused(f"{self._link.url}: {reason or 'the login is over'}")
        if code in (CloseCode.ROOM_DELETED, CloseCode.POLICY):
            words = f": {reason}" if reason else f" has closed the connection: {code}"
            raise RoomClosed(f"{self._link.url}{words}")
        if code == CloseCode.TOO_BIG:
            self._refuse_largest()

    def _give_up(self, error: BaseException) -> None:
        super()._give_up(error)
        self._news.set()


def _is_missing(error: BaseException | None) -> bool:
    return isinstance(error, InvalidStatus) and error.response.status_code == HTTPStatus.NOT_FOUND


def _encode(said: _Said) -> bytes:
    try:
        return encode(said)
    except UnicodeEncodeError:
        raise Rejected(ErrorCode.BAD_MESSAGE, "the message is not valid UTF-8", said.id) from None
