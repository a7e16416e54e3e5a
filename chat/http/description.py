"""The description of the HTTP API: OpenAPI for programs, and a page for people."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from chat.domain.views import encode
from chat.http import api, room_api
from chat.http.security_policy import content_security_policy

Object = Mapping[str, Any]

PROBLEM: Final = "application/problem+json"

# The paths that guests may use, without a token.
_FOR_GUESTS: Final = ("/api/", "/create", "/groups/")

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid GrayText; }
h2 { font-size: 1.1rem; }
code { font-size: 0.95em; }
table { border-collapse: collapse; }
td { padding: 0 1rem 0.25rem 0; vertical-align: top; }
"""
_STYLE_SOURCE: Final = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"


def routes(*, guests_allowed: bool) -> list[Route]:
    """Return the routes of the description: ``/openapi.json``, and ``/docs`` for people."""
    description = describe(guests_allowed=guests_allowed)
    document = encode(description)
    page = "".join(_page(description))
    headers = {"Content-Security-Policy": content_security_policy(None, style=_STYLE_SOURCE)}

    async def show_document(_: Request) -> Response:
        return Response(document, media_type="application/json")

    async def show_page(_: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    return [Route("/openapi.json", show_document), Route("/docs", show_page)]


def describe(*, guests_allowed: bool) -> Object:
    """Return the description of the API.

    Args:
        guests_allowed: Whether a token is optional in the paths that guests may use.
    """
    description = get_openapi(
        title="Fanline chat",
        version="1",
        summary="Rooms, members, logins and history, on a pipeline of durable messages.",
        routes=[*api.router.routes, *room_api.router.routes],
    )
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if guests_allowed and path.startswith(_FOR_GUESTS) and "security" in operation:
                operation["security"].append({})
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    response["content"] = {PROBLEM: response["content"]["application/json"]}
    return description


def _page(description: Object) -> Iterator[str]:
    title = escape(description["info"]["title"])
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>'
    yield f"<p>{escape(description['info']['summary'])} "
    yield 'For programs: <a href="/openapi.json">openapi.json</a>.</p>'
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield from _article(method.upper(), path, operation)
    yield "</html>"


def _article(method: str, path: str, operation: Object) -> Iterator[str]:
    yield f"<article><h2><code>{method} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation['description'])}</p><table>"
    for parameter in operation.get("parameters", ()):
        shown = "" if parameter["in"] == "path" else "?"
        yield _row(f"{shown}{parameter['name']}", parameter.get("description", ""))
    for status, response in operation["responses"].items():
        yield _row(status, response["description"])
    yield "</table></article>"


def _row(name: str, meaning: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(meaning)}</td></tr>"
