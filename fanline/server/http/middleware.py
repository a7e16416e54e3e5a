"""Middleware of every service: rules for requests, headers for answers.

From the outside in: problems, headers, origin, methods, limits of the body.
"""

import asyncio
import logging
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanline.server.access import Access
from fanline.server.log import quoted
from fanline.server.request.problems import HttpProblem, ProblemCode, Refusals
from fanline.server.request.proxies import TrustedProxies, prefix_of

logger = logging.getLogger(__name__)

HTML: Final = "text/html"
EVENT_STREAM: Final = "text/event-stream"

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_VERSIONS: Final = frozenset({"1.0", "1.1"})

_SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

# What a page of an allowed site may send and read (Fetch standard, 3.3).
_PREFLIGHT_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent"
_PREFLIGHT_SECONDS: Final = "600"


class Middleware:
    """Answers requests by an application, within limits.

    Args:
        application: Answers a request; its :class:`~fanline.server.request.problems.HttpProblem` becomes the
            answer.
        access: Decides which web pages may make requests.
        refusals: Counts the refused requests.
        proxies: Tell who made a request that came through them.
        body_timeout: Seconds within which the body of a request must have come.
        max_body: Largest body, in bytes.
    """

    def __init__(
        self,
        application: ASGIApp,
        access: Access,
        refusals: Refusals,
        *,
        proxies: TrustedProxies,
        body_timeout: float,
        max_body: int,
    ) -> None:
        self._application = application
        self._access = access
        self._refusals = refusals
        self._proxies = proxies
        self._body_timeout = body_timeout
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: what an ASGI server calls."""
        self._proxies.resolve(scope)
        answer = _Answer(send, HTTPConnection(scope), self._access)
        try:
            await self._answer(scope, receive, answer)
        except HttpProblem as problem:
            await self._refuse(problem, scope, receive, answer)
        except ClientDisconnect:
            pass  # before it had sent its request
        except asyncio.CancelledError:
            # Only a stop of the service cancels requests.
            detail = "the service is stopping; try again"
            await self._refuse(
                HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, detail),
                scope,
                receive,
                answer,
            )
        except Exception:
            logger.exception("a request for %s has failed", quoted(scope["path"]))
            detail = "this service has made a mistake; its log tells more"
            await self._refuse(
                HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, ProblemCode.INTERNAL, detail),
                scope,
                receive,
                answer,
            )

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if scope["http_version"] not in _VERSIONS:
            detail = f"HTTP/{scope['http_version']} is not supported; use HTTP/1.1"
            raise HttpProblem(
                HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, ProblemCode.UNSUPPORTED_VERSION, detail, _CLOSE
            )
        _require_utf8(scope)
        request = HTTPConnection(scope)
        if scope["method"] not in _SAFE_METHODS:
            self._access.check_origin(request)
        limited = _LimitedBody(receive, self._body_timeout, self._max_body)
        limited.check(request.headers)
        # HEAD is answered like GET; the server sends the headers alone.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        await self._application(inner, limited, answer)

    async def _refuse(self, problem: HttpProblem, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        self._refusals.count(problem)
        if not answer.has_started:
            await _response(problem, HTTPConnection(scope))(scope, receive, answer)


def _require_utf8(scope: Scope) -> None:
    """Refuse a path or query that is not percent-encoded UTF-8.

    Raises:
        HttpProblem: 400.
    """
    try:
        for part in (scope["raw_path"], scope["query_string"]):
            unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        detail = "the path or the query is not percent-encoded UTF-8"
        raise HttpProblem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, detail) from None


def _response(problem: HttpProblem, request: HTTPConnection) -> Response:
    """Return the answer for a problem: a page for browsers' documents.

    For an ``EventSource`` it is an answer after which it comes back: it gives up after any answer but 200
    (HTML standard, 9.2.3), also if the reason passes.
    """
    accepted = request.headers.get("accept", "")
    if HTML in accepted:
        return problem.response(prefix_of(request))
    wants_events = EVENT_STREAM in accepted
    if problem.status is not HTTPStatus.SERVICE_UNAVAILABLE or not wants_events:
        return problem.response()
    retry_ms = 1000 * int(dict(problem.headers)["Retry-After"])
    return Response(f"retry: {retry_ms}\n: {problem.detail}\n\n", media_type=EVENT_STREAM)


_CLOSE: Final = (("Connection", "close"),)


class _Answer:
    """A ``send`` that adds the headers of every answer, unless present."""

    def __init__(self, send: Send, request: HTTPConnection, access: Access) -> None:
        self._send = send
        self._request = request
        self._access = access
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            raw = message["headers"] = list(message["headers"])
            given = {name for name, _ in raw}
            for name, value in common_headers(self._request, self._access):
                if (key := name.lower().encode()) not in given:
                    raw.append((key, value.encode("latin-1")))
            headers = MutableHeaders(raw=raw)
            if self._request.scope["method"] == "OPTIONS" and "access-control-allow-origin" in headers:
                headers.setdefault("Access-Control-Allow-Methods", headers.get("allow", "GET, HEAD, OPTIONS"))
                headers.setdefault("Access-Control-Allow-Headers", _PREFLIGHT_HEADERS)
                headers.setdefault("Access-Control-Max-Age", _PREFLIGHT_SECONDS)
        await self._send(message)


def common_headers(request: HTTPConnection, access: Access) -> list[tuple[str, str]]:
    """Return the headers of every answer to a request."""
    headers = [("Date", formatdate(usegmt=True)), ("Vary", "Origin"), *_SECURITY_HEADERS.items()]
    # A browser would apply it to all ports of localhost, and so to servers that have no TLS. It has no place
    # in an answer that a proxy passes on without TLS (RFC 6797, 7.2).
    is_localhost = (request.headers.get("host") or "").partition(":")[0] == "localhost"
    if not is_localhost and request.scope["scheme"] == "https":
        headers.append(("Strict-Transport-Security", "max-age=31536000"))
    origins = request.headers.getlist("origin")
    if len(origins) == 1 and access.is_allowed_origin(request):
        headers += [
            ("Access-Control-Allow-Origin", origins[0]),
            ("Access-Control-Expose-Headers", "*"),
        ]
    return headers


class _LimitedBody:
    """A ``receive`` with limits for the body's size and its time."""

    def __init__(self, receive: Receive, timeout: float, max_body: int) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + timeout
        self._timeout = timeout
        self._max_body = max_body
        self._size = 0
        self._is_complete = False

    def check(self, headers: Headers) -> None:
        """Refuse a body declared too large, or with two lengths.

        Raises:
            HttpProblem: 413, or 400: a proxy may have taken what follows for another request (RFC 9112, 6.1).
        """
        if "content-length" in headers and "transfer-encoding" in headers:
            detail = "a request has Content-Length or Transfer-Encoding, not both"
            raise HttpProblem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, detail, _CLOSE)
        if int(headers.get("content-length", "0")) > self._max_body:
            raise self._too_big()

    async def __call__(self) -> Message:
        if self._is_complete:  # what comes now is the end of the connection
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not come within {self._timeout:g} seconds"
            raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, ProblemCode.TOO_SLOW, detail, _CLOSE) from None
        self._size += len(message.get("body", b""))
        if self._size > self._max_body:
            raise self._too_big()
        self._is_complete = not message.get("more_body", False)
        return message

    def _too_big(self) -> HttpProblem:
        detail = f"the body of a request may have {self._max_body:,} bytes"
        return HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ProblemCode.TOO_BIG, detail, _CLOSE)
