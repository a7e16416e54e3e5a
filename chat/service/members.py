"""Those who are connected to this server: what waits for each of them, and why they were closed."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from typing import Final

from chat.domain.errors import MemberClosed
from chat.domain.state import Room
from fanline.errors import CloseCode
from fanline.hub import Stream
from fanline.security.tokens import Claims

# What may wait for a client that does not read.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 4 * 2**20


class Outbox(ABC):
    """What waits for one client, as JSON texts; one that lets too much pile up is closed with 4008.

    Args:
        token: What the client has logged in with; when it expires the client is closed with 4001.

    Attributes:
        token: As given.
        end: Why it was closed; None as long as it is not.
    """

    def __init__(self, token: Claims | None) -> None:
        self.token = token
        self.end: MemberClosed | None = None
        self._stream: Stream[bytes] = Stream(MAX_WAITING, max_size=MAX_WAITING_BYTES, size_of=len)
        self._expiry = self._close_on_expiry(token) if token else None

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self.end is not None

    def push(self, body: bytes) -> None:
        """Let a JSON text wait for the client; what comes after it was closed is dropped."""
        if self.end is None and not self._stream.put(body):
            self._stream.take_all()
            self.close(CloseCode.SLOW_CONSUMER, "too much was waiting to be read: reconnect with after")

    async def take(self) -> list[bytes]:
        """Return everything that waits, in order; wait if there is nothing. Cancelling it loses nothing.

        Raises:
            MemberClosed: If there is nothing any more, and it was closed.
        """
        if await self._stream.wait():
            return [body for body in self._stream.take_all() if isinstance(body, bytes)]
        assert self.end is not None
        raise self.end

    def close(self, code: int, reason: str) -> None:
        """Take nothing more; what waits can still be taken. Closing it again changes nothing.

        Args:
            code: The close code for the client.
            reason: A sentence for people, also for the client.
        """
        if self.end is not None:
            return
        self.end = MemberClosed(code, reason)
        self._stream.close()
        if self._expiry is not None:
            self._expiry.cancel()
        self._depart()

    def log_out(self, token: str) -> None:
        """Close it if the client has logged in with this token, given by its id."""
        if self.token is not None and self.token.token_id == token:
            self.close(CloseCode.LOGGED_OUT, "logged out")

    @abstractmethod
    def _depart(self) -> None:
        """Take note that it is closed: called once, at the end of :meth:`close`."""

    def _close_on_expiry(self, token: Claims) -> asyncio.TimerHandle:
        seconds = max(0.0, token.expires - time.time())
        return asyncio.get_running_loop().call_later(
            seconds, self.close, CloseCode.LOGGED_OUT, "the token has expired: log in again"
        )


class LocalMember(Outbox):
    """A member of a room who is connected to this server.

    Args:
        id: The id of the member.
        name: How they are called.
        room: The room.
        token: As for :class:`Outbox`.
        depart: Called once, when the member is closed.

    Attributes:
        id: As given.
        name: As given.
        room: As given.
        joined: The position of their own ``joined``; what waits to be taken comes behind it.
        first: Their own ``joined``, as a JSON text that tells them who they are. It is not among what waits.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as everywhere
        name: str,
        room: Room,
        token: Claims | None,
        depart: Callable[["LocalMember"], None],
    ) -> None:
        super().__init__(token)
        self.id = id
        self.name = name
        self.room = room
        self.joined = 0
        self.first = b""
        self._note_departure = depart

    def _depart(self) -> None:
        self._note_departure(self)


class Hall:
    """The members who are connected to this server: those in their rooms, and those still on their way in."""

    def __init__(self) -> None:
        self._arriving: dict[str, LocalMember] = {}
        self._seated: dict[str, dict[str, LocalMember]] = {}

    def __iter__(self) -> Iterator[LocalMember]:
        """Yield all of them; any may be closed or taken out meanwhile."""
        yield from tuple(self._arriving.values())
        for members in tuple(self._seated.values()):
            yield from tuple(members.values())

    def expect(self, member: LocalMember) -> None:
        """Let a member be on the way in."""
        self._arriving[member.id] = member

    def unexpect(self, member: LocalMember) -> None:
        """Let a member not be on the way in any more, if they were."""
        self._arriving.pop(member.id, None)

    def seat(self, id: str, joined: int, first: bytes) -> bool:  # noqa: A002
        """Let a member be in their room.

        Args:
            id: The member.
            joined: The position at which they joined.
            first: The JSON text that tells them who they are.

        Returns:
            Whether they are; not if nobody waits for it any more.
        """
        member = self._arriving.pop(id, None)
        if member is None or member.is_closed:
            return False
        member.joined, member.first = joined, first
        self._seated.setdefault(member.room.key, {})[id] = member
        return True

    def remove(self, room: Room, id: str) -> LocalMember | None:  # noqa: A002
        """Take a member out of a room, and return them; None if they are not in it, or not here."""
        members = self._seated.get(room.key, {})
        member = members.pop(id, None)
        if member is not None and not members:
            del self._seated[room.key]
        return member

    def clear(self, room: Room) -> Collection[LocalMember]:
        """Take everybody out of a room, and return them."""
        return self._seated.pop(room.key, {}).values()

    def is_empty(self, room: Room) -> bool:
        """Whether nobody here is in a room."""
        return room.key not in self._seated

    def tell(self, room: Room, body: bytes) -> None:
        """Give a JSON text to everybody who is in a room here."""
        for member in tuple(self._seated.get(room.key, {}).values()):
            member.push(body)
