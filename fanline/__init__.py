"""Fanline: publish, queue and subscribe over TLS WebSockets.

What is exported here is the public interface of the client; :mod:`fanline.client` explains it.
"""

from fanline.client import Ack, Gap, Message, Publisher, PublishResult, Subscriber
from fanline.errors import (
    Closed,
    ConfigurationError,
    Disconnected,
    ErrorCode,
    FanlineError,
    LoginRefused,
    Rejected,
)

__all__ = [
    "Ack",
    "Closed",
    "ConfigurationError",
    "Disconnected",
    "ErrorCode",
    "FanlineError",
    "Gap",
    "LoginRefused",
    "Message",
    "PublishResult",
    "Publisher",
    "Rejected",
    "Subscriber",
]
