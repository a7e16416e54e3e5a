"""A service's web page: one document, and files at versioned addresses.

A file under ``VERSION/`` is kept by browsers for a year without asking, because its address changes as soon
as any file has changed. Modules import each other by relative addresses, and so in the same version. Each
page also has the files that all pages share, under ``shared/``.
"""

import gzip
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fanline.server.access import is_host, single_header

SHARED: Final = Path(__file__).parent / "shared"
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


class WebPage:
    """A folder's page, whose ``index.html`` names files as ``static/NAME``.

    Args:
        folder: The folder.
        path: Where the page is.
        files: Where its files are: relative to the page, without a slash at the end.
    """

    def __init__(self, folder: Path, path: str = "/", files: str = "static") -> None:
        paths = {each.relative_to(folder): each for each in sorted(folder.rglob("*")) if each.is_file()}
        paths |= {each.relative_to(SHARED.parent): each for each in sorted(SHARED.iterdir())}
        found = {name.as_posix(): path.read_bytes() for name, path in paths.items()}
        self._version = _digest(b"".join(name.encode() + body for name, body in found.items()))
        document = _document(found.pop(_INDEX).decode(), f"{files}/{self._version}", found)
        self._sources = _style_sources(document)
        self._page = _File(_INDEX, document.encode())
        self._files = {name: _File(name, body) for name, body in found.items()}
        self._path = path
        self._files_path = f"/{files}/{{version}}/{{name:path}}"

    def routes(self) -> Iterator[Route]:
        """Yield the routes of the page and of its files."""
        yield Route(self._path, self._show, include_in_schema=False)
        yield Route(self._files_path, self._show_file, include_in_schema=False)

    def show_always(self, request: Request, name: str) -> Response:
        """Return a file whose address stays; browsers ask for it each time."""
        return self._files[name].response(request, _ASK)

    async def _show(self, request: Request) -> Response:
        response = self._page.response(request, _ASK)
        host = single_header(request.headers, "host")
        response.headers["Content-Security-Policy"] = content_security_policy(
            host, style=self._sources, sockets="wss" if request.scope["scheme"] == "https" else "ws"
        )
        return response

    async def _show_file(self, request: Request) -> Response:
        if (file := self._files.get(request.path_params["name"])) is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        # While the servers of an installation are updated, a page of another version still finds its files.
        is_current = request.path_params["version"] == self._version
        return file.response(request, _FOREVER if is_current else _ASK)


def content_security_policy(host: str | None, style: str = "'self'", sockets: str = "wss") -> str:
    """Return the rule that a page loads only from this server.

    Args:
        host: The requested host; older browsers do not count its WebSockets as ``'self'``.
        style: The source of the styles.
        sockets: The scheme of WebSockets.
    """
    own = f" {sockets}://{host}" if host and is_host(host) else ""
    return (
        f"default-src 'self'; connect-src 'self'{own}; img-src 'self' data:; style-src {style}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class _File:
    """A file of the page, in memory, as it is and compressed."""

    def __init__(self, name: str, body: bytes) -> None:
        self._body = body
        self._compressed = _compress(body)
        self._kind = _KINDS[Path(name).suffix]
        self._tag = _digest(body)

    def response(self, request: Request, caching: str) -> Response:
        """Return the answer to a request, empty for an unchanged file."""
        is_compressed = _ACCEPTS_GZIP.search(request.headers.get("accept-encoding", "")) is not None
        tag = f'"{self._tag}-gzip"' if is_compressed else f'"{self._tag}"'
        headers = {"Cache-Control": caching, "ETag": tag, "Vary": "Accept-Encoding, Origin"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        body = self._compressed if is_compressed else self._body
        return Response(body, headers={**headers, "Content-Type": self._kind})


def _document(text: str, folder: str, names: Iterable[str]) -> str:
    """Return the document with its files' addresses, preloading all modules."""
    modules = "".join(
        f'<link rel="modulepreload" href="static/{name}">' for name in names if name.endswith(".js")
    )
    return text.replace("</head>", f"{modules}</head>").replace('"static/', f'"{folder}/')


def _style_sources(document: str) -> str:
    """Return the sources of styles, with those in the document itself."""
    digests = (sha256(found.encode()).digest() for found in _STYLE.findall(document))
    return " ".join(["'self'", *(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)])


@cache
def _compress(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()[:16]
