"""The pages for programs: logging in and out, rooms, their members and messages, health, metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
import prometheus_client
from fastapi import APIRouter, Depends, Path, Query, Request, Security
from pydantic import ValidationError
from starlette.responses import Response

from chat.domain.errors import Unavailable, UnknownRoom
from chat.domain.names import MAX_LENGTH
from chat.domain.state import LOBBY, Room
from chat.domain.views import summary_of
from chat.http import schema
from chat.http.problems import Problem, ProblemCode, Refused, sentences
from chat.http.schema import problems
from chat.service.house import House
from chat.service.login import Logins
from fanline.errors import ErrorCode, Rejected
from fanline.security.authenticator import Authenticator, Unauthorized
from fanline.security.tokens import Claims, find_token

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

router = APIRouter()


@dataclass(frozen=True)
class Services:
    """What the pages stand on.

    Attributes:
        house: The rooms.
        logins: The tokens.
        users: The users of the pipeline, who may look at the metrics.
        metrics: The metrics.
    """

    house: House
    logins: Logins
    users: Authenticator
    metrics: prometheus_client.CollectorRegistry


# What the pages are given.


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Chat = Annotated[Services, Depends(_services)]


def _open_house(chat: Chat) -> House:
    if not chat.house.ready:
        raise Unavailable("this server is still reading what was said before it was started")
    return chat.house


def _token(
    request: Request,
    _: Annotated[object, Security(schema.BEARER)],
    parameter: Annotated[str | None, Security(schema.PARAMETER)],
) -> str | None:
    return find_token(request.headers.get("authorization"), parameter)


OpenHouse = Annotated[House, Depends(_open_house)]
Token = Annotated[str | None, Depends(_token)]


def _login(chat: Chat, _: OpenHouse, token: Token) -> Claims:
    return chat.logins.identify(token)


def _admission(chat: Chat, _: OpenHouse, token: Token) -> Claims | None:
    return chat.logins.admit(token)


def _room(
    house: OpenHouse, _: "Admitted", room_id: Annotated[str, Path(alias="id", examples=["lobby"])]
) -> Room:
    room = house.state.rooms.get(room_id)
    if room is None:
        raise UnknownRoom(room_id)
    return room


LoggedIn = Annotated[Claims, Depends(_login)]
Admitted = Annotated[Claims | None, Depends(_admission)]
TheRoom = Annotated[Room, Depends(_room)]
Position = Annotated[int | None, Query(ge=0, le=schema.MAX_POSITION, description="A position in the log.")]


# Logging in and out.


@router.post(
    "/login",
    response_model=schema.Login,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TOO_MANY),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema.Credentials.model_json_schema()}},
        }
    },
)
async def log_in(request: Request, chat: Chat) -> Response:
    """Log in with the password of this server, and any display name."""
    try:
        credentials = schema.Credentials.model_validate_json(await request.body())
    except ValidationError as error:
        raise Rejected(ErrorCode.BAD_MESSAGE, sentences(error.errors())) from None
    return _answer(chat.logins.log_in(credentials.password, credentials.name, _address(request)))


@router.post("/guest", response_model=schema.Login, responses=problems(FORBIDDEN))
async def enter_as_guest(chat: Chat) -> Response:
    """Get a token without a password, with a name of two random words; where guests are allowed."""
    return _answer(chat.logins.guest())


@router.get("/logout", status_code=204, operation_id="log_out_by_link", responses=problems(NO_LOGIN, DOWN))
@router.post(
    "/logout", status_code=204, operation_id="log_out", responses=problems(NO_LOGIN, FORBIDDEN, DOWN)
)
async def log_out(house: OpenHouse, claims: LoggedIn) -> Response:
    """End the token: here and on every other server, also for what it has opened."""
    await house.revoke(claims)
    return Response(status_code=HTTPStatus.NO_CONTENT)


# The lobby.


@router.get("/history", response_model=schema.HistoryPage, responses=problems(BAD, NO_LOGIN, DOWN))
async def history(
    house: OpenHouse,
    _: LoggedIn,
    page: Annotated[int | None, Query(ge=1, description="From 1; the newest if none is given.")] = None,
) -> Response:
    """Get a page of the messages of the lobby: 100 of them, oldest first."""
    return _answer(await house.history(LOBBY, page))


# Rooms.


@router.post(
    "/api/room",
    status_code=201,
    response_model=schema.RoomHead,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TAKEN, DOWN),
)
async def make_room(
    house: OpenHouse,
    claims: Admitted,
    room_id: Annotated[
        str | None,
        Query(
            alias="id", description="Random if none is given.", json_schema_extra={"pattern": schema.ROOM_ID}
        ),
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
    room = await house.make_room(room_id, name, by=_who(claims))
    return _answer({"roomId": room.id, "roomName": room.name}, HTTPStatus.CREATED)


@router.get("/api/rooms", response_model=list[schema.RoomSummary], responses=problems(NO_LOGIN, DOWN))
async def list_rooms(house: OpenHouse, _: Admitted) -> Response:
    """List all rooms, in the order in which they were made."""
    return _answer([summary_of(room) for room in house.state.rooms.values()])


@router.get("/api/room/{id}", response_model=schema.RoomDetails, responses=problems(NO_LOGIN, UNKNOWN, DOWN))
async def show_room(room: TheRoom) -> Response:
    """Show a room, and who is there."""
    members = [{"id": member.id, "name": member.name} for member in room.members.values()]
    return _answer(msgspec.to_builtins(summary_of(room)) | {"members": members})


@router.delete("/api/room/{id}", status_code=204, responses=problems(NO_LOGIN, FORBIDDEN, UNKNOWN, DOWN))
async def delete_room(house: OpenHouse, claims: Admitted, room: TheRoom) -> Response:
    """Delete a room with everything that was said in it; whoever is there is disconnected."""
    await house.delete_room(room.id, by=_who(claims))
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/api/room/{id}/messages",
    response_model=list[schema.Entry],
    responses=problems(BAD, NO_LOGIN, UNKNOWN, DOWN),
)
async def list_messages(
    house: OpenHouse,
    room: TheRoom,
    before: Position = None,
    after: Position = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Response:
    """Get what happened in a room, oldest first: the newest, or what is right before or after a position.

    The header `Link` leads to what is before it (`prev`) and after it (`next`). The last page is empty.
    """
    if before is not None and after is not None:
        raise Rejected(ErrorCode.BAD_POSITION, "give before or after, not both")
    entries = await house.messages(room.id, before=before, after=after, limit=limit)
    return _answer(entries, headers=_links(room, [entry.seq for entry in entries], limit))


# WebSockets, for those who ask for them in the wrong way.


def _needs_upgrade() -> Refused:
    reason = "this is a WebSocket: connect with wss://"
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Refused(Problem(HTTPStatus.UPGRADE_REQUIRED, ProblemCode.UPGRADE_REQUIRED, reason, headers))


@router.get("/join", status_code=426, response_model=schema.Problem, responses=problems())
async def join_lobby() -> Response:
    """Join the lobby, by WebSocket; with a token."""
    raise _needs_upgrade()


@router.get("/api/serve/{id}", status_code=426, response_model=schema.Problem, responses=problems())
async def join_room(_: Annotated[str, Path(alias="id", examples=["lobby"])]) -> Response:
    """Join a room, by WebSocket; what was missed comes first with `?after=` a position."""
    raise _needs_upgrade()


@router.get("/api/feed", status_code=426, response_model=schema.Problem, responses=problems())
async def watch_rooms() -> Response:
    """Watch all rooms, by WebSocket: which there are, and how many members and messages each has."""
    raise _needs_upgrade()


# Health and metrics.


@router.get("/healthz", response_model=schema.Health, responses=problems())
async def show_life() -> Response:
    """Tell that this server is alive."""
    return _answer({"status": "ok"})


@router.get("/readyz", response_model=schema.Health, operation_id="show_readiness", responses=problems(DOWN))
@router.get(
    "/api/healthz", response_model=schema.Health, operation_id="show_health", responses=problems(DOWN)
)
async def show_health(chat: Chat) -> Response:
    """Tell whether this server can do its work: whether the pipeline answers."""
    problem = await chat.house.problem()
    if problem is not None:
        raise Unavailable(problem)
    return _answer({"status": "ok"})


@router.get(
    "/metrics",
    dependencies=[Security(schema.BASIC)],
    response_class=Response,
    responses={200: {"content": {prometheus_client.CONTENT_TYPE_LATEST: {}}}, **problems(NO_LOGIN)},
)
async def show_metrics(request: Request, chat: Chat) -> Response:
    """Show counters and gauges, in the format of Prometheus, to users of the pipeline."""
    try:
        await chat.users.authenticate(request.headers.get("authorization"), _address(request))
    except Unauthorized as error:
        headers = {"WWW-Authenticate": 'Basic realm="fanline", charset="UTF-8"'}
        raise Refused(
            Problem(HTTPStatus.UNAUTHORIZED, ProblemCode.UNAUTHORIZED, str(error), headers)
        ) from error
    text = prometheus_client.generate_latest(chat.metrics)
    return Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _answer(
    value: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _who(claims: Claims | None) -> str:
    return "a guest" if claims is None else claims.name


def _address(request: Request) -> str:
    return request.client.host if request.client else "?"


def _links(room: Room, positions: Sequence[int], limit: int) -> dict[str, str]:
    """Return the header that leads on from a page, unless it is empty: then there is nothing more."""
    if not positions:
        return {}
    ways = {"prev": {"before": positions[0]}, "next": {"after": positions[-1]}}
    return {
        "Link": ", ".join(
            f'</api/room/{room.id}/messages?{urlencode({**place, "limit": limit})}>; rel="{way}"'
            for way, place in ways.items()
        )
    }
