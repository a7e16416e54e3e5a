"""State of presence by one log: users' sessions, and living servers.

No I/O. Two services keep such a state: ``subscriber.presence`` for the topics of the pipeline, and
``chat.service.presence`` for the members of rooms.
"""

from fanline.presence.events import (
    PresenceEvent,
    PresentSession,
    ServerBeat,
    SessionJoined,
    SessionLeft,
    SessionsHere,
    UserSession,
)
from fanline.presence.liveness import BEAT_INTERVAL, MISSED_BEATS, TICK
from fanline.presence.state import RENEWAL_SECONDS, PresenceState

__all__ = [
    "BEAT_INTERVAL",
    "MISSED_BEATS",
    "RENEWAL_SECONDS",
    "TICK",
    "PresenceEvent",
    "PresenceState",
    "PresentSession",
    "ServerBeat",
    "SessionJoined",
    "SessionLeft",
    "SessionsHere",
    "UserSession",
]
