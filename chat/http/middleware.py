"""The outermost layer: what no request may do, and what every answer has.

Below it, the pages (FastAPI) and the WebSockets need not think of: pages of other sites, bodies that are too
big or never end, HEAD, and the headers that tell a browser what our page may do.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat.http.problems import Problem, ProblemCode, Refused
from fanline.errors import ErrorCode
from fanline.security.authenticator import is_allowed_origin

logger = logging.getLogger(__name__)

MAX_BODY: Final = 65_536

_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")

_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Edge:
    """Passes requests on to those who answer them.

    Args:
        pages: Answers HTTP requests.
        sockets: Answers WebSocket handshakes, and speaks on what is opened.
        allowed_origins: The other sites whose pages may do what our own page may.
        body_timeout: Seconds within which the body of a request must have come.
    """

    def __init__(
        self, pages: ASGIApp, sockets: ASGIApp, *, allowed_origins: Iterable[str], body_timeout: float
    ) -> None:
        self._pages = pages
        self._sockets = sockets
        self._allowed_origins = tuple(allowed_origins)
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: what an ASGI server calls."""
        headers = Headers(scope=scope)
        send = _with_headers(send, headers.get("host"))
        try:
            self._check_origin(scope, headers)
            if scope["type"] == "http":
                body = await self._read_body(headers, receive)
        except Refused as refused:
            await refused.problem.response()(scope, receive, send)
        except _Gone:
            return
        else:
            if scope["type"] == "http":
                scope, receive = _as_get(scope), _replayed(body, receive)
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._pages if scope["type"] == "http" else self._sockets
        try:
            await application(scope, receive, send)
        except Exception:
            logger.exception("a request for %a has failed", scope["path"])

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse what the page of another site has sent without its user's knowledge."""
        if scope["type"] == "http" and scope["method"] in _HARMLESS:
            return  # without CORS headers, such a page cannot read the answer
        if not is_allowed_origin(headers.get("origin"), headers.get("host"), self._allowed_origins):
            reason = "pages of other sites may not do this: the setting allowed_origins names those that may"
            raise Refused(Problem(HTTPStatus.FORBIDDEN, ProblemCode.FOREIGN_ORIGIN, reason))

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes:
        if int(headers.get("content-length", 0)) > MAX_BODY:
            raise _too_big()
        try:
            async with asyncio.timeout(self._body_timeout):
                return await _read_all(receive)
        except TimeoutError:
            reason = f"the body did not come within {self._body_timeout:g} seconds"
            problem = Problem(
                HTTPStatus.REQUEST_TIMEOUT, ProblemCode.TOO_SLOW, reason, {"Connection": "close"}
            )
            raise Refused(problem) from None


class _Gone(Exception):
    """The client went away before it had sent its request."""


def content_security_policy(host: str | None, style: str = "'self'") -> str:
    """Return what a page may load and do: nothing but what comes from here.

    Args:
        host: The host that the page was asked from; older browsers do not count its WebSockets as ``'self'``.
        style: Where the page has its style from.
    """
    sockets = f" wss://{host}" if host and _HOST.fullmatch(host) else ""
    return (
        f"default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data:; style-src {style}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _with_headers(send: Send, host: str | None) -> Send:
    """Return a ``send`` that gives an answer the headers that every answer has, unless it has others."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            headers.setdefault("Date", formatdate(usegmt=True))
            headers.setdefault("Content-Security-Policy", content_security_policy(host))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


async def _read_all(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _too_big()
        if not message.get("more_body", False):
            return bytes(body)


def _too_big() -> Refused:
    reason = f"the body of a request may have {MAX_BODY:,} bytes"
    return Refused(
        Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ErrorCode.TOO_BIG, reason, {"Connection": "close"})
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a body that was read already, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _as_get(scope: Scope) -> Scope:
    """Return what to answer HEAD as: GET, of whose answer the server sends the headers alone."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
