"""The errors of Fanline, and the codes that travel over the wire.

Exceptions::

    FanlineError
    ├── ConfigurationError      a setting, certificate, users file or port is wrong; exit code 2
    │   └── CannotListen        the port of a service cannot be had
    ├── Rejected                one request was refused; the connection goes on
    ├── Disconnected            the other side is gone, or cannot be reached
    │   └── LoginRefused        it answered, and refused the credentials: trying again will not help
    ├── Closed                  this side closed it: the object is not usable any more
    └── StoreError              the log could not be read or written

Two kinds of error reach a peer. A *recoverable* one is a frame ``{"error": code, "reason": sentence}``
on the same connection, made from :class:`Rejected`. A *fatal* one is a WebSocket close code, one of
:class:`CloseCode`. In both the sentence is for people; programs should look at the code alone.
"""

import os
from enum import IntEnum, StrEnum
from typing import Final


class ErrorCode(StrEnum):
    """Codes of recoverable errors: the contract of ``{"error": …}`` frames."""

    BAD_JSON = "bad-json"
    BAD_MESSAGE = "bad-message"
    BAD_COMMAND = "bad-command"
    BAD_TOPIC = "bad-topic"
    BAD_ID = "bad-id"
    BAD_POSITION = "bad-position"
    TOO_BIG = "too-big"
    TOO_DEEP = "too-deep"
    TOO_MANY_SUBSCRIPTIONS = "too-many-subscriptions"
    FORBIDDEN = "forbidden"
    QUEUE_UNAVAILABLE = "queue-unavailable"
    ACK_UNAVAILABLE = "ack-unavailable"
    RESUME_UNAVAILABLE = "resume-unavailable"


class CloseCode(IntEnum):
    """Close codes that Fanline sends; each tells the peer what to do next."""

    GOING_AWAY = 1001  # the service stops: reconnect
    POLICY = 1008  # this connection broke a rule: do not reconnect unchanged
    TOO_BIG = 1009  # a frame over the limit: do not send it again
    TRY_AGAIN_LATER = 1013  # overloaded, or a neighbour is missing: reconnect later
    LOGGED_OUT = 4001  # logged out or token expired: log in again
    ROOM_DELETED = 4004  # the room is no more: do not come back to it
    SLOW_CONSUMER = 4008  # nothing was read for the limit: reconnect with `after`
    UNRESPONSIVE = 4009  # no answer to pings: reconnect


class FanlineError(Exception):
    """Base of every error that Fanline raises."""


# How a program ends over a ConfigurationError.
EXIT_CONFIGURATION: Final = 2


class ConfigurationError(FanlineError):
    """Something that the operator wrote is wrong; the text says what, where, and what to do."""


class CannotListen(ConfigurationError):
    """The port of a service cannot be had.

    Args:
        service: The service.
        host: The address.
        port: The port.
        error: Why not.
    """

    def __init__(self, service: str, host: str, port: int, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno else str(error)
        super().__init__(
            f"{service}_port: cannot listen on {host}:{port}: {reason.lower()}; "
            f"stop the other program, or choose a port with --{service}-port"
        )


class Rejected(FanlineError):
    """One request was refused, by this side or by the peer.

    Args:
        code: What kind of refusal; an :class:`ErrorCode`, or an unknown code from a newer peer.
        reason: A sentence for people.
        id: The ``id`` of the message that was refused, if it had one.
    """

    def __init__(self, code: str, reason: str, id: str | None = None) -> None:  # noqa: A002 - wire name
        self.code = code
        self.reason = reason
        self.id = id
        super().__init__(code, reason, id)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


class Disconnected(FanlineError):
    """The peer cannot be reached, or went away; retrying may help."""


class LoginRefused(Disconnected):
    """The peer refused the credentials; retrying with the same ones will not help."""


class Closed(FanlineError):
    """This side has closed the object; it cannot be used any more."""


class StoreError(FanlineError):
    """The log could not be read or written; nothing of the failed request was acknowledged."""
