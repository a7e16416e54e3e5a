"""The TLS context of clients, made with the standard library; what is wrong with a PEM file, in words."""

import os
import shlex
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fanline.errors import ConfigurationError
from fanline.files import typed

CA_CERT: Final = "ca.crt"


def client_context(cert_dir: Path) -> ssl.SSLContext:
    """Create the context of a client that trusts only ``ca.crt`` and checks the host name.

    Raises:
        ConfigurationError: If ``ca.crt`` is missing, unreadable or out of date.
    """
    path = cert_dir / CA_CERT
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    restrict(context)
    try:
        context.load_verify_locations(cadata=read_pem_file(path).decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(no_certificate(path)) from error
    _require_current(context.get_ca_certs(), path)
    return context


def restrict(context: ssl.SSLContext) -> None:
    """Allow TLS 1.2 and newer with forward secrecy and authenticated encryption: no CBC."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")


def read_pem_file(path: Path) -> bytes:
    """Return what a file of the certificate folder holds.

    Raises:
        ConfigurationError: If it is missing or cannot be read; the text says what to do.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        problem = f"there is no such file; {_command('', path)} makes development certificates"
        raise ConfigurationError(f"{path}: {problem}") from error
    except PermissionError as error:
        problem = f"user {os.geteuid()} may not read it; change its owner or its mode, or those of its folder"
        raise ConfigurationError(f"{path}: {problem}") from error
    except OSError as error:  # for example a folder: Docker makes one in place of a missing file
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}); {how_to_replace(path)}"
        ) from error


def no_certificate(path: Path) -> str:
    """Return the sentence for a file without a certificate."""
    return f"{path}: holds no certificate in PEM format; {how_to_replace(path)}"


def not_current(path: Path, begin: datetime, end: datetime) -> str:
    """Return the sentence for a file whose certificate is not valid now."""
    if datetime.now(UTC) < begin:
        return f"{path}: is not valid before {begin:%Y-%m-%d %H:%M} UTC; check the clock of this machine"
    return f"{path}: expired on {end:%Y-%m-%d}; {how_to_renew(path)}"


def how_to_replace(path: Path) -> str:
    """Return what to do about a file that is of no use."""
    make = f"make development certificates with {_command('', path)}"
    return f"replace it, or move every .crt and .key out of {path.parent} and {make}"


def how_to_renew(path: Path) -> str:
    """Return what to do about a certificate that is not valid any more."""
    command = _command(" renew --ca" if path.name == CA_CERT else " renew", path)
    return f"replace it, or run {command} if {CA_CERT} is a development CA"


def _require_current(certificates: list[dict[str, Any]], path: Path) -> None:
    periods = [
        tuple(ssl.cert_time_to_seconds(each[name]) for name in ("notBefore", "notAfter"))
        for each in certificates
    ]
    if not periods or any(begin <= time.time() <= end for begin, end in periods):
        return
    begin, end = (datetime.fromtimestamp(seconds, UTC) for seconds in periods[0])
    raise ConfigurationError(not_current(path, begin, end))


def _command(verb: str, path: Path) -> str:
    """Return the command that calls ``certs`` on the folder of ``path``."""
    return f"`{typed('python')} -m certs{verb} --dir {shlex.quote(str(path.parent))}`"
