"""Tests of what foreign errors become."""

import socket
import ssl

import httpx
import pytest

from fanline.client.transport.translate import answer, refused, unreachable
from fanline.errors import ConfigurationError, Disconnected, LoginRefused

URL = "wss://localhost:8081"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, LoginRefused, f"{URL} refuses user 'eve': HTTP 401, who are you?"),
        (403, LoginRefused, f"{URL} refuses user 'eve': HTTP 403, who are you?"),
        (301, ConfigurationError, f"{URL} redirects, which is not followed: give the address of the service"),
        (404, ConfigurationError, f"{URL}: HTTP 404, who are you?"),
        (408, Disconnected, f"{URL} cannot serve at present: HTTP 408, who are you?"),
        (429, Disconnected, f"{URL} cannot serve at present: HTTP 429, who are you?"),
        (503, Disconnected, f"{URL} cannot serve at present: HTTP 503, who are you?"),
        (200, Disconnected, f"{URL} cannot serve at present: HTTP 200, who are you?"),
    ],
)
def test_another_answer(status: int, error: type[Exception], words: str) -> None:
    """Errors that retrying may fix differ from others, and each has a sentence."""
    found = refused(URL, status, b"who are you?\nsay it", login="user 'eve'")
    assert type(found) is error
    assert str(found) == words


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "HTTP 404"),
        (b" \n", "HTTP 404"),
        (b"first\nsecond", "HTTP 404, first"),
        (b"\xff", "HTTP 404, \ufffd"),
        (b"x" * 300, "HTTP 404, " + "x" * 200),
        (b'{"error":"gone","reason":"the room is gone"}', "the room is gone"),
        (b'{"reason":7}', 'HTTP 404, {"reason":7}'),
    ],
)
def test_what_a_server_said(body: bytes, said: str) -> None:
    """The reason, if it gives one as our services do, or else the status and one line."""
    assert answer(404, body) == said


def wrapped(error: Exception) -> Exception:
    """An error as httpx and anyio pass it on: the cause of a group, which is the context of another."""
    outer = httpx.ConnectError("All connection attempts failed")
    outer.__cause__ = ExceptionGroup("multiple connection attempts failed", [error])
    return outer


OF_THE_SYSTEM = [
    (ConnectionRefusedError(111, "Connect call failed ('::1', 1)"), "connection refused"),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"), "connection refused"),
    (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    (TimeoutError(), "no answer in time"),
]


@pytest.mark.parametrize(
    ("error", "reason"), [*OF_THE_SYSTEM, (httpx.ReadError("cut"), "cut"), (EOFError(), "EOFError")]
)
def test_no_connection(error: Exception, reason: str) -> None:
    """Whatever a library has raised, there is a reason in words."""
    found = unreachable(URL, error)
    assert type(found) is Disconnected
    assert str(found) == f"{URL} cannot be reached: {reason}"


@pytest.mark.parametrize(("error", "reason"), OF_THE_SYSTEM)
def test_no_connection_in_other_words(error: Exception, reason: str) -> None:
    """However it is wrapped up, the reason is that of the system."""
    assert str(unreachable(URL, wrapped(error))) == f"{URL} cannot be reached: {reason}"


def test_a_server_that_refuses_the_certificate() -> None:
    """A client whose certificate the server does not trust does not try again (line 53)."""
    error = ssl.SSLError(1, "")
    error.reason = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
    found = unreachable(URL, wrapped(error))
    assert type(found) is LoginRefused
    assert str(found) == f"{URL} refuses the client certificate (certificate expired)"


def test_a_server_that_cannot_prove_who_it_is() -> None:
    """That is for the operator to put right."""
    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_message = "self-signed certificate"
    for found in (unreachable(URL, error), unreachable(URL, wrapped(error))):
        assert type(found) is ConfigurationError
        assert "cannot be trusted (self-signed certificate); check the host name" in str(found)
