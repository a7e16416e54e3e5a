"""``POST /admin/…``: programs of admins disconnect users, and revoke tokens.

::

    POST /admin/disconnect    {"user": "alice"}                            close the connections of a user
    POST /admin/revocations   {"jti": "6cyrXTCsqHeZWjsYwotZYw"}            refuse a token
    POST /admin/revocations   {"user": "page", "before": 1795222997}       refuse all tokens issued before

The answer comes when it is in the log, which all services follow: 201, with its position.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import (
    ACCESS_TOPIC,
    AccessChange,
    Disconnect,
    NewMessage,
    Refusal,
    RevokeToken,
    RevokeUser,
    encode,
)
from fanline.server import Page, problem_of
from publisher.http_intake import Outcomes
from publisher.intake import Intake

MAX_NAME: Final = 256


class _Whom(msgspec.Struct, forbid_unknown_fields=True):
    user: str


class _Revocation(msgspec.Struct, forbid_unknown_fields=True):
    jti: str | None = None
    user: str | None = None
    before: float | None = None


T = TypeVar("T")


class Admin:
    """Answers the requests of admins.

    Args:
        intake: Forwards what they want to the log.
        clock: Returns Unix seconds.
    """

    def __init__(self, intake: Intake, *, clock: Callable[[], float] = time.time) -> None:
        self._intake = intake
        self._clock = clock

    @property
    def posts(self) -> dict[str, Page]:
        """Handlers of POST, by path."""
        return {"/admin/disconnect": self._disconnect, "/admin/revocations": self._revoke}

    async def _disconnect(self, request: Request) -> Response:
        whom = await _read(request, _Whom)
        return await self._store(request, Disconnect(_require_name("user", whom.user)))

    async def _revoke(self, request: Request) -> Response:
        revocation = await _read(request, _Revocation)
        if (revocation.jti is None) == (revocation.user is None):
            raise Rejected(ErrorCode.BAD_MESSAGE, "name a token, by jti, or a user")
        if revocation.user is None:
            if revocation.before is not None:
                raise Rejected(ErrorCode.BAD_MESSAGE, "before goes with user: a token is revoked at once")
            return await self._store(request, RevokeToken(_require_name("jti", str(revocation.jti))))
        now = self._clock()
        before = now if revocation.before is None else revocation.before
        if not 0 < before <= now:
            reason = "before must be a time in Unix seconds, and not be in the future"
            raise Rejected(ErrorCode.BAD_MESSAGE, reason)
        return await self._store(request, RevokeUser(_require_name("user", revocation.user), before))

    async def _store(self, request: Request, change: AccessChange) -> Response:
        """Answer a request when its change is in the log."""
        message = NewMessage(ACCESS_TOPIC, msgspec.Raw(encode(change)), sender=request.user.name)
        outcomes = Outcomes(1)
        self._intake.forward([message], outcomes)
        (outcome,) = await outcomes.complete
        if isinstance(outcome, Refusal):
            raise problem_of(Rejected(outcome.error, outcome.reason))
        return Response(encode(outcome), HTTPStatus.CREATED, media_type="application/json")


async def _read(request: Request, kind: type[T]) -> T:
    """Return the body of an admin's request.

    Raises:
        Rejected: If another user makes it, or it cannot be understood.
    """
    if not request.user.may_administer:
        raise Rejected(ErrorCode.FORBIDDEN, "only a user with the role admin or service may do this")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise Rejected(ErrorCode.BAD_MESSAGE, f"the body is not as expected: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(ErrorCode.BAD_JSON, f"the body is not JSON: {error}") from None


def _require_name(field: str, text: str) -> str:
    if not 0 < len(text) <= MAX_NAME or not text.isprintable():
        raise Rejected(ErrorCode.BAD_MESSAGE, f"{field} must have 1 to {MAX_NAME} printable characters")
    return text
