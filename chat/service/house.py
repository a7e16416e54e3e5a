"""The rooms, live: what members do goes into the log, and what comes back from it is what has happened.

The way of a message: :meth:`House.say` → :meth:`Journal.write` → publisher → msgqueue → subscriber →
:meth:`House._take` → :meth:`State.apply` → :meth:`House._show` → :meth:`Outbox.push` → a client. The way of a
new room, of a member or a logout is the same: a server acts on what it wrote only when it sees it come back,
as every other server does.
"""

import asyncio
import contextlib
import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from types import TracebackType
from typing import Any, Final, Self

from chat.domain import server_liveness as presence
from chat.domain.errors import ChatCode, RoomExists, TooManyRooms, Unavailable, UnknownRoom
from chat.domain.events import (
    REVOKED,
    ROOMS,
    SERVERS,
    Beat,
    Chat,
    Deleted,
    Event,
    Joined,
    Left,
    Logged,
    Made,
    Revoked,
    RoomEvent,
    read_event,
    room_topic,
)
from chat.domain.names import new_room_id, random_name, require_name, require_room_id, require_text
from chat.domain.state import LOBBY, Change, Member, Room, State
from chat.domain.views import Entry, entry_of
from chat.service.dependency_health import Neighbours
from chat.service.event_writer import Journal
from chat.service.members import Hall, LocalMember
from chat.service.pending_leaves import Farewells
from chat.service.pipeline import AnotherLog, Uplink
from chat.service.room_feed import Feed, Watcher
from chat.service.room_history import Page, Transcript
from fanline.client import History, Message, Publisher, Subscriber
from fanline.errors import CloseCode, ErrorCode, Rejected
from fanline.protocol import Ack, encode
from fanline.security.tls import client_context
from fanline.security.tokens import Claims
from fanline.settings import Settings
from fanline.tasks import cancel_and_wait

# Entries that a member who comes back is given at a time.
MISSED_STEP: Final = 500

# What a client closes with that just goes (RFC 6455).
NORMAL_CLOSURE: Final = 1000

logger = logging.getLogger(__name__)


class House:
    """The rooms as this server knows them, and the members who are connected to it.

    Entering it starts to read the log, and returns at once; it is of use as soon as it is :attr:`ready`. Any
    number of tasks may use it. What is written is in the log, or an error is raised, within ``queue_wait``
    seconds; so it is for everything here that says that it raises Unavailable.

    Args:
        settings: Where the pipeline is, and the limits.

    Attributes:
        server: The id of this server, another one each time.
        state: What the log says, up to where it was read.

    Raises:
        ConfigurationError: If the CA or the password for the pipeline cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.server = uuid.uuid4().hex
        self.state = State()
        self._settings = settings
        tls = client_context(settings.cert_dir)
        login: dict[str, Any] = {"user": settings.link_user, "password": settings.link_secret(), "tls": tls}
        self._neighbours = Neighbours((settings.publisher_url, settings.subscriber_url), tls)
        self._journal = Journal(settings.queue_wait)
        self._presence = presence.Presence(self.server)
        self._farewells = Farewells()
        self._hall = Hall()
        self._feed = Feed(self.state)
        self._history = History(settings.subscriber_url, **login)
        self._transcript = Transcript(self._history, settings.link_user)
        self._uplink = Uplink(settings, login)
        self._is_read = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None]

    @property
    def ready(self) -> bool:
        """Whether the log has been read up to its end once, so that what is here is what there is."""
        return self._is_read.is_set() and LOBBY in self.state.rooms

    async def problem(self) -> str | None:
        """Return in one sentence why this server cannot work at present, or None if it can."""
        if self._is_stopping:
            return "this server stops"
        if self._task.done():
            return "this server has failed, and must be started again; its log tells why"
        if self._uplink.problem:
            return self._uplink.problem
        if not self.ready:
            return f"this server is still reading the log, and is at position {self._journal.position:,}"
        return await self._neighbours.problem()

    async def make_room(self, id: str | None, name: str | None, by: str) -> Room:  # noqa: A002
        """Make a room.

        Args:
            id: Its id; None for a random one.
            name: Its name; None for a random one of two words.
            by: Who makes it.

        Raises:
            Rejected: If the id or name cannot be used.
            RoomExists: If there is a room with this id.
            TooManyRooms: If there are as many as there may be.
            Unavailable: If it could not be stored in time.
        """
        room_id = new_room_id() if id is None else id
        require_room_id(room_id)
        name = random_name() if name is None else require_name(name)
        if room_id in self.state.rooms:
            raise RoomExists(room_id)
        if len(self.state.rooms) >= self._settings.chat_max_rooms:
            raise TooManyRooms(self._settings.chat_max_rooms)
        change = await self._write(ROOMS, Made(room_id, name, _new_key(), by))
        if change is None or change.room is None:
            raise RoomExists(room_id)
        return change.room

    async def delete_room(self, id: str, by: str) -> None:  # noqa: A002
        """Delete a room; its members are closed with 4004.

        Raises:
            UnknownRoom: If there is none with this id.
            Rejected: If it is the lobby, with ``forbidden``.
            Unavailable: If it could not be stored in time.
        """
        room = self._room(id)
        if id == LOBBY:
            raise Rejected(ErrorCode.FORBIDDEN, "the lobby cannot be deleted")
        if await self._write(ROOMS, Deleted(id, room.key, by)) is None:
            raise UnknownRoom(id)

    async def join(self, room_id: str, name: str, token: Claims | None) -> LocalMember:
        """Become a member of a room, and return when one is: when one's ``joined`` has come back.

        The member must be given to :meth:`leave` in the end. If cancelled, nobody has joined, or has left
        again.

        Args:
            room_id: The room.
            name: How the member is called; as :func:`~chat.domain.names.require_name` returns it.
            token: What they have logged in with; when it is logged out or expires, the member is closed with
                4001.

        Returns:
            The member: ``first`` is the frame to begin with; all else is to be had from ``take()``.

        Raises:
            UnknownRoom: If there is no such room, or not any more.
            Unavailable: If it could not be stored in time, or this server stops, or the token was logged out
                meanwhile.
        """
        room = self._room(room_id)
        member = LocalMember(_new_key(), name, room, token, self._depart)
        self._hall.expect(member)
        try:
            joined = Joined(room.key, member.id, name, self.server)
            if await self._write(room_topic(room_id), joined) is None:
                raise UnknownRoom(room_id)
            if not member.first:
                raise Unavailable("you were logged out, or this server stops")
        except BaseException:
            self._hall.unexpect(member)
            member.close(CloseCode.TRY_AGAIN_LATER, "could not join")
            raise
        return member

    async def missed(self, member: LocalMember, after: int) -> AsyncIterator[list[bytes]]:
        """Yield what happened in a member's room behind a position, up to their own ``joined``: JSON texts.

        Args:
            member: The member; what comes behind it, :meth:`LocalMember.take` returns.
            after: The position.

        Raises:
            Unavailable: If the log cannot be read.
        """
        while entries := await self._transcript.after(member.room, after, MISSED_STEP, end=member.joined):
            yield [encode(entry) for entry in entries]
            after = entries[-1].seq

    async def leave(self, member: LocalMember) -> None:
        """Let a member leave; again changes nothing. That they left is written for as long as it takes."""
        member.close(NORMAL_CLOSURE, "left")

    async def say(self, member: LocalMember, text: str, key: str | None = None) -> Ack:
        """Say something in a member's room, and return when it is stored and has come back.

        Args:
            member: Who says it.
            text: What they say.
            key: What they tell it by: said again in the same room with the same key, on this connection or
                with the same token on another one, it is stored once, and acknowledged each time alike.

        Returns:
            The key, and the position.

        Raises:
            Rejected: If the text cannot be said, with ``bad-message`` or ``too-big``; or if the member was
                closed before, with ``closed``, or the room is gone, with ``room-deleted``.
            Unavailable: If it was not stored in time. It is not withdrawn where it was on its way already, so
                it may still come; with a key it can safely be said again.
        """
        if member.end is not None:
            raise Rejected(ChatCode.CLOSED, member.end.reason, key)
        require_text(text, max_bytes=self._settings.chat_max_message)
        room = member.room
        event = Chat(room.key, member.id, member.name, text)
        written = await self._journal.write(room_topic(room.id), event, _message_id(member, key))
        if written.has_come_back and written.change is None:
            raise Rejected(ChatCode.ROOM_DELETED, "the room has been deleted", key)
        return Ack(key, written.seq)

    async def messages(
        self, room_id: str, *, before: int | None = None, after: int | None = None, limit: int
    ) -> list[Entry]:
        """Return what has happened in a room, oldest first; with neither position, the newest of it.

        Args:
            room_id: The room.
            before: Only what is in front of this position; the newest of it.
            after: Only what is behind this position; the oldest of it. The two exclude each other.
            limit: How much, 1 at least; less means that there is no more.

        Raises:
            UnknownRoom: If there is no such room.
            Unavailable: If the log cannot be read.
        """
        room = self._room(room_id)
        if after is None:
            return await self._transcript.before(room, before, limit)
        return await self._transcript.after(room, after, limit)

    async def history(self, room_id: str, page: int | None) -> Page:
        """Return a page of a room's messages; None for the newest.

        Raises:
            UnknownRoom: If there is no such room.
            BadPage: If there is no such page.
            Unavailable: If the log cannot be read.
        """
        return await self._transcript.page(self._room(room_id), page)

    async def revoke(self, token: Claims) -> None:
        """Log a token out, on all servers: those who are connected with it are closed with 4001.

        Raises:
            Unavailable: If it could not be stored in time.
        """
        await self._write(REVOKED, Revoked(token.token_id, token.expires))

    def is_revoked(self, token_id: str) -> bool:
        """Whether a token was logged out."""
        return self.state.is_revoked(token_id)

    def watch(self, token: Claims | None) -> Watcher:
        """Return somebody new who watches all rooms; to be closed in the end.

        Raises:
            Unavailable: If this server is not ready, or stops.
        """
        self._require_open()
        return self._feed.watch(token)

    async def drain(self) -> None:
        """Close everybody with 1001, and wait until it is in the log that they left; bounded."""
        self._is_stopping = True
        self._close_all(CloseCode.GOING_AWAY, "this server stops: reconnect")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout / 2):
                await self._farewells.settled()

    async def __aenter__(self) -> Self:
        await self._history.__aenter__()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_log_failure)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_stopping:
            await self.drain()
        await cancel_and_wait(self._task)
        await self._history.__aexit__(exc_type, exc_value, traceback)

    # Writing.

    async def _write(self, topic: str, event: Event) -> Change | None:
        """Write an event that has no id of its own, and return what it has changed."""
        self._require_open()
        written = await self._journal.write(topic, event)
        if not written.has_come_back:
            raise Unavailable("it is stored, but the pipeline has not handed it out yet; look again later")
        return written.change

    def _room(self, id: str) -> Room:  # noqa: A002
        try:
            return self.state.rooms[id]
        except KeyError:
            raise UnknownRoom(id) from None

    def _require_open(self) -> None:
        if self._is_stopping or not self.ready:
            raise Unavailable("this server stops" if self._is_stopping else "this server is not ready yet")

    def _depart(self, member: LocalMember) -> None:
        """Let it be written that a member has left, unless they were not there, or are known to have left."""
        if self._hall.remove(member.room, member.id):
            self._bid_farewell(member.room, Member(member.id, member.name, self.server))

    def _bid_farewell(self, room: Room, member: Member) -> None:
        self._farewells.add(room.id, Left(room.key, member.id, member.name, member.server))

    # What comes back.

    def _take(self, message: Message) -> None:
        """Let one message of the log count, whichever server wrote it."""
        logged = read_event(message, self._settings.link_user)
        change = logged and self.state.apply(logged)
        if logged and change:
            self._follow(logged, change)
        self._journal.settle(message.seq, message.id, change)

    def _follow(self, logged: Logged, change: Change) -> None:
        """Do what a change of the state asks for here."""
        match change.event, change.room:
            case Chat() | Joined() | Left() as event, Room() as room:
                self._feed.changed(room)
                self._show(logged, event, room)
            case Beat(server), _:
                self._hear_beat(server)
            case Made(), Room() as room:
                self._feed.made(room)
            case Deleted(), Room() as room:
                self._clear(room)
            case Revoked(token), _:
                self._log_out(token)

    def _show(self, logged: Logged, event: RoomEvent, room: Room) -> None:
        """Show the members of a room what has happened in it."""
        if isinstance(event, Left):
            self._farewells.discard(event.member)
            self._expel(room, event.member)
        elif event.member in room.members:
            self._presence.sign(room.members[event.member].server)
        if not self._hall.is_empty(room):
            self._hall.tell(room, encode(entry_of(logged, event)))
        if isinstance(event, Joined) and event.server == self.server:
            self._welcome(logged, event, room)

    def _welcome(self, logged: Logged, event: Joined, room: Room) -> None:
        """Let a member of this server in; one who has given up meanwhile has to be seen to leave again."""
        first = encode(entry_of(logged, event, is_self=True))
        if not self._hall.seat(event.member, logged.seq, first):
            self._bid_farewell(room, room.members[event.member])

    def _expel(self, room: Room, member: str) -> None:
        """Close a member of this server whom another one has taken for gone, and this server with them."""
        expelled = self._hall.remove(room, member)
        if expelled is not None:
            expelled.close(CloseCode.TRY_AGAIN_LATER, "this server was out of reach: reconnect with after")

    def _clear(self, room: Room) -> None:
        """Close everybody who is in a room that is gone."""
        for member in room.members:
            self._farewells.discard(member)
        for local in self._hall.clear(room):
            local.close(CloseCode.ROOM_DELETED, "the room has been deleted")
        self._feed.deleted(room)

    def _log_out(self, token: str) -> None:
        for member in self._hall:
            member.log_out(token)
        self._feed.log_out(token)

    def _hear_beat(self, server: str) -> None:
        """Note that a server lives; if it is this one, see who does not."""
        if server != self.server:
            self._presence.sign(server)
            return
        self._is_read.set()
        for dead in self._presence.beat(self.state.population):
            logger.warning("server %s gives no sign of life; its members are taken for gone", dead)
            for room, member in self.state.members_of(dead):
                self._bid_farewell(room, member)

    def _close_all(self, code: int, reason: str) -> None:
        for member in self._hall:
            member.close(code, reason)
        self._feed.close(code, reason)

    # The pipeline.

    async def _run(self) -> None:
        while True:
            try:
                await self._uplink.run(lambda: self._journal.position, self._converse)
            except AnotherLog as error:
                logger.error("%s: everything is read again, from the beginning", error)
                self._start_over()

    async def _converse(self, publisher: Publisher, subscriber: Subscriber) -> None:
        self._journal.publisher = publisher
        try:
            async with asyncio.TaskGroup() as sides:
                sides.create_task(self._read(subscriber))
                sides.create_task(self._keep_alive(publisher))
                sides.create_task(self._farewells.run(publisher))
        finally:
            self._journal.publisher = None

    async def _read(self, subscriber: Subscriber) -> None:
        async for message in subscriber:
            self._take(message)

    async def _keep_alive(self, publisher: Publisher) -> None:
        """Write the beats of this server; when the first comes back, so has all that was before it."""
        await publisher.publish(SERVERS, Beat(self.server))
        await self._is_read.wait()
        if LOBBY not in self.state.rooms:
            await publisher.publish(ROOMS, Made(LOBBY, "Lobby", _new_key(), self.server))
        while True:
            await asyncio.sleep(presence.INTERVAL)
            is_needed = self.state.population and not self._presence.is_alone
            # Without a connection it is written all the same, to find out whether there will be one again.
            if is_needed or not publisher.connected:
                await publisher.publish(SERVERS, Beat(self.server))

    def _start_over(self) -> None:
        self._close_all(CloseCode.TRY_AGAIN_LATER, "this server starts over: reconnect")
        self._is_read.clear()
        self._farewells.clear()
        self.state.restart()
        self._journal.position = 0


def _new_key() -> str:
    return uuid.uuid4().hex


def _message_id(member: LocalMember, key: str | None) -> str | None:
    """Return what tells a message from all others: who says it, in which room, and what they tell it by."""
    if key is None:
        return None
    who = member.token.token_id if member.token else member.id
    digest = sha256("\0".join((who, member.room.key, key)).encode()).digest()
    return urlsafe_b64encode(digest).decode()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        logger.critical("the rooms have failed", exc_info=task.exception())
