"""Publishing of one message by HTTP, for scripts."""

import asyncio
import secrets
import ssl
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec

from fanline.backoff import Backoff
from fanline.client.transport.https import HttpsClient
from fanline.client.transport.login import Login, Token
from fanline.client.transport.translate import refused, rejected
from fanline.errors import ConfigurationError, Disconnected, ErrorCode, LoginRefused
from fanline.protocol import Ack, encode_content
from fanline.protocol.topics import require_topic

_STORED: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_PASSING: Final = frozenset({ErrorCode.QUEUE_UNAVAILABLE, ErrorCode.RATE_LIMITED})
_decode_ack: Final = msgspec.json.Decoder(Ack).decode


async def publish(  # noqa: PLR0913 - each is one fact about a message or its way
    topic: str,
    content: Any,
    *,
    url: str = "wss://localhost:8081",
    user: str | None = None,
    password: str | None = None,
    token: Token | None = None,
    tls: ssl.SSLContext | None = None,
    id: str | None = None,  # noqa: A002 - wire name
    traceparent: str | None = None,
    timeout: float = 30.0,
) -> Ack:
    """Publish one message, and return when it is on disk.

    It is sent again, and stored once, while the service is out of reach. For more than a few messages a
    :class:`~fanline.Publisher` is faster: this makes a connection each time.

    Args:
        topic: Where to publish it.
        content: Anything that can be written as JSON; a :class:`msgspec.Raw` is JSON text already.
        url: The publisher service, ``wss://HOST:PORT``.
        user: Who to log in as.
        password: The password.
        token: Instead of these, a token, or a function that returns one or an awaitable of one.
        tls: How to verify the server; None trusts the CAs of the system. Without user and token its
            client certificate is the login.
        id: Its idempotency key, to call this again with; made up if None.
        traceparent: The trace that it belongs to (W3C Trace Context).
        timeout: Seconds after which to give up; it may be stored nevertheless.

    Raises:
        Rejected: If the message is refused, or cannot be written as JSON.
        LoginRefused: If the user is refused.
        Disconnected: If there was no ack in time.
        ConfigurationError: If it is no publisher service, cannot prove who it is, or there is no login.
    """
    require_topic(topic)
    body = bytes(encode_content(content))
    login = Login.of(user, password, token, tls)
    client = HttpsClient(url, tls=tls, timeout=timeout, login=login)
    path = f"/topics/{quote(topic, safe='')}/messages"
    headers = {"Idempotency-Key": f'"{id or secrets.token_urlsafe(12)}"'}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    backoff = Backoff()
    problem = "it does not answer"
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await _post(client, path, body, headers, login=login.who)
                except LoginRefused:
                    raise
                except Disconnected as error:
                    problem = str(error)
                await asyncio.sleep(backoff.next())
    except TimeoutError as error:
        raise Disconnected(f"no ack within {timeout:g} s: {problem}") from error
    finally:
        client.close()


async def _post(client: HttpsClient, path: str, body: bytes, headers: dict[str, str], *, login: str) -> Ack:
    response = await client.request("POST", path, body=body, headers=headers)
    if response.status in _STORED:
        try:
            return _decode_ack(response.body)
        except msgspec.DecodeError:
            reason = f"{client.url}: does not answer as a publisher service"
            raise ConfigurationError(reason) from None
    refusal = rejected(response.status, response.body)
    if refusal is None:
        raise refused(client.url, response.status, response.body, login=login)
    if refusal.code in _PASSING:
        raise Disconnected(f"{client.url}: {refusal.reason}")
    raise refusal
