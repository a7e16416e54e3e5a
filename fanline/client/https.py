"""What services answer to plain GET requests, with our errors in place of foreign ones."""

import ssl
from collections.abc import Mapping
from http import HTTPStatus

import httpx

from fanline.client.translate import answer, unreachable
from fanline.errors import ConfigurationError, Disconnected


async def check_ready(url: str, *, tls: ssl.SSLContext | None = None, timeout: float = 3.0) -> None:
    """Return if a service says that it can do its work at present.

    Args:
        url: The service, ``wss://HOST:PORT``.
        tls: How to verify it; None trusts the CAs of the system.
        timeout: Seconds to wait for a connection, and again for its answer.

    Raises:
        Disconnected: If it cannot; the text has the reason that it gives, or says that it does not answer.
        ConfigurationError: If the URL, or the CA to verify it by, is wrong.
    """
    async with http_client(url, tls=tls, timeout=timeout) as client:
        response = await get(client, "/readyz")
    if response.status_code != HTTPStatus.OK:
        raise Disconnected(f"{url} is not ready: {answer(response.status_code, response.content)}")


def http_client(
    url: str, *, tls: ssl.SSLContext | None, timeout: float, login: tuple[str, str] | None = None
) -> httpx.AsyncClient:
    """Return a client for the HTTP side of a service.

    Args:
        url: The service, as for a WebSocket: ``wss://HOST:PORT``.
        tls: How to verify it; None trusts the CAs of the system.
        timeout: Seconds to wait for a connection, and again for an answer.
        login: User and password.

    Raises:
        ConfigurationError: If it is no such URL.
    """
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url}: {error}") from error
    if base.scheme != "wss" or not base.host or base.userinfo:
        raise ConfigurationError("a service is named by a URL of the form wss://HOST:PORT, without a login")
    return httpx.AsyncClient(
        base_url=base.copy_with(scheme="https"),
        auth=login and httpx.BasicAuth(*login),
        verify=tls or ssl.create_default_context(),
        timeout=timeout,
        trust_env=False,
    )


async def get(
    client: httpx.AsyncClient, path: str, parameters: Mapping[str, int] | None = None
) -> httpx.Response:
    """Return what a service answers, whatever the status.

    Args:
        client: From :func:`http_client`.
        path: What to ask for, percent-encoded.
        parameters: The query.

    Raises:
        Disconnected: If there is no answer in time.
        ConfigurationError: If the service cannot prove who it is.
    """
    try:
        return await client.get(path, params=parameters)
    except httpx.TimeoutException as error:
        raise Disconnected(f"{client.base_url} does not answer within {client.timeout.read:g} s") from error
    except httpx.RequestError as error:
        raise unreachable(str(client.base_url), error) from error
