"""Refusals of chat over HTTP: codes' statuses, in all services' form."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from chat.domain.errors import Refused, quoted
from chat.domain.sentences import FORMS, INVALID, ChatCode, Sentence
from fanline import ErrorCode, FanlineError, Rejected
from fanline.server import HttpProblem, ProblemCode, Unauthorized

# Any other code is one of a bad request.
_STATUS: Final[Mapping[str, HTTPStatus]] = {
    ChatCode.NAME_TAKEN: HTTPStatus.CONFLICT,
    ChatCode.NO_GUESTS: HTTPStatus.FORBIDDEN,
    ChatCode.ROOM_EXISTS: HTTPStatus.CONFLICT,
    ChatCode.ROOM_NAME_EXISTS: HTTPStatus.CONFLICT,
    ChatCode.TOO_MANY_OWN_ROOMS: HTTPStatus.FORBIDDEN,
    ChatCode.TOO_MANY_ROOMS: HTTPStatus.SERVICE_UNAVAILABLE,
    ChatCode.UNKNOWN_ROOM: HTTPStatus.NOT_FOUND,
    ChatCode.WRONG_PASSWORD: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.TOO_MANY_FAILURES: HTTPStatus.TOO_MANY_REQUESTS,
    ProblemCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ProblemCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
_HEADERS: Final[Mapping[HTTPStatus, tuple[tuple[str, str], ...]]] = {
    HTTPStatus.UNAUTHORIZED: (("WWW-Authenticate", 'Bearer realm="chat"'),),
}
_SOURCES: Final = ("query", "path", "body")


def problem_of(error: FanlineError) -> HttpProblem:
    """Return the refusal for an error.

    Raises:
        FanlineError: The error itself, if it is a defect of the server.
    """
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, Unauthorized):
        return _problem(Rejected(ProblemCode.UNAUTHORIZED, str(error)))
    if isinstance(error, Rejected):
        return _problem(error)
    raise error


def _problem(error: Rejected) -> HttpProblem:
    status = _STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
    headers = _HEADERS.get(status, ())
    if error.retry_ms is not None:
        headers = (*headers, ("Retry-After", str(error.retry_ms // 1_000)))
    field = error.field if isinstance(error, Refused) else None
    members = None if field is None else {"field": field}
    return HttpProblem(status, error.code, error.reason, headers, members)


def form_refusal(code: str, errors: Sequence[Any]) -> Refused:
    """Return the refusal of a request of the wrong form.

    Args:
        code: The kind of refusal.
        errors: What pydantic has found; its inputs are not told, because they may be secret.
    """
    text = " ".join(dict.fromkeys(map(_sentence, errors)))
    return Refused(Sentence(code, "{text}", _field(errors[0]["loc"]) or None), text=text)


def _sentence(error: Any) -> str:
    field = _field(error["loc"])
    if error["type"] == "extra_forbidden":
        field = quoted(field)  # the client has chosen it
    return FORMS.get(error["type"], INVALID).format(field=field, **error.get("ctx", {}))


def _field(place: Iterable[object]) -> str:
    return ".".join(str(part) for part in place if part not in _SOURCES)
