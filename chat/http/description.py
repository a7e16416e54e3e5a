"""The description of the pages for programs: as OpenAPI for programs, and as a page for people."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from chat.http.middleware import content_security_policy

Object = Mapping[str, Any]

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


def let_guests_in(description: Object) -> None:
    """Describe that a token is optional wherever guests may do the same.

    Args:
        description: That of all pages; it is changed in place.
    """
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/") and "security" in operation:
                operation["security"].append({})


async def documentation(request: Request) -> HTMLResponse:
    """Show the description to people: a page without scripts, and without anything from elsewhere."""
    headers = {"Content-Security-Policy": content_security_policy(None, style=_STYLE_SOURCE)}
    return HTMLResponse("".join(_page(request.app.openapi())), headers=headers)


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
