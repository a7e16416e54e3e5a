"""Translation of libraries' exceptions to those of Fanline, in plain sentences.

The libraries for HTTP, WebSockets, TLS and sockets have exceptions of their own, wrapped up in one another.
They become ours here, and nowhere else.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

import msgspec

from fanline.errors import ConfigurationError, Disconnected, ErrorCode, LoginRefused, Rejected
from fanline.protocol import split_array

# Of the statuses in the range of client errors, those that time can heal.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


# What OpenSSL calls the alerts about a certificate (RFC 8446, 6.2).
_CERTIFICATE_ALERTS: Final = re.compile(r"_ALERT_(.*CERTIFICATE.*|UNKNOWN_CA|ACCESS_DENIED)")


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    reason: str = ""


_ERROR_CODES: Final = frozenset(ErrorCode)
_decode_problem: Final = msgspec.json.Decoder(_Problem).decode


def take_each(frame: bytes, take: Callable[[bytes], None], url: str) -> None:
    """Hand over each JSON text of a frame: elements, or one value.

    Args:
        frame: What has come.
        take: Decodes and takes one of them.
        url: Where the frame comes from.

    Raises:
        Disconnected: If it is not JSON.
    """
    try:
        for body in split_array(frame):
            take(body)
    except msgspec.DecodeError as error:
        raise Disconnected(f"{url} has sent what is not JSON") from error


def rejected(status: int, body: bytes) -> Rejected | None:
    """Return the refusal in an answer with an :class:`~fanline.ErrorCode`, or None."""
    try:
        code = _decode_problem(body).code
    except msgspec.MsgspecError:
        return None
    return Rejected(code, answer(status, body)) if code in _ERROR_CODES else None


def refused(url: str, status: int, body: bytes, *, login: str) -> Disconnected | ConfigurationError:
    """Return the error for an unexpected answer of a server.

    Args:
        url: What it was asked for.
        status: Its answer.
        body: What came with it.
        login: As whom it was asked, in words without secrets.

    Returns:
        LoginRefused or ConfigurationError if trying again cannot help, else another Disconnected.
    """
    said = answer(status, body)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return LoginRefused(f"{url} refuses {login}: {said}")
    if 300 <= status < 400:
        return ConfigurationError(f"{url} redirects, which is not followed: give the address of the service")
    if 400 <= status < 500 and status not in _PASSING:
        return ConfigurationError(f"{url}: {said}")
    return Disconnected(f"{url} cannot serve at present: {said}")


def answer(status: int, body: bytes) -> str:
    """Return an answer's words: the problem's ``detail``, or status and first line."""
    try:
        problem = _decode_problem(body)
    except msgspec.MsgspecError:
        pass
    else:
        if sentence := problem.detail or problem.reason:
            return sentence
    lines = body.decode(errors="replace").strip().splitlines()
    said = f"HTTP {status}"
    return f"{said}, {lines[0][:200]}" if lines else said


def unreachable(url: str, error: BaseException, hint: str = "") -> Disconnected | ConfigurationError:
    """Return the error for a missing connection or answer.

    Args:
        url: The server.
        error: As a library has raised it.
        hint: How to find out more, after a semicolon, where the cause may be elsewhere.

    Returns:
        ConfigurationError if the server cannot prove who it is, LoginRefused if it does not trust the
        certificate of this client, else another Disconnected.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = f"its certificate cannot be trusted ({cause.verify_message})"
            advice = "check the host name, and the CA that it is verified by"
            return ConfigurationError(f"{url}: {problem}; {advice}")
        if isinstance(cause, ssl.SSLError) and (alert := _CERTIFICATE_ALERTS.search(cause.reason or "")):
            said = alert[1].replace("_", " ").lower()
            return LoginRefused(f"{url} refuses the client certificate ({said})")
    return Disconnected(f"{url} cannot be reached: {_reason(error)}{hint}")


def _reason(error: BaseException) -> str:
    """Return why, in the words of the system where it has any."""
    for cause in _causes(error):
        # A name with several addresses gives one error for each, perhaps all in one text.
        if isinstance(cause, OSError) and (number := re.search(r"\[Errno (\d+)\]", str(cause))):
            return os.strerror(int(number[1])).lower()
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, TimeoutError):
            return "no answer in time"
    return str(error) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__
