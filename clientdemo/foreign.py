"""What goes wrong between this program and a chat service, in our own errors."""

import os
import re
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import msgspec

from fanline.errors import ConfigurationError, Disconnected, FanlineError, LoginRefused

# Of the statuses in the range of client errors, those that time can heal.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class _Problem(msgspec.Struct):
    reason: str


def refused(url: str, status: int, body: bytes) -> FanlineError:
    """Return what it means that a server has answered with something else than what it was asked for.

    Args:
        url: What it was asked for.
        status: Its answer.
        body: What came with it; best ``{"error", "reason"}`` as JSON.

    Returns:
        Disconnected if trying again may help, else LoginRefused or ConfigurationError.
    """
    said = _said(status, body)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return LoginRefused(f"{url} refuses the login: {said}")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        return ConfigurationError(f"{url}: {said}")
    return Disconnected(f"{url} cannot serve at present: {said}")


def unreachable(url: str, error: Exception) -> ConfigurationError | Disconnected:
    """Return what it means that there is no connection to a server, or no answer.

    Args:
        url: The server.
        error: As the library for HTTP or WebSockets has raised it.

    Returns:
        Disconnected if trying again may help, else ConfigurationError.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = f"its certificate cannot be trusted ({cause.verify_message})"
            hint = "check the host name, and the CA that it is verified by"
            return ConfigurationError(f"{url}: {problem}; {hint}")
    return Disconnected(f"{url} cannot be reached: {_reason(error)}")


def _said(status: int, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).reason
    except msgspec.DecodeError:
        return f"HTTP {status}"


def _reason(error: Exception) -> str:
    """Return why, in the words of the system where it has any: the libraries wrap them up."""
    for cause in _causes(error):
        # A name with several addresses gives one error for each, perhaps all in one text.
        if isinstance(cause, OSError) and (found := re.search(r"\[Errno (\d+)\]", str(cause))):
            return os.strerror(int(found[1])).lower()
        if isinstance(cause, OSError) and cause.strerror:  # a name that nobody knows
            return cause.strerror.lower()
        if isinstance(cause, TimeoutError):
            return "no answer in time"
    return str(error) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__
