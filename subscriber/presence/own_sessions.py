"""Presence by one connection: the sessions of its subscriptions. No I/O."""

from collections.abc import Mapping
from secrets import token_hex

from fanline.errors import ErrorCode, Rejected
from fanline.presence.events import UserSession
from subscriber.presence.presence import LivePresence


class OwnSessions:
    """Sessions of one connection's subscriptions, at most one per topic.

    Args:
        presence: Who is present.
        user: Name of the user of the connection.
    """

    __slots__ = ("_by_topic", "_presence", "_user")

    def __init__(self, presence: LivePresence, user: str) -> None:
        self._presence = presence
        self._user = user
        self._by_topic: dict[str, UserSession] = {}

    def check(self, wanted: Mapping[str, str | None]) -> None:
        """Check that sessions may begin.

        Args:
            wanted: Their names by topic; None for any.

        Raises:
            Rejected: If they are too many, or the log cannot be written.
        """
        if len(wanted.keys() | self._by_topic.keys()) > self._presence.max_topics:
            reason = f"a connection may be present on {self._presence.max_topics:,} topics"
            raise Rejected(ErrorCode.TOO_MANY_SUBSCRIPTIONS, reason)
        for topic, name in wanted.items():
            if name is not None or topic not in self._by_topic:
                self._presence.check(UserSession(topic, self._user, name or ""))

    def enter(self, topic: str, name: str | None) -> str:
        """Begin a session, replacing its topic's other one; return its name."""
        before = self._by_topic.get(topic)
        if before is not None and name in (None, before.name):
            return before.name
        session = self._by_topic[topic] = UserSession(topic, self._user, name or token_hex(6))
        self._presence.enter(session)
        if before is not None:
            self._presence.leave(before)
        return session.name

    def leave(self, topic: str) -> None:
        """End the session on a topic, if there is one."""
        session = self._by_topic.pop(topic, None)
        if session is not None:
            self._presence.leave(session)

    def release(self) -> None:
        """Take note that the connection is lost: its sessions may come back."""
        for session in self._by_topic.values():
            self._presence.release(session)
        self._by_topic.clear()
