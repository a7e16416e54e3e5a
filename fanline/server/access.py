"""Access control: which web pages may make a request, and for whom.

Both a page and the handshake of a WebSocket go through origin, login and rights, in this order.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from fanline.errors import CloseCode
from fanline.protocol import Disconnect, Record, decode_access_change
from fanline.security.authenticator import TooManyGuesses, Unauthorized
from fanline.security.guesses import SECONDS_TO_REGAIN_ONE, network
from fanline.security.logins import EndOf, LoginVerifier, VerifiedLogin
from fanline.security.tokens import find_token
from fanline.server.log import quoted
from fanline.server.request.origins import OriginPolicy
from fanline.server.request.problems import HttpProblem, ProblemCode
from fanline.settings import Settings

logger = logging.getLogger(__name__)

_HOST: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


class ConnectionCounts(Protocol):
    """Interface of the open connections: their number per user and network."""

    @property
    def per_user(self) -> Counter[str]:
        """Connections by name."""
        ...

    @property
    def per_network(self) -> Counter[str]:
        """Connections by address, or in IPv6 by /64."""
        ...


class Access:
    """Decides on requests.

    Args:
        logins: Checks passwords and tokens.
        origins: Decides which web pages may make requests.
        takes_tokens: Whether a token is a login, where a path is not for services only.
        settings: How many connections one user and one address may have open, and how long a login may take.
        changes: Tells when it is known which tokens were revoked.

    Attributes:
        origins: As given, or those of changed settings.
    """

    def __init__(
        self,
        logins: LoginVerifier,
        *,
        origins: OriginPolicy,
        takes_tokens: bool,
        settings: Settings,
        changes: "AccessChanges",
    ) -> None:
        self._logins = logins
        self._login_timeout = settings.handshake_timeout
        self.origins = origins
        self._takes_tokens = takes_tokens
        self._settings = settings
        self._changes = changes
        self._timeout = settings.queue_wait

    def reload(self, settings: Settings, origins: OriginPolicy) -> Collection[str]:
        """Apply changed settings, and return the names of those in effect."""
        self._settings, self.origins = settings, origins
        return ("allowed_origins", "max_connections_per_user", "max_connections_per_address")

    def is_allowed_origin(self, request: HTTPConnection) -> bool:
        """Return whether no web page, or an allowed one, makes a request."""
        origins = request.headers.getlist("origin")
        origin = ", ".join(origins) if origins else None
        host = single_header(request.headers, "host")
        return self.origins.allows(origin, host, request.scope["scheme"])

    def check_origin(self, request: HTTPConnection) -> None:
        """Refuse a request that the page of another site makes.

        Raises:
            HttpProblem: 403.
        """
        if self.is_allowed_origin(request):
            return
        origin = ", ".join(request.headers.getlist("origin"))
        logger.info(
            "refused a web page of %s from %s at %s",
            quoted(origin),
            address_of(request),
            quoted(request.scope["path"]),
        )
        reason = (
            f"pages of the origin {quoted(origin)} may not use this service;"
            " the setting allowed_origins says which may"
        )
        # Readable for every page: otherwise a browser would tell its developer no reason.
        readable = (("Access-Control-Allow-Origin", "*"),)
        raise HttpProblem(HTTPStatus.FORBIDDEN, ProblemCode.FOREIGN_ORIGIN, reason, readable)

    async def identify(
        self, request: HTTPConnection, *, services_only: bool = False, needs_password: bool = False
    ) -> VerifiedLogin:
        """Return who makes a request.

        Args:
            request: The request.
            services_only: Only users with the role ``service`` may make it, not by token.
            needs_password: No token is a login; a client certificate is.

        Raises:
            HttpProblem: 401 if there is no good login, 403 if only services may make the request, 503 if it
                is not known yet which tokens were revoked, or the login cannot be checked in time.
        """
        authorization = single_header(request.headers, "authorization")
        certificate = request.state.peer.certificate
        takes_tokens = self._takes_tokens and not (services_only or needs_password)
        token = None
        if takes_tokens:
            offered = offered_subprotocols(request.headers)
            token = find_token(authorization, query_of(request).get("token"), offered)
        if token is not None:
            await self._wait_for_revocations()
        try:
            async with asyncio.timeout(self._login_timeout):
                if certificate is not None and token is None and "authorization" not in request.headers:
                    login = self._logins.identify_certificate(certificate, time.time())
                else:
                    login = await self._logins.identify(authorization, token, address_of(request))
        except TimeoutError:
            logger.warning("a login from %s could not be checked in time", address_of(request))
            reason = "the login could not be checked in time; try again"
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, reason) from None
        except Unauthorized as error:
            logger.info(
                "refused a login from %s at %s: %s", address_of(request), quoted(request.scope["path"]), error
            )
            if isinstance(error, TooManyGuesses):
                headers = (("Retry-After", str(SECONDS_TO_REGAIN_ONE)),)
                raise HttpProblem(
                    HTTPStatus.TOO_MANY_REQUESTS, ProblemCode.TOO_MANY_FAILURES, str(error), headers
                ) from None
            challenges = tuple(
                ("WWW-Authenticate", each) for each in _challenges(token, takes_tokens=takes_tokens)
            )
            raise HttpProblem(
                HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED, str(error), challenges
            ) from None
        request.state.peer.confirm()
        if services_only and not login.user.is_service:
            reason = "this endpoint is for services: the user needs the role service"
            raise HttpProblem(HTTPStatus.FORBIDDEN, ProblemCode.FORBIDDEN, reason)
        return login

    async def _wait_for_revocations(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._changes.complete.wait()
        except TimeoutError:
            detail = "msgqueue cannot be reached, which knows what tokens were revoked; try again"
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, detail) from None

    def check_connections(
        self, request: HTTPConnection, login: VerifiedLogin | None, connections: ConnectionCounts
    ) -> None:
        """Refuse a connection beyond a user's or an address's limit.

        Args:
            request: Asks for it.
            login: Who makes the request; None if the endpoint has users of its own.
            connections: Those that are open.

        Raises:
            HttpProblem: 429.
        """
        address = address_of(request)
        is_exempt = login is not None and login.user.is_service
        if (
            not is_exempt
            and connections.per_network[network(address)] >= self._settings.max_connections_per_address
        ):
            raise _too_many_connections("address", address)
        if (
            login is not None
            and connections.per_user[login.user.name] >= self._settings.max_connections_per_user
        ):
            raise _too_many_connections("user", login.user.name)
        request.state.peer.address = address  # not that of a proxy in between


def _too_many_connections(what: str, name: str) -> HttpProblem:
    logger.info("refused a connection: the %s %s has too many", what, name)
    reason = f"this {what} has too many connections: close one, then try again"
    return HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, ProblemCode.TOO_MANY_CONNECTIONS, reason)


class AccessChanges:
    """Applies the access changes of the log to a running service.

    Args:
        logins: Is told of the revoked tokens.
        check_logins: Closes the open connections that may not be open any more.
        is_followed: Whether there is a log to follow.

    Attributes:
        complete: Set once everything that is in the log was taken.
    """

    def __init__(
        self, logins: LoginVerifier, check_logins: Callable[[EndOf], None], *, is_followed: bool
    ) -> None:
        self.complete = asyncio.Event()
        self._logins = logins
        self._check_logins = check_logins
        if not is_followed:
            self.complete.set()

    def take(self, records: Sequence[Record]) -> None:
        """Take records of the topic of access changes, in order.

        A user is disconnected from what is open when the record comes: one from before the start of this
        service concerns none of its connections.
        """
        for logged in filter(None, map(decode_access_change, records)):
            if not isinstance(logged.change, Disconnect):
                self._logins.revocations.add(logged.change, logged.time)
            elif self.complete.is_set():
                self._disconnect(logged.change.user)
        self._check_logins(self._logins.end_of)

    def caught_up(self) -> None:
        """Take note that everything in the log was taken."""
        self.complete.set()

    def _disconnect(self, user: str) -> None:
        logger.info("%s is disconnected, as an operator wants it", quoted(user))
        end = CloseCode.LOGGED_OUT, "disconnected by an operator"
        self._check_logins(lambda login: end if login.user.name == user else None)


def address_of(request: HTTPConnection) -> str:
    """Return the IP address of the peer."""
    return request.client.host if request.client else "?"


def query_of(request: HTTPConnection) -> dict[str, str]:
    """Return the parameters of a request; the last one of a name."""
    return dict(parse_qsl(request.scope["query_string"].decode("latin-1")))


def offered_subprotocols(headers: Headers) -> list[str]:
    """Return the subprotocols that a handshake offers."""
    values = headers.getlist("sec-websocket-protocol")
    return [token.strip() for value in values for token in value.split(",")]


def single_header(headers: Headers, name: str) -> str | None:
    """Return the value of a header; None if missing or repeated."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def is_host(text: str) -> bool:
    """Return whether the value of a ``Host`` header can be one."""
    return _HOST.fullmatch(text) is not None


def _challenges(token: str | None, *, takes_tokens: bool) -> Sequence[str]:
    """Return the ways to log in, for ``WWW-Authenticate``.

    After a bad token there is no Basic, for which a browser would ask for a password.
    """
    if token is not None:
        return ('Bearer realm="fanline", error="invalid_token"',)
    basic, bearer = 'Basic realm="fanline", charset="UTF-8"', 'Bearer realm="fanline"'
    return (basic, bearer) if takes_tokens else (basic,)
