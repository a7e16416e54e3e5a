"""Requests to a service's HTTP side, with the standard library alone.

HTTP/1.1 with connections that are kept open between requests (RFC 9112). A request that fails on a connection
which had been idle is made again on a new one: the server may have closed it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlencode

from fanline.addresses import split_url
from fanline.client.transport.dial import make_transport, open_socket
from fanline.client.transport.login import Login
from fanline.client.transport.translate import answer, unreachable
from fanline.errors import ConfigurationError, Disconnected

# What one response may have for a head; more is not from a service of ours.
_MAX_HEAD_BYTES: Final = 65_536

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Response(NamedTuple):
    """An answer of a service; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def check_ready(url: str, *, tls: ssl.SSLContext | None = None, timeout: float = 3.0) -> None:
    """Return if a service is ready; raise Disconnected if not.

    Args:
        url: The service, ``wss://HOST:PORT``.
        tls: How to verify it; None trusts the CAs of the system.
        timeout: Seconds to wait for its answer.

    Raises:
        Disconnected: If the service is not ready, which the text explains, or does not answer.
        ConfigurationError: If the URL, or the CA to verify it by, is wrong.
    """
    client = HttpsClient(url, tls=tls, timeout=timeout)
    try:
        response = await client.request("GET", "/readyz")
    finally:
        client.close()
    if response.status != HTTPStatus.OK:
        raise Disconnected(f"{url} is not ready: {answer(response.status, response.body)}")


def require_service_url(url: str) -> None:
    """Raise :class:`~fanline.ConfigurationError` unless a URL has the form ``wss://HOST:PORT``."""
    _split(url)


def _split(url: str) -> SplitResult:
    """Return the parts of a service's URL.

    Raises:
        ConfigurationError: Unless it has the form ``wss://HOST:PORT``.
    """
    try:
        return split_url(url)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


class HttpsClient:
    """Makes requests to one service, any number at once.

    Args:
        url: The service, as for a WebSocket: ``wss://HOST:PORT``.
        tls: How to verify it; None trusts the CAs of the system.
        timeout: Seconds to wait for an answer, the connection included.
        login: The login; None for none.

    Attributes:
        url: As given.

    Raises:
        ConfigurationError: If it is no such URL.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None,
        timeout: float,
        login: Login | None = None,
    ) -> None:
        self._place = _split(url)
        self.url = url
        self._tls = tls or ssl.create_default_context()
        self._timeout = timeout
        self._headers = {"Host": self._place.netloc.encode("idna").decode(), "Accept": "*/*"}
        self._login = login
        self._idle: list[Connection] = []

    def close(self) -> None:
        """Close every connection that is idle."""
        while self._idle:
            _abort(self._idle.pop())

    async def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, int] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return what the service answers, whatever the status.

        Args:
            method: GET or POST.
            path: What to ask for, percent-encoded.
            parameters: The query.
            body: JSON, or nothing.
            headers: Further ones; ``Authorization`` among them takes the place of the login.

        Raises:
            Disconnected: If there is no answer in time.
            ConfigurationError: If the service cannot prove who it is.
        """
        target = self._place.path.rstrip("/") + path
        if parameters:
            target += "?" + urlencode(parameters)
        fields = self._headers | (dict(headers) if headers else {})
        if self._login is not None and "Authorization" not in fields:
            fields |= await self._login.headers()
        if body:
            fields["Content-Type"] = "application/json"
        if method != "GET":
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(request)
        except TimeoutError as error:
            raise Disconnected(f"{self.url} does not answer within {self._timeout:g} s") from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            hint = "" if self._login is None else self._login.hint
            raise unreachable(self.url, error, hint) from error

    async def _exchange(self, request: bytes) -> Response:
        while self._idle:
            try:
                return await self._exchange_on(self._idle.pop(), request)
            except (OSError, EOFError):
                continue
        host = self._place.hostname or ""
        sock = await open_socket(host, self._place.port or 443)
        opening = asyncio.open_connection(
            sock=sock, server_hostname=host, ssl=self._tls, limit=_MAX_HEAD_BYTES
        )
        connection = await make_transport(sock, opening, _abort)
        return await self._exchange_on(connection, request)

    async def _exchange_on(self, connection: Connection, request: bytes) -> Response:
        async with _kept_if_done(connection, self._idle) as (reader, writer):
            writer.write(request)
            await writer.drain()
            response = await _read_response(reader)
            if response.headers.get("connection", "").lower() == "close":
                _abort((reader, writer))
            return response


def _abort(connection: Connection) -> None:
    _, writer = connection
    writer.transport.abort()  # close() would wait for the peer, and after it abort() fails in Python 3.11.2


@asynccontextmanager
async def _kept_if_done(connection: Connection, idle: list[Connection]) -> AsyncIterator[Connection]:
    """Keep a connection for later; abort it if the block ends early."""
    try:
        yield connection
    except BaseException:
        _abort(connection)
        raise
    if not connection[1].transport.is_closing():
        idle.append(connection)


async def _read_response(reader: asyncio.StreamReader) -> Response:
    """Read one response (RFC 9112, 6.3).

    Raises:
        ValueError: If it is not HTTP.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status, *_ = [*first.split(" ", 2), ""]
    if not version.startswith("HTTP/1."):
        raise ValueError("it does not answer in HTTP")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([chunk async for chunk in _read_chunks(reader)])
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Response(int(status), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
