"""Reader of the log, which updates the state and local clients."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from chat.domain import sentences
from chat.domain.events import (
    Beat,
    Chat,
    Deleted,
    Here,
    Joined,
    Left,
    LoggedEvent,
    Made,
    Restored,
    Revoked,
    read_event,
)
from chat.domain.room import Change, Room, RoomMember
from chat.domain.rooms import LOBBY, Rooms
from chat.domain.sentences import Ending
from chat.domain.views import encode, entry_of
from chat.service.event_writer import EventWriter
from chat.service.members import ConnectedMembers
from chat.service.presence import MemberPresence
from chat.service.room_feed import RoomFeed
from fanline import Message
from fanline.presence import RENEWAL_SECONDS, PresentSession, ServerBeat, SessionJoined, SessionLeft

# How long before the start members must have been announced to be there still.
PAST_MS: Final = int(2 * RENEWAL_SECONDS * 1_000)


@dataclass(frozen=True)
class ServerState:
    """State of one server, shared by reader, lifecycle and commands.

    Attributes:
        rooms: What the log says.
        presence: Of the members of all servers.
        members: The members connected to this server.
        feed: The feed of all rooms.
        writer: Writes events, and waits for them to come back.
    """

    rooms: Rooms
    presence: MemberPresence
    members: ConnectedMembers
    feed: RoomFeed
    writer: EventWriter


class LogReader:
    """Apply messages of the log, whichever server wrote them.

    Args:
        state: The state of this server.
        author: The user as which the chat servers publish.

    Attributes:
        caught_up: Set once the first beat of this server has come back: all before its start has been read.
    """

    def __init__(self, state: ServerState, author: str) -> None:
        self.caught_up = asyncio.Event()
        self._rooms = state.rooms
        self._presence = state.presence
        self._members = state.members
        self._feed = state.feed
        self._writer = state.writer
        self._author = author
        self._announced: deque[LoggedEvent] = deque()  # of the last while, until all is read

    @property
    def is_ready(self) -> bool:
        """True if commands can be executed."""
        return self.caught_up.is_set() and LOBBY in self._rooms.by_id

    @property
    def position(self) -> int:
        """The position up to which the log has been read."""
        return self._writer.position

    def take(self, message: Message) -> None:
        """Apply one message, and show its effect."""
        logged = read_event(message, self._author)
        change = logged and self._rooms.apply(logged)
        if logged and change:
            self._show(logged, change)
            if isinstance(logged.event, Here):
                self._announced.append(logged)
                self._find_members(logged.time)
        self._writer.settle(message.seq, message.id, change)

    def start_over(self) -> None:
        """Close all clients and forget everything, for another log.

        That one is read from its beginning.
        """
        self.close_all(sentences.STARTS_OVER)
        self.caught_up.clear()
        self._announced.clear()
        for room in self._rooms.by_id.values():
            self._end_sessions(room)
        self._presence.clear()
        self._rooms.clear()
        self._writer.settle(0, None, None)

    def close_all(self, ending: Ending) -> None:
        """Close all members and subscribers of the feed."""
        for member in self._members:
            member.close(*ending)
        self._feed.close(*ending)

    def _show(self, logged: LoggedEvent, change: Change) -> None:
        match change.event, change.room, change.member:
            case Chat() as event, Room() as room, member:
                self._deliver(logged, event, room)
                if member is not None:
                    self._presence.state.record_sign(member.server)
            case Joined() as event, Room() as room, RoomMember() as member:
                self._deliver(logged, event, room)
                self._begin_session(logged, event, room, member)
            case Left() as event, Room() as room, RoomMember() as member:
                self._expel(room, member)
                self._deliver(logged, event, room)
            case Beat(server), _, _:
                self._presence.apply(ServerBeat(server))
                if server == self._presence.server:
                    self.caught_up.set()
                    self._find_members(logged.time)
            case Made() | Restored(), Room() as room, _:
                self._feed.room_made(room)
            case Deleted(), Room() as room, _:
                self._close_room(room)
            case Revoked(token), _, _:
                self._revoke(token)

    def _find_members(self, now: int) -> None:
        """Begin the sessions of announced members, once all is read.

        Before, their leaves may follow. What was announced long before does not count: the leaves may have
        been removed.
        """
        while self._announced and self._announced[0].time < now - PAST_MS:
            self._announced.popleft()
        while self._announced and self.caught_up.is_set():
            logged = self._announced.popleft()
            assert isinstance(logged.event, Here)
            for room, member in self._rooms.find_members(logged.event):
                self._presence.apply(_session_of(room, member, logged))
                self._feed.room_changed(room)

    def _deliver(self, logged: LoggedEvent, event: Chat | Joined | Left, room: Room) -> None:
        self._feed.room_changed(room)
        if self._members.has_any(room):
            self._members.deliver(room, encode(entry_of(logged, event)))

    def _begin_session(self, logged: LoggedEvent, event: Joined, room: Room, member: RoomMember) -> None:
        """Activate a member of this server.

        One whose join was cancelled leaves again.
        """
        self._presence.apply(_session_of(room, member, logged))
        if member.server == self._presence.server:
            first = encode({**entry_of(logged, event), "self": True})
            self._members.activate(member.id, logged.seq, first)

    def _expel(self, room: Room, member: RoomMember) -> None:
        """End a session, and close its member if connected here.

        Another server has written the leave, because it took this one for dead.
        """
        local = self._members.remove(room, member.id)
        if local is not None:
            local.close(*sentences.OUT_OF_REACH)
        self._end_session(room, member)

    def _close_room(self, room: Room) -> None:
        for local in self._members.remove_all(room):
            local.close(*sentences.ROOM_GONE)
        self._end_sessions(room)
        self._feed.room_deleted(room)

    def _end_sessions(self, room: Room) -> None:
        for member in room.members.values():
            self._end_session(room, member)

    def _end_session(self, room: Room, member: RoomMember) -> None:
        self._presence.apply(SessionLeft(room.session_of(member.id, member.user), member.server))

    def _revoke(self, token: str) -> None:
        for member in self._members:
            member.revoke(token)
        self._feed.revoke(token)


def _session_of(room: Room, member: RoomMember, logged: LoggedEvent) -> SessionJoined:
    present = PresentSession(room.session_of(member.id, member.user), logged.time, logged.seq)
    return SessionJoined(present, member.server)
