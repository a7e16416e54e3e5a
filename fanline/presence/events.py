"""Presence: who is present on a topic, as messages in the log.

On ``$presence.TOPIC``, for all who may subscribe to the topic, each session of a user that begins or ends::

    {"topic": "$presence.room.7", "content": {"as": "tablet", "server": "k3f9"}, "seq": 9, …,
     "from": "alice", "type": "join"}      or "leave"

``as`` is the name of the session, ``server`` the process of the subscriber service that wrote it. On
``$presence``, for these processes alone::

    {"type": "here", "server": "k3f9", "sessions": [[TOPIC, USER, AS, TIME, SEQ], …]}   these are its own
    {"type": "beat", "server": "k3f9"}                                                  it is alive

Time and position are those of the session's ``join``. What is none of these is ignored.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

import msgspec

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Message, NewMessage, Record, encode
from fanline.protocol.topics import (
    MAX_TOPIC_LENGTH,
    PRESENCE_TOPIC,
    has_wildcard,
    is_system,
    presence_topic,
    watched_pattern,
)

PRESENCE_PATTERNS: Final = (PRESENCE_TOPIC, f"{PRESENCE_TOPIC}.>")
MAX_SESSION_NAME: Final = 64

_MAX_TOPIC: Final = MAX_TOPIC_LENGTH - len(presence_topic(""))


class UserSession(NamedTuple):
    """One session of a user who is present on a topic.

    A client that comes back has the same.
    """

    topic: str
    user: str
    name: str


class PresentSession(NamedTuple):
    """A session, and the time and position of its join."""

    session: UserSession
    since: int
    seq: int


class SessionJoined(NamedTuple):
    """A session has begun."""

    present: PresentSession
    server: str


class SessionLeft(NamedTuple):
    """A session has ended, as any server may say.

    ``seq`` is the position of the join, if several servers say so; it makes sure that one leave is stored.
    """

    session: UserSession
    server: str
    seq: int | None = None


class SessionsHere(NamedTuple):
    """A server has taken over sessions, or has them still."""

    sessions: Sequence[PresentSession]
    server: str


class ServerBeat(NamedTuple):
    """A server is alive."""

    server: str


PresenceEvent: TypeAlias = SessionJoined | SessionLeft | SessionsHere | ServerBeat


class PresentUser(msgspec.Struct):
    """A session in a list; ``since`` is its join, in Unix milliseconds."""

    user: str
    name: str = msgspec.field(name="as")
    since: int


class PresenceList(msgspec.Struct):
    """The sessions on a topic, as of a position of the log."""

    topic: str
    seq: int
    epoch: str | None
    present: list[PresentUser]


class _Content(msgspec.Struct):
    name: str = msgspec.field(name="as")
    server: str


class _ListedSession(msgspec.Struct, array_like=True):
    topic: str
    user: str
    name: str
    since: int
    seq: int


class _Notice(msgspec.Struct, tag_field="type"):
    server: str


class _Here(_Notice, tag="here"):
    sessions: list[_ListedSession]


class _Beat(_Notice, tag="beat"):
    pass


_decode_message: Final = msgspec.json.Decoder(Message).decode
_decode_content: Final = msgspec.json.Decoder(_Content).decode
_decode_notice: Final = msgspec.json.Decoder(_Here | _Beat).decode


def require_presence(topic: str, name: str | None) -> None:
    """Check a valid pattern and a session's name for presence.

    Raises:
        Rejected: If no user can be present there, or the name is not valid.
    """
    if has_wildcard(topic) or is_system(topic):
        raise Rejected(
            ErrorCode.BAD_TOPIC, "presence is on one topic: no wildcard, and no topic of the system"
        )
    if len(topic) > _MAX_TOPIC:
        raise Rejected(ErrorCode.BAD_TOPIC, f"with presence a topic may have {_MAX_TOPIC} characters")
    if name is not None and not (0 < len(name) <= MAX_SESSION_NAME and name.isprintable()):
        reason = f"as must be a text of 1 to {MAX_SESSION_NAME} printable characters"
        raise Rejected(ErrorCode.BAD_COMMAND, reason)


def encode_presence(event: PresenceEvent) -> NewMessage:
    """Return the message of an event."""
    match event:
        case SessionJoined(present, server):
            return _encode_session(present.session, server, "join")
        case SessionLeft(session, server, seq):
            message = _encode_session(session, server, "leave")
            if seq is not None:
                digest = blake2b(f"{session}{seq}".encode(), digest_size=12).hexdigest()
                message.id = f"$leave-{digest}"
            return message
        case SessionsHere(sessions, server):
            listed = [_ListedSession(*session, since, seq) for session, since, seq in sessions]
            return NewMessage(PRESENCE_TOPIC, msgspec.Raw(encode(_Here(server, listed))))
        case ServerBeat(server):
            return NewMessage(PRESENCE_TOPIC, msgspec.Raw(encode(_Beat(server))))


def _encode_session(session: UserSession, server: str, kind: str) -> NewMessage:
    content = msgspec.Raw(encode(_Content(session.name, server)))
    return NewMessage(presence_topic(session.topic), content, sender=session.user, type=kind)


def encode_present(present: PresentSession, server: str) -> bytes:
    """Return the ``join`` of a session, as it is in the log."""
    session = present.session
    content = msgspec.Raw(encode(_Content(session.name, server)))
    topic = presence_topic(session.topic)
    return encode(Message(topic, content, present.seq, present.since, None, session.user, "join"))


def decode_presence(record: Record) -> tuple[PresenceEvent, int] | None:
    """Return the presence event of a record and its time, or None."""
    try:
        message = _decode_message(record.body)
        event = _decode_event(message)
    except msgspec.DecodeError:
        return None
    return None if event is None else (event, message.time)


def _decode_event(message: Message) -> PresenceEvent | None:
    if message.topic == PRESENCE_TOPIC:
        notice = _decode_notice(message.content)
        if isinstance(notice, _Beat):
            return ServerBeat(notice.server)
        sessions = [
            PresentSession(UserSession(each.topic, each.user, each.name), each.since, each.seq)
            for each in notice.sessions
        ]
        return SessionsHere(sessions, notice.server)
    topic = watched_pattern(message.topic)
    if topic is None or message.sender is None or message.type not in ("join", "leave"):
        return None
    content = _decode_content(message.content)
    session = UserSession(topic, message.sender, content.name)
    if message.type == "leave":
        return SessionLeft(session, content.server)
    return SessionJoined(PresentSession(session, message.time, message.seq), content.server)
