"""Members connected to this server, each with a queue of texts.

The texts are JSON.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from typing import Final

from chat.domain import sentences
from chat.domain.errors import MemberClosed
from chat.domain.names import new_key
from chat.domain.person import person_of
from chat.domain.room import Room
from fanline.hub import Stream
from fanline.presence import PresenceState, UserSession
from fanline.server import Claims

# Limits of what may wait for a client that does not read.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 4 * 2**20


def _do_nothing() -> None:
    pass


class DeliveryQueue(ABC):
    """Queue JSON texts for one client.

    The client is closed with 4008 when too many wait.

    Args:
        token: The token of the client, if any.
        max_waiting: The number of texts that may wait.

    Attributes:
        token: As given.
        end: Why the client was closed; None while it is open.
        on_change: Called when a text was queued, and when the client is closed.
    """

    def __init__(self, token: Claims | None, *, max_waiting: int = MAX_WAITING) -> None:
        self.token = token
        self.end: MemberClosed | None = None
        self.on_change: Callable[[], None] = _do_nothing
        self._stream: Stream[bytes] = Stream(max_waiting, max_size=MAX_WAITING_BYTES, size_of=len)

    @property
    def is_closed(self) -> bool:
        """True once the client is closed."""
        return self.end is not None

    def push(self, body: bytes) -> None:
        """Queue a JSON text; drop it if the client is closed."""
        if self.end is not None:
            return
        if self._stream.put(body):
            self.on_change()
        else:
            self._stream.take_all()
            self.close(*sentences.TOO_SLOW)

    def take_all(self) -> list[bytes]:
        """Return all waiting texts in order, without waiting."""
        return [body for body in self._stream.take_all() if isinstance(body, bytes)]

    async def take(self) -> list[bytes]:
        """Return all waiting texts in order, waiting while there are none.

        Cancellation loses nothing.

        Raises:
            MemberClosed: If no texts are left and the client was closed.
        """
        if await self._stream.wait():
            return self.take_all()
        assert self.end is not None
        raise self.end

    def close(self, code: int, reason: str) -> None:
        """Accept nothing more; waiting texts can still be taken.

        Later calls change nothing.

        Args:
            code: The close code for the client.
            reason: A sentence for people, shown to the client.
        """
        if self.end is not None:
            return
        self.end = MemberClosed(code, reason)
        self._stream.close()
        self.on_change()
        self.on_change = _do_nothing  # it may refer to an object that refers to this one
        self._on_close()

    def revoke(self, token: str) -> None:
        """Close the client if it uses the token with this id."""
        if self.token is not None and self.token.token_id == token:
            self.close(*sentences.LOGGED_OUT)

    @abstractmethod
    def _on_close(self) -> None:
        """Handle the close; called once, at the end of :meth:`close`."""


class LocalMember(DeliveryQueue):
    """A member of a room who is connected to this server.

    :meth:`ConnectedMembers.add_pending` makes it.

    Attributes:
        id: The id of the member.
        name: The display name.
        user: The id of the person; empty for a guest without a token.
        room: The room.
        joined: The position of the member's own ``joined``; queued texts come after it.
        first: The member's own ``joined`` as a JSON text, which is not queued. Empty while pending.
    """

    def __init__(
        self,
        name: str,
        room: Room,
        token: Claims | None,
        members: "ConnectedMembers",
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__(token, max_waiting=max_waiting)
        self.id = new_key()
        self.name = name
        self.user = person_of(token).id if token else ""
        self.room = room
        self.joined = 0
        self.first = b""
        self._members = members

    @property
    def session(self) -> UserSession:
        """The session of the member, in the sense of presence."""
        return self.room.session_of(self.id, self.user)

    def _on_close(self) -> None:
        self._members.leave(self)


class ConnectedMembers:
    """Track members of this server: active ones by room, and pending ones.

    A member is pending from the command to join until its ``joined`` has come back from the log.

    Args:
        presence: Told of each active member's session, and when it ends.
        max_waiting: The number of texts that may wait for a member.
    """

    def __init__(self, presence: PresenceState, *, max_waiting: int = MAX_WAITING) -> None:
        self._presence = presence
        self._max_waiting = max_waiting
        self._pending: dict[str, LocalMember] = {}
        self._active: dict[str, dict[str, LocalMember]] = {}

    def __iter__(self) -> Iterator[LocalMember]:
        """Yield all members; they may be closed or removed during the iteration."""
        yield from tuple(self._pending.values())
        for members in tuple(self._active.values()):
            yield from tuple(members.values())

    def add_pending(self, name: str, room: Room, token: Claims | None) -> LocalMember:
        """Return a new member whose join is pending."""
        member = LocalMember(name, room, token, self, max_waiting=self._max_waiting)
        self._pending[member.id] = member
        return member

    def cancel_pending(self, member: LocalMember) -> None:
        """Cancel a pending join, if any."""
        self._pending.pop(member.id, None)

    def activate(self, member_id: str, joined: int, first: bytes) -> bool:
        """Activate a pending member.

        Args:
            member_id: The id of the member.
            joined: The position of the member's ``joined``.
            first: That event as a JSON text for the member.

        Returns:
            Whether the member is active; False if the join is not pending, or the member was closed.
        """
        member = self._pending.pop(member_id, None)
        if member is None or member.is_closed:
            return False
        member.joined, member.first = joined, first
        self._active.setdefault(member.room.key, {})[member_id] = member
        self._presence.enter(member.session)
        return True

    def remove(self, room: Room, member_id: str) -> LocalMember | None:
        """Remove an active member, whose leave has come back, and return it.

        None if there is none.
        """
        member = self._pop(room, member_id)
        if member is not None:
            self._presence.release(member.session)
        return member

    def leave(self, member: LocalMember) -> None:
        """Remove a member; write the leave of an active one."""
        if self._pop(member.room, member.id):
            self._presence.leave(member.session)

    def remove_all(self, room: Room) -> Collection[LocalMember]:
        """Remove and return all active members of a deleted room."""
        members = self._active.pop(room.key, {}).values()
        for member in members:
            self._presence.release(member.session)
        return members

    def _pop(self, room: Room, member_id: str) -> LocalMember | None:
        members = self._active.get(room.key, {})
        member = members.pop(member_id, None)
        if member is not None and not members:
            del self._active[room.key]
        return member

    def has_any(self, room: Room) -> bool:
        """Return whether a room has active members here."""
        return room.key in self._active

    def deliver(self, room: Room, body: bytes) -> None:
        """Queue a JSON text for all active members of a room."""
        for member in tuple(self._active.get(room.key, {}).values()):
            member.push(body)
