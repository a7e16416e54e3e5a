"""The HTTP API: logins, the lobby, health, and plain requests to WebSockets."""

import logging
from http import HTTPStatus
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from chat.domain import sentences
from chat.domain.errors import Unavailable
from chat.domain.person import person_of
from chat.domain.rooms import LOBBY
from chat.domain.views import IssuedToken, MessagePage
from chat.http import schema
from chat.http.routing import (
    BAD,
    DOWN,
    FORBIDDEN,
    NO_LOGIN,
    TAKEN,
    TOO_MANY,
    UNKNOWN,
    Admitted,
    Chat,
    LoggedIn,
    RoomPath,
    Server,
    answer,
    new_router,
    read_body,
)
from chat.http.schema import problems
from fanline.server import HttpProblem, address_of

router = new_router()

logger = logging.getLogger(__name__)


# Before a login.


@router.get("/api/about", response_model=schema.About, responses=problems())
async def show_about(server: Server) -> Response:
    """Get this chat's name, its limits, and whether guests are allowed."""
    return answer(server.about.model_dump())


# Logins.


@router.post(
    "/login",
    response_model=IssuedToken,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TAKEN, TOO_MANY),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema.Credentials.model_json_schema()}},
        }
    },
)
async def log_in(request: Request, server: Server) -> Response:
    """Log in with the password of this server, and any display name."""
    credentials = await read_body(request, schema.Credentials)
    return answer(
        server.logins.log_in(credentials.password, credentials.name, address_of(request), credentials.key)
    )


@router.post("/guest", response_model=IssuedToken, responses=problems(BAD, FORBIDDEN))
async def enter_as_guest(request: Request, server: Server) -> Response:
    """Get a token without a password, where guests are allowed.

    The guest's name has two random words.
    """
    given = await read_body(request, schema.GuestKey) if await request.body() else schema.GuestKey()
    return answer(server.logins.guest(given.key))


@router.get("/logout", status_code=204, operation_id="log_out_by_link", responses=problems(NO_LOGIN, DOWN))
@router.post(
    "/logout", status_code=204, operation_id="log_out", responses=problems(NO_LOGIN, FORBIDDEN, DOWN)
)
async def log_out(chat: Chat, claims: LoggedIn) -> Response:
    """Revoke the token on all servers, and close its connections."""
    await chat.revoke(claims)
    return Response(status_code=HTTPStatus.NO_CONTENT)


# The lobby.


@router.get("/history", response_model=MessagePage, responses=problems(BAD, NO_LOGIN, DOWN))
async def history(
    chat: Chat,
    _: LoggedIn,
    page: Annotated[int, Query(ge=-1, description="From 1; the newest if it is -1 or none is given.")] = -1,
) -> Response:
    """Get a page of the messages of the lobby.

    A page has 100 messages, oldest first.
    """
    return answer(await chat.page(LOBBY, None if page == -1 else page))


# Plain requests to WebSocket paths.


def _upgrade_required() -> HttpProblem:
    code, detail, _ = sentences.UPGRADE_REQUIRED
    headers = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
    return HttpProblem(HTTPStatus.UPGRADE_REQUIRED, code, detail, headers)


@router.get("/join", status_code=426, response_model=schema.Problem, responses=problems())
async def join_lobby() -> Response:
    """Join the lobby, by WebSocket; with a token."""
    raise _upgrade_required()


@router.get(
    "/groups/{id:path}",
    status_code=426,
    response_model=schema.Problem,
    responses=problems(NO_LOGIN, UNKNOWN, TAKEN, DOWN),
    operation_id="join_group",
)
@router.get(
    "/api/serve/{id:path}",
    status_code=426,
    response_model=schema.Problem,
    responses=problems(NO_LOGIN, UNKNOWN, TAKEN, DOWN),
)
async def join_room(chat: Chat, claims: Admitted, room_id: RoomPath) -> Response:
    """Join a room, by WebSocket.

    The parameter `?after=` with a position first sends what was missed. A plain request is told why a
    WebSocket cannot be opened, which browsers do not tell a page.
    """
    chat.lifecycle.require_available()
    if claims is None:
        chat.rooms.get(room_id)
    else:
        chat.rooms.require_joinable(room_id, person_of(claims))
    raise _upgrade_required()


@router.get("/api/feed", status_code=426, response_model=schema.Problem, responses=problems())
async def watch_rooms() -> Response:
    """Watch all rooms, by WebSocket.

    This sends the list, and the counts of members and messages of each room.
    """
    raise _upgrade_required()


# Health and metrics.


@router.get("/healthz", response_model=schema.Health, responses=problems())
async def show_liveness() -> Response:
    """Answer as long as this server is alive."""
    return answer({"status": "ok"})


@router.get("/readyz", response_model=schema.Health, operation_id="show_readiness", responses=problems(DOWN))
@router.get(
    "/api/healthz", response_model=schema.Health, operation_id="show_health", responses=problems(DOWN)
)
async def show_health(server: Server) -> Response:
    """Check whether this server, with pipeline and log, can work.

    The pipeline must answer, and the log must have been read.
    """
    problem = await server.chat.lifecycle.problem()
    if problem is not None:
        logger.info("not ready: %s", problem)
        raise Unavailable(sentences.NOT_READY)
    return answer({"status": "ok"})
