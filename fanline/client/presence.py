"""Watching who is present on a topic."""

from collections import Counter
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import msgspec

from fanline.client.subscriber import Subscriber
from fanline.client.subscription_state import Gap
from fanline.protocol import Message
from fanline.protocol.topics import presence_topic


class PresenceChange(NamedTuple):
    """A session that has begun or ended.

    Attributes:
        kind: ``join`` for the first session of a user, ``add`` for a further one; ``remove`` for one of
            several that has ended, ``leave`` for the last.
        user: The user.
        session: The name of the session.
    """

    kind: Literal["join", "add", "remove", "leave"]
    user: str
    session: str


class _Restart(Exception):
    """Events are missing: who is present is to be read again."""


class _Content(msgspec.Struct):
    session: str = msgspec.field(name="as")


class Presence:
    """Watches who is present on a topic: iterate over it for changes.

    It begins with those who are present, each as a change, and goes on through reconnects. When events are
    missing, or the log is another one, it begins again with no user.

    Args:
        topic: The topic.
        how: How to reach the subscriber service, as for :class:`~fanline.client.subscriber.Subscriber`:
            ``url``, ``user``, ``password``, ``token``, ``tls``, ``on_state``.

    Attributes:
        users: How many sessions each user has who is present.
    """

    def __init__(self, topic: str, **how: Any) -> None:
        self.users: Counter[str] = Counter()
        self._pattern = presence_topic(topic)
        self._subscriber = Subscriber(self._pattern, latest=True, on_gap=_restart, **how)
        self._sessions: set[tuple[str, str]] = set()

    async def __aenter__(self) -> Self:
        await self._subscriber.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._subscriber.__aexit__(exc_type, exc_value, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PresenceChange:
        """Wait for the next change; raises what iterating over a subscriber does."""
        while True:
            try:
                change = self._apply(await anext(self._subscriber))
            except _Restart:
                await self._begin_again()
            else:
                if change is not None:
                    return change

    async def _begin_again(self) -> None:
        self.users.clear()
        self._sessions.clear()
        await self._subscriber.unsubscribe(self._pattern)
        await self._subscriber.subscribe(self._pattern, latest=True)

    def _apply(self, message: Message) -> PresenceChange | None:
        user = message.sender or ""
        session = msgspec.json.decode(message.content, type=_Content).session
        if message.type == "join" and (user, session) not in self._sessions:
            self._sessions.add((user, session))
            self.users[user] += 1
            return PresenceChange("join" if self.users[user] == 1 else "add", user, session)
        if message.type == "leave" and (user, session) in self._sessions:
            self._sessions.remove((user, session))
            self.users[user] -= 1
            if self.users[user]:
                return PresenceChange("remove", user, session)
            del self.users[user]
            return PresenceChange("leave", user, session)
        return None


def _restart(gap: Gap) -> None:
    del gap
    raise _Restart
