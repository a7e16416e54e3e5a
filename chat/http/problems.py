"""Refusals of requests: a status, a code for programs, a sentence for people.

Requests and WebSocket handshakes are refused alike, with JSON: ``{"error": code, "reason": sentence}``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

from chat.domain.errors import BadPage, RoomExists, TooManyRooms, Unavailable, UnknownRoom
from chat.service.login import RETRY_SECONDS, NoGuests, TooManyFailures, WrongPassword
from fanline.errors import ErrorCode, FanlineError, Rejected
from fanline.security.authenticator import Unauthorized


class ProblemCode(StrEnum):
    """Codes of refusals, in addition to ``ErrorCode`` and :class:`~chat.domain.errors.ChatCode`."""

    BAD_REQUEST = "bad-request"
    BAD_PAGE = "bad-page"
    UNAUTHORIZED = "unauthorized"
    WRONG_PASSWORD = "wrong-password"
    NO_GUESTS = "no-guests"
    FOREIGN_ORIGIN = "foreign-origin"
    NOT_FOUND = "not-found"
    UNKNOWN_ROOM = "unknown-room"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_SLOW = "too-slow"
    ROOM_EXISTS = "room-exists"
    UPGRADE_REQUIRED = "upgrade-required"
    TOO_MANY_FAILURES = "too-many-failures"
    TOO_MANY_ROOMS = "too-many-rooms"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


BEARER: Final = {"WWW-Authenticate": 'Bearer realm="chat"'}

# For an error with several base classes, the first match counts.
_PROBLEMS: Final[Mapping[type[FanlineError], tuple[HTTPStatus, ProblemCode, Mapping[str, str]]]] = {
    WrongPassword: (HTTPStatus.UNAUTHORIZED, ProblemCode.WRONG_PASSWORD, BEARER),
    Unauthorized: (HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED, BEARER),
    TooManyFailures: (
        HTTPStatus.TOO_MANY_REQUESTS,
        ProblemCode.TOO_MANY_FAILURES,
        {"Retry-After": str(RETRY_SECONDS)},
    ),
    NoGuests: (HTTPStatus.FORBIDDEN, ProblemCode.NO_GUESTS, {}),
    UnknownRoom: (HTTPStatus.NOT_FOUND, ProblemCode.UNKNOWN_ROOM, {}),
    RoomExists: (HTTPStatus.CONFLICT, ProblemCode.ROOM_EXISTS, {}),
    TooManyRooms: (HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.TOO_MANY_ROOMS, {}),
    BadPage: (HTTPStatus.BAD_REQUEST, ProblemCode.BAD_PAGE, {}),
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, {"Retry-After": "5"}),
}


@dataclass(frozen=True)
class Problem:
    """The reason of a refusal.

    Attributes:
        status: The HTTP status.
        error: The code for programs.
        reason: A sentence for people.
        headers: Further headers of the answer.
    """

    status: HTTPStatus
    error: str
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return msgspec.json.encode({"error": self.error, "reason": self.reason})

    def response(self) -> Response:
        """Return the answer to a request or a WebSocket handshake."""
        return Response(self.body, self.status, dict(self.headers), "application/json")


class Refused(FanlineError):
    """A request was refused with a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        return self.problem.reason


def problem_of(error: FanlineError) -> Problem:
    """Return the refusal for an error.

    Raises:
        FanlineError: The error itself, if it is a defect of the server.
    """
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, Rejected):
        is_forbidden = error.code == ErrorCode.FORBIDDEN
        status = HTTPStatus.FORBIDDEN if is_forbidden else HTTPStatus.BAD_REQUEST
        return Problem(status, error.code, error.reason)
    for kind, (status, code, headers) in _PROBLEMS.items():
        if isinstance(error, kind):
            return Problem(status, code, str(error), headers)
    raise error


def sentences(errors: Iterable[Any]) -> str:
    """Return the messages of pydantic errors, without the input, which may be secret."""
    return "; ".join(_sentence(error["loc"], error["msg"]) for error in errors)


def _sentence(place: Sequence[object], message: str) -> str:
    name = ".".join(str(part) for part in place if part not in ("query", "path", "body"))
    said = message[0].lower() + message[1:]
    return f"{name}: {said}" if name else said
