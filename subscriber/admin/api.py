"""API of the status page, for admins and their programs.

Admins are users with the role ``admin``.

::

    GET  /admin/services?samples=360       all services: whether they answer, are ready, and how they do
    GET  /admin/topics?pattern=orders.>    topics, each with its newest message, page by page
    GET  /admin/messages?topic=…&user=…    search the log, newest first: by topic, user, id, position
    GET  /admin/consumers                  durable consumers, and how far each is behind
    POST /admin/token                      a token for an hour, with the admin's rights, for the playground
    GET  /admin/at/SERVICE/admin/connections         what a service answers itself, passed on
    POST /admin/at/publisher/admin/disconnect        likewise

This service is the place where all can be asked; each service answers for itself as well, at
``/admin/status`` and ``/admin/connections`` of its own port.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fanline.errors import ConfigurationError, Disconnected, ErrorCode, Rejected
from fanline.protocol import ConsumerState, PageAnswer, Read, parse_position
from fanline.protocol.topics import require_pattern
from fanline.queue.base import QueueClient
from fanline.queue.page_turns import PageTurns
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import MAX_NAME_LENGTH
from fanline.server import Channel, HttpProblem, Page, ProblemCode, WebPage
from fanline.server.status.report import SubscriptionSummary, json_response, read_numbers, require_admin
from fanline.server.status.series import KEPT
from subscriber.admin.installation import KnownServices, LoginNeeded, NotPassedOn
from subscriber.admin.log_search import Query, ReadPage, list_topics, message_at, require_one_of, search
from subscriber.live_feed import LiveFeed
from subscriber.settings import SubscriberSettings

_FOLDER: Final = Path(__file__).parent / "static"

MAX_ADMIN_LIMIT: Final = 500
_DEFAULT_LIMIT: Final = 50

# Patterns of a connection that its status shows.
MAX_SHOWN_TOPICS: Final = 20

_TOKEN_SECONDS: Final = 3_600

# Its name is that of the admin and this: a token needs a name of its own.
TOKEN_SUFFIX: Final = ".playground"

AT: Final = "/admin/at/{service}/{path:path}"


class ConsumerPage(msgspec.Struct):
    """The durable consumers."""

    consumers: list[ConsumerState]


class PlaygroundToken(msgspec.Struct):
    """A token for the playground.

    Attributes:
        token: The token.
        name: The name that it stands for.
        expires: When it expires, in Unix seconds.
    """

    token: str
    name: str
    expires: int


class AdminApi:
    """Answers the requests of admins.

    Args:
        installation: The services.
        queue: The log.
        pages: Where it is read, in turn with all others.
        feed: Its live end.
        key: Signs tokens.
        timeout: Seconds that a request waits for msgqueue.
    """

    def __init__(
        self,
        installation: KnownServices,
        queue: QueueClient,
        pages: PageTurns,
        feed: LiveFeed,
        key: TokenKey,
        *,
        timeout: float,
    ) -> None:
        self._installation = installation
        self._queue = queue
        self._pages = pages
        self._feed = feed
        self._key = key
        self._timeout = timeout

    @property
    def pages(self) -> dict[str, Page]:
        """Handlers of GET, by path."""
        return {
            "/admin/services": self._show_services,
            "/admin/topics": self._show_topics,
            "/admin/messages": self._show_messages,
            "/admin/consumers": self._show_consumers,
            AT: self._pass_on,
        }

    @property
    def posts(self) -> dict[str, Page]:
        """Handlers of POST, by path."""
        return {"/admin/token": self._issue_token, AT: self._pass_on}

    @property
    def routes(self) -> list[Route]:
        """The page, which is no secret; what it shows is."""
        return [*WebPage(_FOLDER, "/admin", "admin/static").routes()]

    async def _show_services(self, request: Request) -> Response:
        require_admin(request.user)
        (samples,) = read_numbers(request, samples=(1, KEPT))
        return json_response(await self._installation.ask_all(samples))

    async def _show_topics(self, request: Request) -> Response:
        pattern = _require_pattern(request, "pattern")
        after, until, limit = read_numbers(
            request, after=(0, self._feed.head), until=(self._feed.head, self._feed.head), limit=_LIMIT
        )
        page = await list_topics(self._reader(request), pattern, after=after, until=until, limit=limit or 1)
        return json_response(page)

    async def _show_messages(self, request: Request) -> Response:
        pattern, query = _require_pattern(request, "topic"), request.query_params
        (limit,) = read_numbers(request, limit=_LIMIT)
        position, before = (
            parse_position(name, query[name]) if name in query else None for name in ("position", "before")
        )
        wanted = Query(
            pattern=pattern, user=query.get("user"), id=query.get("id"), before=before, limit=limit or 1
        )
        require_one_of(position, (wanted.user, wanted.id, before))
        if position is not None:
            return json_response(await message_at(self._reader(request), position, pattern))
        return json_response(await search(self._reader(request), wanted))

    async def _show_consumers(self, request: Request) -> Response:
        require_admin(request.user)
        try:
            return json_response(ConsumerPage([*await self._queue.consumers()]))
        except Disconnected as error:
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, str(error)) from None

    async def _issue_token(self, request: Request) -> Response:
        require_admin(request.user)
        user = request.user
        name = user.name[: MAX_NAME_LENGTH - len(TOKEN_SUFFIX)] + TOKEN_SUFFIX
        claims = Claims.new(name, lifetime=_TOKEN_SECONDS, publish=user.publish, subscribe=user.subscribe)
        try:
            token = self._key.issue(claims, PIPELINE)
        except ConfigurationError as error:
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, str(error)) from None
        return json_response(PlaygroundToken(token, claims.name, claims.expires))

    async def _pass_on(self, request: Request) -> Response:
        require_admin(request.user)
        name = request.path_params["service"]
        try:
            answer = await self._installation.pass_on(
                name,
                request.method,
                request.path_params["path"],
                request.scope["query_string"].decode("latin-1"),
                body=await request.body(),
                authorization=request.headers.get("authorization"),
            )
        except NotPassedOn:
            raise HTTPException(HTTPStatus.NOT_FOUND) from None
        except LoginNeeded:
            reason = (
                "a client certificate cannot be passed on: log in with a password, or ask the service itself"
            )
            raise Rejected(ErrorCode.FORBIDDEN, reason) from None
        except Disconnected as error:
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, ProblemCode.UNAVAILABLE, str(error)) from None
        return Response(answer.body, answer.status, media_type=answer.headers.get("content-type"))

    def describe_connections(self, channels: Collection[Channel]) -> Mapping[Channel, SubscriptionSummary]:
        """Return what is known of the subscriptions of connections."""
        asked = frozenset(channels)
        found = {each.writer: each for each in self._feed.subscriptions if each.writer in asked}
        return {
            channel: SubscriptionSummary(
                sorted(each.patterns)[:MAX_SHOWN_TOPICS], len(each.patterns), each.behind
            )
            for channel in channels
            if (each := found.get(channel)) is not None
        }

    def _reader(self, request: Request) -> ReadPage:
        async def read(wanted: Read) -> PageAnswer:
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._pages.read(request.user.name, wanted)
            except TimeoutError:
                reason = "msgqueue does not answer, or too few records match: name a narrower topic"
                raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, reason) from None

        return read


@asynccontextmanager
async def open_admin(
    settings: SubscriberSettings, queue: QueueClient, pages: PageTurns, feed: LiveFeed
) -> AsyncIterator[AdminApi]:
    """Open the API; arguments as for :class:`AdminApi`."""
    installation, key = KnownServices.from_settings(settings), TokenKey.from_settings(settings)
    with closing(installation):
        yield AdminApi(installation, queue, pages, feed, key, timeout=settings.queue_wait)


_LIMIT: Final = (_DEFAULT_LIMIT, MAX_ADMIN_LIMIT)


def _require_pattern(request: Request, name: str) -> str:
    """Return the requested pattern, if the admin may subscribe to it.

    Raises:
        Rejected: If the user is no admin or may not subscribe to it, or if it is no pattern.
    """
    require_admin(request.user)
    pattern = request.query_params.get(name, ">")
    require_pattern(pattern)
    request.user.require_subscribe(pattern)
    return pattern
