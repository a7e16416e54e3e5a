"""The library that users import, and everything that the services share.

What is exported here is the public interface of the client; :mod:`fanline.client` explains it. It needs no
more than ``websockets`` and ``msgspec``.
"""

from fanline.backoff import Backoff
from fanline.client import (
    ChatPages,
    ChatRoom,
    EarlierMessages,
    Gap,
    History,
    HistoryPage,
    Presence,
    PresenceChange,
    Publisher,
    PublishResult,
    RoomClosed,
    RoomEvent,
    Subscriber,
    check_ready,
    publish,
    require_service_url,
    sync,
)
from fanline.errors import (
    CloseCode,
    Closed,
    ConfigurationError,
    Disconnected,
    ErrorCode,
    FanlineError,
    LoginRefused,
    Rejected,
)
from fanline.protocol import MAX_POSITION, Ack, Message, parse_position
from fanline.protocol.topics import require_pattern, require_topic
from fanline.security.client_tls import client_context

__all__ = [
    "MAX_POSITION",
    "Ack",
    "Backoff",
    "ChatPages",
    "ChatRoom",
    "CloseCode",
    "Closed",
    "ConfigurationError",
    "Disconnected",
    "EarlierMessages",
    "ErrorCode",
    "FanlineError",
    "Gap",
    "History",
    "HistoryPage",
    "LoginRefused",
    "Message",
    "Presence",
    "PresenceChange",
    "PublishResult",
    "Publisher",
    "Rejected",
    "RoomClosed",
    "RoomEvent",
    "Subscriber",
    "check_ready",
    "client_context",
    "parse_position",
    "publish",
    "require_pattern",
    "require_service_url",
    "require_topic",
    "sync",
]
