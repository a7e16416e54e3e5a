"""Where to connect, and as whom."""

import getpass
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from clientdemo.lines import STDIN
from fanline.errors import ConfigurationError
from fanline.security.tls import client_context
from fanline.settings import Settings

PASSWORD_VARIABLE: Final = "CLIENTDEMO_PASSWORD"


@dataclass(frozen=True)
class Login:
    """What both clients are made with."""

    publisher_url: str
    subscriber_url: str
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext


@dataclass(frozen=True)
class ChatLogin:
    """What it takes to come into a room of chat.

    Attributes:
        url: The service.
        name: The display name; None for a guest, whose name the service makes up.
        password: The password of the service; a guest needs none.
        tls: What the service is verified by.
    """

    url: str
    name: str | None
    password: str = field(repr=False)
    tls: ssl.SSLContext


def read_password(user: str | None, file: Path | None, settings: Settings) -> str:
    """Return the password: from the environment, from a file, the one of the installation, or as typed.

    Args:
        user: Who logs in; None for the user of the installation.
        file: A file whose first line it is.
        settings: The settings of the installation.

    Raises:
        ConfigurationError: If there is none, or the file cannot be read.
    """
    given = _given_password(file)
    if given is not None:
        return given
    if user is None or user == settings.link_user:
        return settings.link_secret()
    return _ask(user)


def read_chat_password(name: str, url: str, file: Path | None, settings: Settings) -> str:
    """Return the password of a chat service, from the same places as :func:`read_password`.

    Args:
        name: Who logs in.
        url: The service; the settings know the password of that on this machine alone.
        file: A file whose first line it is.
        settings: The settings of the installation.

    Raises:
        ConfigurationError: If there is none, or the file cannot be read.
    """
    given = _given_password(file)
    if given is not None:
        return given
    return settings.chat_secret() if url == chat_url(settings) else _ask(name)


def chat_url(settings: Settings) -> str:
    """Return where chat is on this machine."""
    return f"wss://localhost:{settings.chat_port}"


def require_service_url(url: str) -> None:
    """Raise :class:`~fanline.errors.ConfigurationError` unless a URL has the form ``wss://HOST:PORT``."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url}: {error}") from error
    if parts.scheme != "wss" or not parts.host or parts.userinfo:
        raise ConfigurationError("a service is named by a URL of the form wss://HOST:PORT, without a login")


def trust(cafile: Path | None, cert_dir: Path) -> ssl.SSLContext:
    """Return what the services are verified by: a CA file, or the CA of the installation.

    Raises:
        ConfigurationError: If the file is missing or holds no certificate.
    """
    if cafile is None:
        return client_context(cert_dir)
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # ssl.SSLError is one
        reason = "holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"--cafile {cafile}: {reason}") from error


def _given_password(file: Path | None) -> str | None:
    given = os.environ.get(PASSWORD_VARIABLE)
    return _first_line(file) if given is None and file is not None else given


def _ask(user: str) -> str:
    if not os.isatty(STDIN):
        hint = f"set {PASSWORD_VARIABLE}, or name a file with --password-file"
        raise ConfigurationError(f"user {user}: there is no password; {hint}")
    try:
        return getpass.getpass(f"Password of {user}: ")
    except EOFError:
        raise ConfigurationError(f"user {user}: no password was typed") from None


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigurationError(f"--password-file {path}: {reason}") from error
    if not lines or not lines[0]:
        raise ConfigurationError(f"--password-file {path}: the first line is empty")
    return lines[0]
