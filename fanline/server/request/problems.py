"""Problems: how a request that is refused is answered (RFC 9457, ``application/problem+json``).

::

    {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nothing at /x",
     "code": "not-found"}
"""

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from html import escape
from http import HTTPStatus
from typing import Final

import prometheus_client
from starlette.responses import Response

from fanline.errors import ErrorCode, FanlineError, Rejected
from fanline.protocol import encode

MEDIA_TYPE: Final = "application/problem+json"

# Seconds after which to try again what is refused for a reason that passes.
_RETRY_SECONDS: Final = (1, 5)

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<main>
<h1>{title}</h1>
{content}
</main>
</html>
"""

_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_STATUS: Final[Mapping[str, HTTPStatus]] = {
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.TOO_BIG: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.QUEUE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.ACK_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.RESUME_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


def html_page(title: str, content: str) -> str:
    """Return a small page for browsers.

    Args:
        title: Its title and heading, in HTML.
        content: What follows, in HTML.
    """
    return _PAGE.format(title=title, content=content)


class ProblemCode(StrEnum):
    """Codes of refused requests, besides :class:`~fanline.protocol.ErrorCode`."""

    BAD_REQUEST = "bad-request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    FOREIGN_ORIGIN = "foreign-origin"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_SLOW = "too-slow"
    TOO_BIG = "too-big"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UPGRADE_REQUIRED = "upgrade-required"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    TOO_MANY_FAILURES = "too-many-failures"
    UNSUPPORTED_VERSION = "unsupported-version"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class HttpProblem(FanlineError):
    """A request is refused.

    Args:
        status: Of the answer.
        code: What programs should look at: a :class:`ProblemCode` or another stable code.
        detail: A sentence for people; it holds no secrets.
        headers: Further headers of the answer: names and values. One for a reason that passes (429, 503) has
            ``Retry-After`` besides, in seconds that differ from answer to answer, unless it is given.
        members: Further members of its JSON.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        members: Mapping[str, object] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self._members = members or {}
        if status in _PASSING and "Retry-After" not in dict(headers):
            # Not for secrecy: it keeps clients from returning all at once.
            self.headers += (("Retry-After", str(random.randint(*_RETRY_SECONDS))),)  # noqa: S311
        super().__init__(status, code, detail)

    def __str__(self) -> str:
        return self.detail

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        members: Mapping[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
            **self._members,
        }
        return encode(members)

    def page(self, prefix: str) -> bytes:
        """Return a page for a browser's document, with a way back.

        Args:
            prefix: The path under which the service is shown.
        """
        title, sentence = escape(self.status.phrase), escape(self.detail[:1].upper() + self.detail[1:])
        back = f'<p><a href="{escape(prefix)}/">To the first page</a></p>'
        return html_page(title, f"<p>{sentence.rstrip('.')}.</p>\n{back}").encode()

    def response(self, page_prefix: str | None = None) -> Response:
        """Return the answer for an ASGI application to send.

        Args:
            page_prefix: The path under which the service is shown, for a page in HTML; None for JSON.
        """
        if page_prefix is None:
            body, kind = self.body, MEDIA_TYPE
        else:
            body, kind = self.page(page_prefix), "text/html"
        response = Response(body, self.status, media_type=kind)
        for name, value in self.headers:
            response.headers.append(name, value)
        return response


def status_of(code: str) -> HTTPStatus:
    """Return the HTTP status for a refusal's :class:`ErrorCode`."""
    return _STATUS.get(code, HTTPStatus.BAD_REQUEST)


def problem_of(rejected: Rejected) -> HttpProblem:
    """Return the problem that says what a refusal says."""
    headers: tuple[tuple[str, str], ...] = ()
    if rejected.retry_ms is not None:
        headers = (("Retry-After", str(math.ceil(rejected.retry_ms / 1_000))),)
    return HttpProblem(status_of(rejected.code), rejected.code, rejected.reason, headers)


@contextmanager
def translated_refusals() -> Iterator[None]:
    """Raise a refusal within the block as a problem."""
    try:
        yield
    except Rejected as rejected:
        raise problem_of(rejected) from None


class Refusals:
    """Counts refused requests by status.

    Args:
        registry: Where the counter is registered.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._counter = prometheus_client.Counter(
            "fanline_requests_refused", "Requests refused, by HTTP status.", ["status"], registry=registry
        )

    def count(self, problem: HttpProblem) -> None:
        """Count one."""
        self._counter.labels(problem.status.value).inc()
