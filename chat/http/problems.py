"""Refusals of chat: the status and code of each error, in the form that all services use."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from chat.domain.errors import (
    BadPage,
    NameTaken,
    RoomExists,
    RoomNameExists,
    TooManyOwnRooms,
    TooManyRooms,
    Unavailable,
    UnknownRoom,
)
from chat.service.login import RETRY_SECONDS, NoGuests, TooManyFailures, WrongPassword
from fanline import ErrorCode, FanlineError, Rejected
from fanline.server import HttpProblem, ProblemCode, Unauthorized

Headers = tuple[tuple[str, str], ...]


class ChatProblemCode(StrEnum):
    """Codes of refusals, in addition to those of all services and :class:`~chat.domain.errors.ChatCode`."""

    BAD_PAGE = "bad-page"
    WRONG_PASSWORD = "wrong-password"
    NO_GUESTS = "no-guests"
    UNKNOWN_ROOM = "unknown-room"
    ROOM_EXISTS = "room-exists"
    ROOM_NAME_EXISTS = "room-name-exists"
    NAME_TAKEN = "name-taken"
    TOO_MANY_OWN_ROOMS = "too-many-own-rooms"
    TOO_MANY_ROOMS = "too-many-rooms"


_BEARER: Final = (("WWW-Authenticate", 'Bearer realm="chat"'),)

# For an error with several base classes, the first match counts.
_PROBLEMS: Final[Mapping[type[FanlineError], tuple[HTTPStatus, str, Headers]]] = {
    WrongPassword: (HTTPStatus.UNAUTHORIZED, ChatProblemCode.WRONG_PASSWORD, _BEARER),
    Unauthorized: (HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED, _BEARER),
    TooManyFailures: (
        HTTPStatus.TOO_MANY_REQUESTS,
        ProblemCode.TOO_MANY_FAILURES,
        (("Retry-After", str(RETRY_SECONDS)),),
    ),
    NoGuests: (HTTPStatus.FORBIDDEN, ChatProblemCode.NO_GUESTS, ()),
    UnknownRoom: (HTTPStatus.NOT_FOUND, ChatProblemCode.UNKNOWN_ROOM, ()),
    RoomExists: (HTTPStatus.CONFLICT, ChatProblemCode.ROOM_EXISTS, ()),
    RoomNameExists: (HTTPStatus.CONFLICT, ChatProblemCode.ROOM_NAME_EXISTS, ()),
    NameTaken: (HTTPStatus.CONFLICT, ChatProblemCode.NAME_TAKEN, ()),
    TooManyOwnRooms: (HTTPStatus.FORBIDDEN, ChatProblemCode.TOO_MANY_OWN_ROOMS, ()),
    TooManyRooms: (HTTPStatus.SERVICE_UNAVAILABLE, ChatProblemCode.TOO_MANY_ROOMS, ()),
    BadPage: (HTTPStatus.BAD_REQUEST, ChatProblemCode.BAD_PAGE, ()),
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, ()),
}


def problem_of(error: FanlineError) -> HttpProblem:
    """Return the refusal for an error.

    Raises:
        FanlineError: The error itself, if it is a defect of the server.
    """
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, Rejected):
        is_forbidden = error.code == ErrorCode.FORBIDDEN
        status = HTTPStatus.FORBIDDEN if is_forbidden else HTTPStatus.BAD_REQUEST
        return HttpProblem(status, error.code, error.reason)
    for kind, (status, code, headers) in _PROBLEMS.items():
        if isinstance(error, kind):
            return HttpProblem(status, code, str(error), headers)
    raise error


def sentences(errors: Iterable[Any]) -> str:
    """Return the messages of pydantic errors, without the input, which may be secret."""
    return "; ".join(_sentence(error["loc"], error["msg"]) for error in errors)


def _sentence(place: Sequence[object], message: str) -> str:
    name = ".".join(str(part) for part in place if part not in ("query", "path", "body"))
    text = message[0].lower() + message[1:]
    return f"{name}: {text}" if name else text
