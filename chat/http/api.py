"""The HTTP API: logins, rooms, members, messages, health and metrics."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chat.domain.errors import Unavailable
from chat.domain.names import MAX_LENGTH
from chat.domain.rooms import LOBBY, Room
from chat.domain.views import (
    ROOM_ID,
    IssuedToken,
    MessagePage,
    RoomDetails,
    RoomEntry,
    RoomName,
    RoomSummary,
    details_of,
    encode,
    name_of,
    summary_of,
)
from chat.http import schema
from chat.http.problems import problem_of, sentences
from chat.http.schema import problems
from chat.service.chat_service import ChatService
from chat.service.login import ChatLogins
from fanline import MAX_POSITION, ErrorCode, FanlineError, Rejected
from fanline.server import Claims, HttpProblem, ProblemCode, address_of, find_token

logger = logging.getLogger(__name__)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 500

BAD, NO_LOGIN, FORBIDDEN, UNKNOWN, TAKEN, TOO_MANY, DOWN = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

Body = TypeVar("Body", bound=BaseModel)

router = APIRouter(generate_unique_id_function=lambda route: route.name)


@dataclass(frozen=True)
class Services:
    """The objects that the routes use.

    Attributes:
        chat: Executes commands.
        logins: Issues and verifies tokens.
        about: What a client should know before a login.
    """

    chat: ChatService
    logins: ChatLogins
    about: schema.About


def routes(services: Services) -> list[Route]:
    """Return the routes of the API, which use these objects."""
    return [_bind(route, services) for route in router.routes if isinstance(route, Route)]


def _bind(route: Route, services: Services) -> Route:
    """Return a copy of a route that uses these objects, and refuses requests as all services do."""
    bound = copy(route)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            # FastAPI expects the stack of its own application.
            inner = {**scope, "state": {"services": services}, "fastapi_middleware_astack": stack}
            try:
                await route.app(inner, receive, send)
            except RequestValidationError as error:
                detail = sentences(error.errors())
                raise HttpProblem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, detail) from None
            except FanlineError as error:
                raise problem_of(error) from error

    bound.app = app
    return bound


# Dependencies of the routes.


def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


Server = Annotated[Services, Depends(_services)]


def _ready_chat(server: Server) -> ChatService:
    server.chat.lifecycle.require_ready()
    return server.chat


def _token(
    request: Request,
    _: Annotated[object, Security(schema.BEARER)],
    parameter: Annotated[str | None, Security(schema.PARAMETER)],
) -> str | None:
    return find_token(request.headers.get("authorization"), parameter)


Chat = Annotated[ChatService, Depends(_ready_chat)]
Token = Annotated[str | None, Depends(_token)]


def _login(server: Server, _: Chat, token: Token) -> Claims:
    return server.logins.identify(token)


def _admission(server: Server, _: Chat, token: Token) -> Claims | None:
    return server.logins.admit(token)


def _room(chat: Chat, _: "Admitted", room_id: Annotated[str, Path(alias="id", examples=["lobby"])]) -> Room:
    return chat.rooms.get(room_id)


LoggedIn = Annotated[Claims, Depends(_login)]
Admitted = Annotated[Claims | None, Depends(_admission)]
TheRoom = Annotated[Room, Depends(_room)]
Position = Annotated[int | None, Query(ge=0, le=MAX_POSITION, description="A position in the log.")]


# Before a login.


@router.get("/api/about", response_model=schema.About, responses=problems())
async def show_about(server: Server) -> Response:
    """Get the name of this chat, whether guests are allowed, and what it accepts."""
    return _answer(server.about.model_dump())


# Logins.


@router.post(
    "/login",
    response_model=IssuedToken,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TOO_MANY),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema.Credentials.model_json_schema()}},
        }
    },
)
async def log_in(request: Request, server: Server) -> Response:
    """Log in with the password of this server, and any display name."""
    credentials = await _body(request, schema.Credentials)
    return _answer(
        server.logins.log_in(credentials.password, credentials.name, address_of(request), credentials.key)
    )


@router.post("/guest", response_model=IssuedToken, responses=problems(BAD, FORBIDDEN))
async def enter_as_guest(request: Request, server: Server) -> Response:
    """Get a token without a password, for a name of two random words, where guests are allowed."""
    given = await _body(request, schema.GuestKey) if await request.body() else schema.GuestKey()
    return _answer(server.logins.guest(given.key))


@router.get("/logout", status_code=204, operation_id="log_out_by_link", responses=problems(NO_LOGIN, DOWN))
@router.post(
    "/logout", status_code=204, operation_id="log_out", responses=problems(NO_LOGIN, FORBIDDEN, DOWN)
)
async def log_out(chat: Chat, claims: LoggedIn) -> Response:
    """Revoke the token on all servers, and close the connections that use it."""
    await chat.revoke(claims)
    return Response(status_code=HTTPStatus.NO_CONTENT)


# The lobby.


@router.get("/history", response_model=MessagePage, responses=problems(BAD, NO_LOGIN, DOWN))
async def history(
    chat: Chat,
    _: LoggedIn,
    page: Annotated[int | None, Query(ge=1, description="From 1; the newest if none is given.")] = None,
) -> Response:
    """Get a page of the messages of the lobby: 100 of them, oldest first."""
    return _answer(await chat.page(LOBBY, page))


# Rooms.


@router.post(
    "/api/room",
    status_code=201,
    response_model=RoomName,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TAKEN, DOWN),
)
async def make_room(
    chat: Chat,
    claims: Admitted,
    room_id: Annotated[
        str | None,
        Query(alias="id", description="Random if none is given.", json_schema_extra={"pattern": ROOM_ID}),
    ] = None,
    name: Annotated[
        str | None,
        Query(
            description="Two random words if none is given.",
            json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH},
        ),
    ] = None,
) -> Response:
    """Make a room."""
    return _answer(name_of(await chat.make_room(room_id, name, claims)), HTTPStatus.CREATED)


@router.get("/api/rooms", response_model=list[RoomSummary], responses=problems(NO_LOGIN, DOWN))
async def list_rooms(chat: Chat, _: Admitted) -> Response:
    """List all rooms, in the order in which they were made."""
    return _answer([summary_of(room) for room in chat.rooms.by_id.values()])


@router.get("/api/room/{id}", response_model=RoomDetails, responses=problems(NO_LOGIN, UNKNOWN, DOWN))
async def show_room(room: TheRoom) -> Response:
    """Get a room with its present members."""
    return _answer(details_of(room))


@router.delete("/api/room/{id}", status_code=204, responses=problems(NO_LOGIN, FORBIDDEN, UNKNOWN, DOWN))
async def delete_room(chat: Chat, claims: Admitted, room: TheRoom) -> Response:
    """Delete a room and its messages, and disconnect its members."""
    await chat.delete_room(room.id, claims)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/api/room/{id}/messages",
    response_model=list[RoomEntry],
    responses=problems(BAD, NO_LOGIN, UNKNOWN, DOWN),
)
async def list_messages(
    chat: Chat,
    room: TheRoom,
    before: Position = None,
    after: Position = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Response:
    """Get events of a room, oldest first: the newest, or those next to a position.

    The header `Link` leads to the events before (`prev`) and after (`next`). The last page is empty.
    """
    entries = await chat.messages(room.id, before=before, after=after, limit=limit)
    return _answer(entries, headers=_links(room, [entry["seq"] for entry in entries], limit))


# Plain requests to WebSocket paths.


def _upgrade_required() -> HttpProblem:
    detail = "this is a WebSocket: connect with wss://"
    headers = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
    return HttpProblem(HTTPStatus.UPGRADE_REQUIRED, ProblemCode.UPGRADE_REQUIRED, detail, headers)


@router.get("/join", status_code=426, response_model=schema.Problem, responses=problems())
async def join_lobby() -> Response:
    """Join the lobby, by WebSocket; with a token."""
    raise _upgrade_required()


@router.get("/api/serve/{id}", status_code=426, response_model=schema.Problem, responses=problems())
async def join_room(_: Annotated[str, Path(alias="id", examples=["lobby"])]) -> Response:
    """Join a room, by WebSocket; `?after=` a position first sends what was missed."""
    raise _upgrade_required()


@router.get("/api/feed", status_code=426, response_model=schema.Problem, responses=problems())
async def watch_rooms() -> Response:
    """Watch all rooms, by WebSocket: the list, and the counts of members and messages of each."""
    raise _upgrade_required()


# Health and metrics.


@router.get("/healthz", response_model=schema.Health, responses=problems())
async def show_liveness() -> Response:
    """Answer as long as this server is alive."""
    return _answer({"status": "ok"})


@router.get("/readyz", response_model=schema.Health, operation_id="show_readiness", responses=problems(DOWN))
@router.get(
    "/api/healthz", response_model=schema.Health, operation_id="show_health", responses=problems(DOWN)
)
async def show_health(server: Server) -> Response:
    """Check whether this server can work: whether the pipeline answers and the log has been read."""
    problem = await server.chat.lifecycle.problem()
    if problem is not None:
        logger.info("not ready: %s", problem)
        raise Unavailable("the pipeline is not ready; the log of chat says why")
    return _answer({"status": "ok"})


async def _body(request: Request, kind: type[Body]) -> Body:
    """Return the body of a request, whatever its ``Content-Type`` says."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise Rejected(ErrorCode.BAD_MESSAGE, sentences(error.errors())) from None


def _answer(
    value: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(encode(value), status, headers, "application/json")


def _links(room: Room, positions: Sequence[int], limit: int) -> dict[str, str]:
    """Return the ``Link`` header of a page; none if the page is empty, which ends the list."""
    if not positions:
        return {}
    ways = {"prev": {"before": positions[0]}, "next": {"after": positions[-1]}}
    return {
        "Link": ", ".join(
            f'</api/room/{room.id}/messages?{urlencode({**place, "limit": limit})}>; rel="{way}"'
            for way, place in ways.items()
        )
    }
