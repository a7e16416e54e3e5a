"""The commands of chat: rooms, members, messages and logouts.

The path of a message: :meth:`ChatService.say` → :meth:`EventWriter.write` → publisher → msgqueue →
subscriber → :meth:`LogReader.take` → :meth:`Rooms.apply` → :meth:`ConnectedMembers.deliver` → a client.
New rooms, members and logouts take the same path: a server acts on an event only when it comes back from the
log, as every other server does.
"""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

from chat.domain import sentences
from chat.domain.errors import Refused, Unavailable, quoted
from chat.domain.events import REVOKED, ROOMS, Chat, Event, Joined, Revoked, room_topic
from chat.domain.names import require_text
from chat.domain.person import Person
from chat.domain.room import Change, Room, RoomLimits
from chat.domain.rooms import Rooms
from chat.domain.views import MessagePage, RoomEntry, encode
from chat.service.dependency_health import DependencyHealth
from chat.service.event_writer import EventWriter
from chat.service.lifecycle import Lifecycle
from chat.service.log_reader import LogReader, ServerState
from chat.service.members import MAX_WAITING, ConnectedMembers, LocalMember
from chat.service.pipeline import RETRY_DELAY, PipelineConnection
from chat.service.presence import MemberPresence
from chat.service.room_feed import FeedSubscriber, RoomFeed
from chat.service.room_history import RoomHistory, is_event, is_message
from chat.settings import ChatSettings
from fanline import Ack, History
from fanline.presence import BEAT_INTERVAL
from fanline.server import Claims, link_context

# Entries per step of what a reconnected member has missed.
MISSED_STEP: Final = 500

# Seconds between checks of the pipeline.
CHECK_INTERVAL: Final = 2.0

# The close code of a client that simply leaves (RFC 6455, 7.4.1).
NORMAL_CLOSURE: Final = 1000


@dataclass(frozen=True)
class Tuning:
    """Times and limits that are not settings.

    Attributes:
        beat_interval: Seconds between the beats of a server.
        check_interval: Seconds between checks of the pipeline.
        retry_delay: Seconds between attempts after the pipeline has refused this server.
        max_waiting: The number of JSON texts that may wait for a client.
    """

    beat_interval: float = BEAT_INTERVAL
    check_interval: float = CHECK_INTERVAL
    retry_delay: float = RETRY_DELAY
    max_waiting: int = MAX_WAITING


class ChatService:
    """Execute clients' commands on the rooms.

    Concurrent calls are allowed. A write is in the log, or raises Unavailable, within ``queue_wait`` seconds.

    Args:
        state: The state of this server.
        lifecycle: Connects this server to the pipeline.
        history: Reads rooms back.
        room_limits: The number of rooms allowed.
        max_message: The number of bytes allowed in a message.

    Attributes:
        state: As given.
        rooms: The rooms, as of the position up to which the log was read.
        lifecycle: As given.
    """

    def __init__(
        self,
        state: ServerState,
        lifecycle: Lifecycle,
        history: RoomHistory,
        *,
        room_limits: RoomLimits,
        max_message: int,
    ) -> None:
        self.state = state
        self.rooms = state.rooms
        self.lifecycle = lifecycle
        self._history = history
        self._room_limits = room_limits
        self._max_message = max_message

    @classmethod
    def from_settings(cls, settings: ChatSettings, tuning: Tuning = Tuning()) -> Self:
        """Return a service that is not connected yet; see :meth:`running`.

        Raises:
            ConfigurationError: If the CA or the password for the pipeline cannot be read.
        """
        tls = link_context(settings)
        user, password = settings.pipeline_login()
        login: dict[str, Any] = {"tls": tls}
        if password is not None:
            login |= {"user": user, "password": password}
        state = _new_state(settings, tuning)
        lifecycle = Lifecycle(
            state,
            LogReader(state, user),
            PipelineConnection(settings, login, retry_delay=tuning.retry_delay),
            DependencyHealth((settings.publisher_url, settings.subscriber_url), tls),
            check_interval=tuning.check_interval,
            drain_timeout=settings.drain_timeout / 2,
        )
        history = RoomHistory(History(settings.subscriber_url, **login), user)
        return cls(
            state,
            lifecycle,
            history,
            room_limits=RoomLimits(settings.chat_max_rooms, settings.chat_rooms_per_person),
            max_message=settings.chat_max_message,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect to the pipeline during the block, and drain at its end."""
        async with self._history.opened(), self.lifecycle.running():
            yield

    async def make_room(
        self, room_id: str | None, name: str | None, person: Person, *, allows_same_name: bool = False
    ) -> Room:
        """Make a room.

        Args:
            room_id: The id; None for one that resembles the name, or a random one without a name.
            name: The display name; None for a random one of two words.
            person: Who makes it, and may delete it.
            allows_same_name: Whether a room without a chosen id may have the name of another room.

        Raises:
            Refused: If the id or name is invalid; if a room has it, and that is not allowed; or if a limit is
                reached.
            Unavailable: If it could not be stored in time.
        """
        while True:
            # What another server has made since the plan decides whether the event counts; the next plan
            # finds the reason, or another id.
            made = self.rooms.plan_room(
                room_id, name, person, self._room_limits, allows_same_name=allows_same_name
            )
            change = await self._write(ROOMS, made)
            if change is not None and change.room is not None:
                return change.room

    async def delete_room(self, room_id: str, person: Person) -> None:
        """Delete a room, and close its members with 4004.

        The room can be restored for a day.

        Raises:
            Refused: If no room has this id, or the room is the lobby, or of another person.
            Unavailable: If the deletion could not be stored in time.
        """
        if await self._write(ROOMS, self.rooms.plan_deletion(room_id, person)) is None:
            raise Refused(sentences.UNKNOWN_ROOM, room=quoted(room_id))

    async def restore_room(self, room_id: str, person: Person) -> Room:
        """Restore a deleted room with its messages.

        Raises:
            Refused: If no room with this id was deleted within a day, the room is of another person, a room
                has this id again, or a limit is reached.
            Unavailable: If it could not be stored in time.
        """
        while True:
            restored = self.rooms.plan_restoration(room_id, person, self._room_limits)
            change = await self._write(ROOMS, restored)
            if change is not None and change.room is not None:
                return change.room

    async def join(self, room_id: str, name: str, token: Claims | None) -> LocalMember:
        """Join a room, and return when the ``joined`` has come back.

        The member must be passed to :meth:`leave` in the end. If cancelled, the member has not joined, or
        has left again.

        Args:
            room_id: The room.
            name: The display name, as :func:`~chat.domain.names.require_name` returns it.
            token: The token, if any; the member is closed with 4001 when it is revoked.

        Returns:
            The member; ``first`` is the first text for the client, ``take()`` returns all others.

        Raises:
            Refused: If no room has this id, or another person, who is present, uses the name.
            Unavailable: If it could not be stored in time, this server stops, or the token was revoked.
        """
        room = self.rooms.get(room_id)
        member = self.state.members.add_pending(name, room, token)
        try:
            joined = Joined(room.key, member.id, name, self.state.presence.server, member.user)
            if await self._write(room_topic(room_id), joined) is None:
                if self.rooms.by_id.get(room_id) is room:
                    raise Refused(sentences.NAME_TAKEN, name=name)
                raise Refused(sentences.UNKNOWN_ROOM, room=quoted(room_id))
            if not member.first:
                raise Unavailable(sentences.NOT_JOINED)
        except BaseException:
            self.state.members.cancel_pending(member)
            member.close(*sentences.COULD_NOT_JOIN)
            raise
        return member

    async def missed(self, member: LocalMember, after: int) -> AsyncIterator[list[bytes]]:
        """Yield the events that a member missed.

        They come after a position, and before the member's own ``joined``.

        Args:
            member: The member; ``take()`` returns what comes after ``joined``.
            after: The position.

        Raises:
            Unavailable: If the log cannot be read.
        """
        while entries := await self._history.after(member.room, after, MISSED_STEP, end=member.joined):
            yield [encode(entry) for entry in entries]
            after = entries[-1]["seq"]

    def leave(self, member: LocalMember) -> None:
        """Close a member, whose leave is written in any case.

        Writing it may take any time.
        """
        member.close(NORMAL_CLOSURE, "left")

    async def say(self, member: LocalMember, text: str, key: str | None = None) -> Ack:
        """Send a message to a member's room, and return its ack.

        The message has come back from the log then.

        Args:
            member: The sender.
            text: The text.
            key: Identifies the message: with the same key, sent again in the same room, on this connection or
                with the same token on another one, it is stored once, and acknowledged alike each time.

        Returns:
            The key and the position.

        Raises:
            Refused: If the text is invalid, with ``bad-message`` or ``too-big``; if the member was closed
                before, with ``closed``; if the room was deleted, with ``room-deleted``.
            Unavailable: If the message was not stored in time. A message already sent is not withdrawn, and
                may still be stored; with a key it can safely be sent again.
        """
        if member.end is not None:
            raise Refused(sentences.CLOSED, key, reason=member.end.reason)
        require_text(text, max_bytes=self._max_message)
        room = member.room
        event = Chat(room.key, member.id, member.name, text, member.user)
        written = await self.state.writer.write(room_topic(room.id), event, _message_id(member, key))
        if written.has_come_back and written.change is None:
            raise Refused(sentences.ROOM_DELETED, key)
        return Ack(key, written.seq)

    async def messages(
        self,
        room_id: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
        has_only_messages: bool = False,
    ) -> list[RoomEntry]:
        """Return events of a room, oldest first; without a position, the newest.

        Args:
            room_id: The room.
            before: Return the newest events before this position.
            after: Return the oldest events after this position; excludes ``before``.
            limit: The number of events, at least 1; fewer are returned only if there are no more.
            has_only_messages: Whether to leave out joins and leaves.

        Raises:
            Refused: If both positions are given, or no room has this id.
            Unavailable: If the log cannot be read.
        """
        if before is not None and after is not None:
            raise Refused(sentences.TWO_POSITIONS)
        room = self.rooms.get(room_id)
        wanted = is_message if has_only_messages else is_event
        if after is None:
            return await self._history.before(room, before, limit, wanted=wanted)
        return await self._history.after(room, after, limit, wanted=wanted)

    async def history_after(
        self, room_id: str, after: int, *, has_only_messages: bool = False
    ) -> AsyncIterator[list[RoomEntry]]:
        """Yield a room's events after a position in pages, oldest first.

        Args:
            room_id: The room.
            after: The position.
            has_only_messages: Whether to leave out joins and leaves.

        Raises:
            Refused: If no room has this id.
            Unavailable: If the log cannot be read.
        """
        while entries := await self.messages(
            room_id, after=after, limit=MISSED_STEP, has_only_messages=has_only_messages
        ):
            yield entries
            after = entries[-1]["seq"]

    async def page(self, room_id: str, number: int | None) -> MessagePage:
        """Return a page of a room's messages; None for the newest.

        Raises:
            Refused: If no room has this id, or the number is out of range.
            Unavailable: If the log cannot be read.
        """
        return await self._history.page(self.rooms.get(room_id), number)

    async def revoke(self, token: Claims) -> None:
        """Revoke a token, and close its connections with 4001.

        This is so on all servers.

        Raises:
            Unavailable: If the revocation could not be stored in time.
        """
        await self._write(REVOKED, Revoked(token.token_id, token.expires))

    def watch(self, token: Claims | None) -> FeedSubscriber:
        """Return a new subscriber of the feed, to be closed afterwards.

        Raises:
            Unavailable: If this server is not ready, or stops.
        """
        self.lifecycle.require_open()
        return self.state.feed.subscribe(token)

    async def _write(self, topic: str, event: Event) -> Change | None:
        """Write an event without an id, and return its effect."""
        self.lifecycle.require_open()
        written = await self.state.writer.write(topic, event)
        if not written.has_come_back:
            raise Unavailable(sentences.NOT_BACK)
        return written.change


def _new_state(settings: ChatSettings, tuning: Tuning) -> ServerState:
    rooms = Rooms()
    presence = MemberPresence(rooms, beat_interval=tuning.beat_interval)
    members = ConnectedMembers(presence.state, max_waiting=tuning.max_waiting)
    return ServerState(rooms, presence, members, RoomFeed(rooms), EventWriter(settings.queue_wait))


def _message_id(member: LocalMember, key: str | None) -> str | None:
    """Return an id for a sender's key in a room, if any.

    It is unique for the sender, the room and the key.
    """
    if key is None:
        return None
    sender = member.token.token_id if member.token else member.id
    digest = sha256("\0".join((sender, member.room.key, key)).encode()).digest()
    return urlsafe_b64encode(digest).decode()
