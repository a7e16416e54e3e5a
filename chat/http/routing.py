"""Parts that all routes share: their objects, logins, and answers."""

import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from chat.domain.person import Person, Role, guest_at, person_of
from chat.domain.room import Room
from chat.domain.views import encode
from chat.http import schema
from chat.http.problems import form_refusal, problem_of
from chat.http.rates import ChatRates
from chat.service.chat_service import ChatService
from chat.service.login import ChatLogins
from fanline import MAX_POSITION, ErrorCode, FanlineError
from fanline.server import Claims, ProblemCode, address_of, find_token, network

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


class _RoomRoute(APIRoute):
    """A route that is chosen by the path as it was sent.

    A slash of a room's id comes as ``%2F``, and so is not taken for one that ends the id: a room may have the
    id ``a/messages``.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        parts = re.split("%2f", scope["raw_path"].decode("ascii"), flags=re.IGNORECASE)
        path = "%2F".join(unquote(part).replace("%", "%25") for part in parts)
        match, child = super().matches({**scope, "path": path})
        if "path_params" in child:
            child["path_params"] = {name: unquote(value) for name, value in child["path_params"].items()}
        return match, child


def new_router() -> APIRouter:
    """Return a router, whose operations have the names of its functions."""
    return APIRouter(route_class=_RoomRoute, generate_unique_id_function=lambda route: route.name)


@dataclass(frozen=True)
class Services:
    """The objects that the routes use.

    Attributes:
        chat: Executes commands.
        logins: Issues and verifies tokens.
        rates: Limits the rooms that guests make.
        about: What a client should know before a login.
    """

    chat: ChatService
    logins: ChatLogins
    rates: ChatRates
    about: schema.About


def bind(routers: Iterable[APIRouter], services: Services) -> list[Route]:
    """Return the routes of routers, which use these objects."""
    routes = (route for router in routers for route in router.routes)
    return [_bind(route, services) for route in routes if isinstance(route, Route)]


def _bind(route: Route, services: Services) -> Route:
    """Return a copy of a route with its objects and refusals.

    It refuses requests as all services do.
    """
    bound = copy(route)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            # FastAPI expects the stack of its own application.
            inner = {**scope, "state": {"services": services}, "fastapi_middleware_astack": stack}
            try:
                await route.app(inner, receive, send)
            except RequestValidationError as error:
                raise problem_of(form_refusal(ProblemCode.BAD_REQUEST, error.errors())) from None
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


def _admission(server: Server, chat: Chat, token: Token) -> Claims | None:
    claims = server.logins.admit(token)
    if claims is not None:
        chat.lifecycle.require_available()  # a server that is cut off does not know who has logged out
    return claims


def _login(server: Server, chat: Chat, token: Token) -> Claims:
    claims = server.logins.identify(token)
    chat.lifecycle.require_available()
    return claims


def _person(request: Request, claims: "Admitted") -> Person:
    return person_of(claims) if claims else guest_at(network(address_of(request)))


def _room_maker(request: Request, server: Server, person: "Asking") -> Person:
    if person.role == Role.GUEST:
        server.rates.admit_room(network(address_of(request)))
    return person


def _room(chat: Chat, _: "Admitted", room_id: "RoomPath") -> Room:
    return chat.rooms.get(room_id)


RoomPath = Annotated[str, Path(alias="id", examples=["lobby"])]
LoggedIn = Annotated[Claims, Depends(_login)]
Admitted = Annotated[Claims | None, Depends(_admission)]
Asking = Annotated[Person, Depends(_person)]
RoomMaker = Annotated[Person, Depends(_room_maker)]
TheRoom = Annotated[Room, Depends(_room)]
Position = Annotated[int | None, Query(ge=0, le=MAX_POSITION, description="A position in the log.")]


async def read_body(request: Request, kind: type[Body]) -> Body:
    """Return the body of a request, whatever its ``Content-Type`` says."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise form_refusal(ErrorCode.BAD_MESSAGE, error.errors()) from None


def answer(
    value: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer in JSON."""
    return Response(encode(value), status, headers, "application/json")
