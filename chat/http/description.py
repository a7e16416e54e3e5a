"""Description of the HTTP API: OpenAPI for programs, a page for people."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from chat.domain.views import encode
from chat.http import api, room_api
from fanline.server import content_security_policy, prefix_of

Object = Mapping[str, Any]

PROBLEM: Final = "application/problem+json"

# The paths that guests may use, without a token.
_FOR_GUESTS: Final = ("/api/", "/create", "/groups/")

# The description that FastAPI gives an answer without one.
_UNNAMED: Final = "Successful Response"

_CODE: Final = re.compile("`([^`]+)`")
_EMPTY: Final[Object] = {"boolean": True, "string": "", "integer": 0}

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid GrayText; }
h2 { font-size: 1.1rem; }
code { font-size: 0.95em; }
td + td { overflow-wrap: anywhere; }
table { border-collapse: collapse; }
td { padding: 0 1rem 0.25rem 0; vertical-align: top; }
"""
_STYLE_SOURCE: Final = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"


def routes(*, guests_allowed: bool) -> list[Route]:
    """Return the routes of the description: ``/openapi.json``, and ``/docs`` for people."""
    description, document, page = _spell_out(guests_allowed=guests_allowed)
    headers = {"Content-Security-Policy": content_security_policy(None, style=_STYLE_SOURCE)}

    async def show_document(request: Request) -> Response:
        if prefix := prefix_of(request):
            return JSONResponse({**description, "servers": [{"url": prefix}]})
        return Response(document, media_type="application/json")

    async def show_page(_: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    return [Route("/openapi.json", show_document), Route("/docs", show_page)]


@cache  # it takes a tenth of a second, and a process may run several servers
def _spell_out(*, guests_allowed: bool) -> tuple[Object, bytes, str]:
    """Return the description, in the forms for programs and for people."""
    description = describe(guests_allowed=guests_allowed)
    return description, encode(description), "".join(_page(description))


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
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    yield f"<main><h1>{title}</h1><p>{escape(description['info']['summary'])} "
    yield 'For programs: <a href="openapi.json">openapi.json</a>. For people: <a href="./">the chat</a>.</p>'
    schemas = description["components"]["schemas"]
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            yield from _article(method.upper(), path, operation, schemas)
    yield "</main></html>"


def _article(method: str, path: str, operation: Object, schemas: Object) -> Iterator[str]:
    yield f"<article><h2><code>{method} {escape(path)}</code></h2>"
    yield f"<p>{_text(operation['description'])}</p><table>"
    for parameter in operation.get("parameters", ()):
        shown = "" if parameter["in"] == "path" else "?"
        yield _row(f"{shown}{parameter['name']}", parameter.get("description", ""))
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json")
        example = encode(_example(content["schema"], schemas)).decode() if content else ""
        meaning = response["description"] if response["description"] != _UNNAMED else "The answer."
        yield _row(status, f"{meaning} `{example}`" if example else meaning)
    yield "</table></article>"


def _row(name: str, meaning: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{_text(meaning)}</td></tr>"


def _text(text: str) -> str:
    """Return a text as HTML; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _example(schema: Object, schemas: Object) -> object:
    """Return a value that a schema allows, made of its examples."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "properties" in schema:
        return {name: _example(each, schemas) for name, each in schema["properties"].items()}
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    return schema.get("const", schema.get("enum", [_EMPTY.get(schema.get("type", ""))])[0])
