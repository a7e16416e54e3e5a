"""Services, credentials and CA by options and settings."""

import getpass
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clientdemo.console.lines import STDIN
from fanline import ConfigurationError, client_context
from fanline.setting_sources import read_service
from fanline.settings import ServiceSettings, Settings, read_secret

_PASSWORD_VARIABLE: Final = "CLIENTDEMO_PASSWORD"


@dataclass(frozen=True)
class PipelineLogin:
    """Services and credentials of the publisher and subscriber clients.

    Attributes:
        publisher_url: URL of the publisher service.
        subscriber_url: URL of the subscriber service.
        user: User name; None if the client certificate is the login.
        password: Its password; None likewise.
        tls: TLS context that verifies the services.
    """

    publisher_url: str
    subscriber_url: str
    user: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext


@dataclass(frozen=True)
class ChatLogin:
    """Service and credentials of a chat client.

    Attributes:
        url: URL of the service.
        name: Display name; None for a guest, who gets one from the service.
        password: Password of the service; empty for a guest.
        tls: TLS context that verifies the service.
    """

    url: str
    name: str | None
    password: str = field(repr=False)
    tls: ssl.SSLContext


def read_password(user: str | None, file: Path | None, settings: Settings) -> str | None:
    """Return the password from environment, file, settings or keyboard.

    None means that a client certificate of the settings is the login.

    Args:
        user: User name; None for the user of the settings.
        file: File whose first line is the password.
        settings: Settings of the installation.

    Raises:
        ConfigurationError: If there is no password, or the file cannot be read.
    """
    given = _given_password(file)
    if given is not None:
        return given
    if user is None or user == settings.link_user:
        return settings.link_secret()
    return _ask(user)


def read_chat_password(name: str, url: str, file: Path | None, settings: ServiceSettings) -> str:
    """Return a chat service's password, found as by :func:`read_password`.

    Args:
        name: Display name.
        url: URL of the service; the settings have the password of the local one only.
        file: File whose first line is the password.
        settings: Settings of chat.

    Raises:
        ConfigurationError: If there is no password, or the file cannot be read.
    """
    given = _given_password(file)
    if given is not None:
        return given
    return settings.client_password() if url == local_url("chat") else _ask(name)


def local_url(service: str) -> str:
    """Return the URL of a service on this machine."""
    settings = read_service(service)
    return f"wss://localhost:{settings.serve_port or settings.port}"


def trust(
    cafile: Path | None, cert_dir: Path, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Create the TLS context that verifies the services.

    It uses a CA file, or the settings.

    Args:
        cafile: CA certificates; None for those of the folder.
        cert_dir: The folder of the settings.
        cert: Client certificate to log in with; None for none.
        key: Its private key; None if it is in ``cert``.

    Raises:
        ConfigurationError: If a file is missing or cannot be used.
    """
    if cafile is None:
        return client_context(cert_dir, cert_file=cert, key_file=key)
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:  # also the base class of ssl.SSLError
        reason = "holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"--cafile {cafile}: {reason}") from error
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise ConfigurationError(f"--cert {cert}: cannot be used ({reason})") from error
    return context


def _given_password(file: Path | None) -> str | None:
    return os.environ.get(_PASSWORD_VARIABLE) or read_secret("--password-file", None, file)


def _ask(user: str) -> str:
    if not os.isatty(STDIN):
        hint = f"set {_PASSWORD_VARIABLE}, or name a file with --password-file"
        raise ConfigurationError(f"user {user}: there is no password; {hint}")
    try:
        return getpass.getpass(f"Password of {user}: ")
    except EOFError:
        raise ConfigurationError(f"user {user}: no password was typed") from None
