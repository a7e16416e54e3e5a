"""Codes that travel over the wire, and the error with one.

Two kinds of error reach a peer. A *recoverable* one is a frame ``{"error": code, "reason": sentence}``
on the same connection, made from :class:`Rejected`. A *fatal* one is a WebSocket close code, one of
:class:`CloseCode`. In both the sentence is for people; programs should look at the code alone.
"""

from enum import IntEnum, StrEnum


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
    RATE_LIMITED = "rate-limited"
    QUEUE_UNAVAILABLE = "queue-unavailable"
    ACK_UNAVAILABLE = "ack-unavailable"
    RESUME_UNAVAILABLE = "resume-unavailable"


class CloseCode(IntEnum):
    """Close codes that Fanline sends, each with a next step."""

    GOING_AWAY = 1001  # the service stops: reconnect
    POLICY = 1008  # this connection broke a rule: do not reconnect unchanged
    TOO_BIG = 1009  # a frame over the limit: do not send it again
    TRY_AGAIN_LATER = 1013  # overloaded, or a dependency is missing: reconnect later
    LOGGED_OUT = 4001  # logged out or token expired: log in again
    ROOM_DELETED = 4004  # the room is no more: do not come back to it
    SLOW_CONSUMER = 4008  # nothing was read for the limit: reconnect with `after`
    UNRESPONSIVE = 4009  # no answer to pings: reconnect


class FanlineError(Exception):
    """Base of every error that Fanline raises."""


class Rejected(FanlineError):
    """One request was refused, by this side or by the peer.

    Args:
        code: What kind of refusal; an :class:`ErrorCode`, or an unknown code from a newer peer.
        reason: A sentence for people.
        id: The ``id`` of the message that was refused, if it had one.
        retry_ms: Milliseconds after which to try again, if the reason is known to pass.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        id: str | None = None,  # noqa: A002 - wire name
        retry_ms: int | None = None,
    ) -> None:
        self.code = code
        self.reason = reason
        self.id = id
        self.retry_ms = retry_ms
        super().__init__(code, reason, id)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"
