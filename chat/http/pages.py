"""The web page: one document, and its files under a path that changes with them.

A file under ``/static/VERSION/`` is kept by browsers for a year without asking, because its address changes
as soon as any file has changed. Modules import each other by relative addresses, and so in the same version.
"""

import gzip
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from chat.http.security_policy import content_security_policy
from fanline.server import prefix_of, single_header

FOLDER: Final = Path(__file__).parent.parent / "static"

_INDEX: Final = "index.html"
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ACCEPTS_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")
_STYLE: Final = re.compile("<style>(.*?)</style>", re.DOTALL)


def routes(folder: Path = FOLDER) -> Iterator[Route]:
    """Yield the routes of the page in a folder, of its files, and of links to rooms."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    version = _digest(b"".join(name.encode() + body for name, body in files.items()))
    document = _document(files.pop(_INDEX).decode(), version, files)
    sources = _style_sources(document)
    page = _File(_INDEX, document.encode())
    served = {name: _File(name, body) for name, body in files.items()}

    async def show_page(request: Request) -> Response:
        response = page.response(request, _ASK)
        host = single_header(request.headers, "host")
        response.headers["Content-Security-Policy"] = content_security_policy(host, style=sources)
        return response

    async def show_file(request: Request) -> Response:
        if (file := served.get(request.path_params["name"])) is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        # While the servers of an installation are updated, a page of another version still finds its files.
        is_current = request.path_params["version"] == version
        return file.response(request, _FOREVER if is_current else _ASK)

    async def show_client(request: Request) -> Response:
        return served["fanline.js"].response(request, _ASK)

    async def show_icon(request: Request) -> Response:
        return served["icon.svg"].response(request, _ASK)

    yield Route("/", show_page, include_in_schema=False)
    yield Route("/static/{version}/{name:path}", show_file, include_in_schema=False)
    yield Route("/fanline.js", show_client, include_in_schema=False)
    yield Route("/favicon.ico", show_icon, include_in_schema=False)
    yield Route("/rooms/{id:path}", _show_room, include_in_schema=False)


class _File:
    """A file of the page, in memory, as it is and compressed."""

    def __init__(self, name: str, body: bytes) -> None:
        self._body = body
        self._compressed = gzip.compress(body, mtime=0)
        self._kind = _KINDS[Path(name).suffix]
        self._tag = _digest(body)

    def response(self, request: Request, caching: str) -> Response:
        """Return the answer to a request; an empty one if the client has the file already."""
        is_compressed = _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")) is not None
        tag = f'"{self._tag}-gzip"' if is_compressed else f'"{self._tag}"'
        headers = {"Cache-Control": caching, "ETag": tag, "Vary": "Accept-Encoding, Origin"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        body = self._compressed if is_compressed else self._body
        return Response(body, headers={**headers, "Content-Type": self._kind})


def _document(text: str, version: str, names: Iterable[str]) -> str:
    """Return the document with the addresses of its files, all modules among them, to load them at once."""
    modules = "".join(
        f'<link rel="modulepreload" href="static/{name}">' for name in names if name.endswith(".js")
    )
    return text.replace("</head>", f"{modules}</head>").replace('"static/', f'"static/{version}/')


def _style_sources(document: str) -> str:
    """Return the sources of styles that allow what the document has in itself."""
    digests = (sha256(found.encode()).digest() for found in _STYLE.findall(document))
    return " ".join(["'self'", *(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)])


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()[:16]


async def _show_room(request: Request) -> Response:
    """Lead a person who has typed the address of a room to the room."""
    return RedirectResponse(f"{prefix_of(request)}/#{quote(request.path_params['id'], safe='')}")
