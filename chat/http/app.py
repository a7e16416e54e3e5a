"""Puts the application together: the pages, the WebSockets, and what lies around both."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from chat.http import api, pages
from chat.http.description import documentation, let_guests_in
from chat.http.middleware import Edge
from chat.http.problems import Problem, ProblemCode, problem_of, sentences
from chat.http.sockets import Sockets
from chat.settings import ChatSettings
from fanline.errors import FanlineError


def build(services: api.Services, sockets: Sockets, settings: ChatSettings) -> Edge:
    """Return the application, for an ASGI server to run.

    Args:
        services: What the pages stand on.
        sockets: What answers WebSockets.
        settings: Which other sites may use it, and how long a request may take to come.
    """
    application = FastAPI(
        title="Fanline chat",
        summary="Rooms, members, logins and history, on a pipeline of durable messages.",
        version="1",
        docs_url=None,  # the page that comes with the library is made of scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers=_HANDLERS,
        middleware=[_cors(settings)] if settings.allowed_origins else [],
        routes=[Route("/docs", documentation), *pages.routes()],
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    application.state.services = services
    application.include_router(api.router)
    if services.logins.guests_allowed:
        let_guests_in(application.openapi())
    return Edge(
        application,
        sockets,
        allowed_origins=settings.allowed_origins,
        body_timeout=settings.handshake_timeout,
    )


def _cors(settings: ChatSettings) -> Middleware:
    """Let pages of the sites that are allowed read the answers."""
    return Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Authorization",),
        expose_headers=("Link", "Retry-After"),
    )


# How errors become answers.


async def _answer_ours(_: Request, error: FanlineError) -> Response:
    return problem_of(error).response()


async def _answer_invalid(_: Request, error: RequestValidationError) -> Response:
    return Problem(HTTPStatus.BAD_REQUEST, ProblemCode.BAD_REQUEST, sentences(error.errors())).response()


async def _answer_unrouted(request: Request, error: HTTPException) -> Response:
    status, path = HTTPStatus(error.status_code), request.url.path
    match status:
        case HTTPStatus.NOT_FOUND:
            problem = Problem(status, ProblemCode.NOT_FOUND, f"there is nothing at {path}")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            reason = f"{request.method} cannot be done at {path}"
            problem = Problem(
                status, ProblemCode.METHOD_NOT_ALLOWED, reason, {"Allow": _methods_at(path, error)}
            )
        case _:
            problem = Problem(status, ProblemCode.BAD_REQUEST, str(error.detail))
    return problem.response()


def _methods_at(path: str, error: HTTPException) -> str:
    """Return what can be done at a path: a route that has refused a method knows of its own alone."""
    methods = set((error.headers or {}).get("Allow", "").split(", "))
    for route in api.router.routes:
        if isinstance(route, APIRoute) and route.path_regex.match(path):
            methods |= route.methods or set()
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def _answer_defect(_: Request, __: Exception) -> Response:
    reason = "this server has made a mistake; its log tells more"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, ProblemCode.INTERNAL, reason).response()


_HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    FanlineError: _answer_ours,
    RequestValidationError: _answer_invalid,
    HTTPException: _answer_unrouted,
    Exception: _answer_defect,
}
