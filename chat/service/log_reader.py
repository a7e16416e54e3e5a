"""The reader of the log: apply each message to the state, and show its effect to the clients here."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from chat.domain import sentences
from chat.domain.events import (
    Beat,
    Chat,
    Deleted,
    Joined,
    Left,
    LoggedEvent,
    Made,
    Restored,
    Revoked,
    read_event,
)
from chat.domain.log_view import LogView
from chat.domain.room import Change, Membership, Room, RoomMember
from chat.domain.sentences import Ending
from chat.domain.views import encode, entry_of
from chat.service.event_writer import EventWriter
from chat.service.members import ConnectedMembers
from chat.service.pending_leaves import PendingLeaves
from chat.service.room_feed import RoomFeed
from fanline import Message

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerState:
    """The state of one server, shared by its reader, its lifecycle and its commands.

    Attributes:
        view: What the log says.
        members: The members connected to this server.
        feed: The feed of all rooms.
        leaves: The leaves that are not in the log yet.
        writer: Writes events, and waits for them to come back.
    """

    view: LogView
    members: ConnectedMembers
    feed: RoomFeed
    leaves: PendingLeaves
    writer: EventWriter


class LogReader:
    """Apply messages of the log, whichever server wrote them.

    Args:
        state: The state of this server.
        author: The user as which the chat servers publish.

    Attributes:
        caught_up: Set once the first beat of this server has come back.
    """

    def __init__(self, state: ServerState, author: str) -> None:
        self.caught_up = asyncio.Event()
        self._view = state.view
        self._members = state.members
        self._feed = state.feed
        self._leaves = state.leaves
        self._writer = state.writer
        self._author = author

    @property
    def position(self) -> int:
        """The position up to which the log has been read."""
        return self._writer.position

    def take(self, message: Message) -> None:
        """Apply one message, and show its effect."""
        logged = read_event(message, self._author)
        change = logged and self._view.apply(logged)
        if logged and change:
            self._show(logged, change)
        self._writer.settle(message.seq, message.id, change)

    def start_over(self) -> None:
        """Close all clients and forget everything, to read another log from its beginning."""
        self.close_all(sentences.STARTS_OVER)
        self.caught_up.clear()
        self._leaves.clear()
        self._view.clear()
        self._writer.settle(0, None, None)

    def close_all(self, ending: Ending) -> None:
        """Close all members and subscribers of the feed."""
        for member in self._members:
            member.close(*ending)
        self._feed.close(*ending)

    def _show(self, logged: LoggedEvent, change: Change) -> None:
        match change.event, change.room:
            case Chat() as event, Room() as room:
                self._deliver(logged, event, room)
            case Joined() as event, Room() as room:
                self._deliver(logged, event, room)
                if event.server == self._view.server:
                    self._activate(logged, event, room)
            case Left() as event, Room() as room:
                self._leaves.discard(event.member)
                self._expel(room, event.member)
                self._deliver(logged, event, room)
            case Beat(), _:
                self._handle_beat(change.dead)
            case Made() | Restored(), Room() as room:
                self._feed.room_made(room)
            case Deleted(), Room() as room:
                self._close_room(room)
            case Revoked(token), _:
                self._revoke(token)

    def _deliver(self, logged: LoggedEvent, event: Chat | Joined | Left, room: Room) -> None:
        self._feed.room_changed(room)
        if self._members.has_any(room):
            self._members.deliver(room, encode(entry_of(logged, event)))

    def _activate(self, logged: LoggedEvent, event: Joined, room: Room) -> None:
        """Activate a member of this server; if the join was cancelled, let the member leave again."""
        first = encode({**entry_of(logged, event), "self": True})
        if not self._members.activate(event.member, logged.seq, first):
            self._write_leave(room, room.members[event.member])

    def _expel(self, room: Room, member_id: str) -> None:
        """Close a member here whose leave another server wrote because it took this server for dead."""
        member = self._members.remove(room, member_id)
        if member is not None:
            member.close(*sentences.OUT_OF_REACH)

    def _close_room(self, room: Room) -> None:
        for member_id in room.members:
            self._leaves.discard(member_id)
        for member in self._members.remove_all(room):
            member.close(*sentences.ROOM_GONE)
        self._feed.room_deleted(room)

    def _revoke(self, token: str) -> None:
        for member in self._members:
            member.revoke(token)
        self._feed.revoke(token)

    def _handle_beat(self, dead: Iterable[Membership]) -> None:
        if self._view.caught_up:
            self.caught_up.set()
        for room, member in dead:
            logger.warning("server %s is dead; its member %s has left", member.server, member.id)
            self._write_leave(room, member)

    def _write_leave(self, room: Room, member: RoomMember) -> None:
        self._leaves.add(room.id, Left(room.key, member.id, member.name, member.server, member.user))
