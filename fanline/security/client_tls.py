"""TLS context of clients by the standard library; problems of PEM files."""

import logging
import os
import shlex
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fanline.errors import ConfigurationError
from fanline.files import typed, version

CA_CERT: Final = "ca.crt"

logger = logging.getLogger(__name__)


def client_context(
    cert_dir: Path, *, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """Create a client's context, which trusts only ``ca.crt`` and checks host names.

    A client certificate is a login to services that have the setting ``client_ca_file``. All files may be
    replaced while the context is in use, and count for connections from then on. A CA that was trusted before
    stays so.

    Args:
        cert_dir: Folder with ``ca.crt``.
        cert_file: The client's own certificate, followed by intermediate ones; None for none.
        key_file: Its private key; None if it is in ``cert_file``.

    Raises:
        ConfigurationError: If ``ca.crt`` is missing, unreadable or out of date, or if certificate and key
            cannot be used.
    """
    context = _ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    restrict(context)
    pair = None if cert_file is None else (cert_file, key_file or cert_file)
    context.follow(cert_dir / CA_CERT, pair)
    return context


class _ClientContext(ssl.SSLContext):
    """A context that follows its files."""

    _ca_file: Path
    _pair: tuple[Path, Path] | None
    _version: object

    def follow(self, ca_file: Path, pair: tuple[Path, Path] | None) -> None:
        """Load the files, and again whenever they have changed.

        Args:
            ca_file: CA certificates.
            pair: The client certificate and its key; None for none.

        Raises:
            ConfigurationError: If they cannot be used.
        """
        self._ca_file, self._pair = ca_file, pair
        self._version = self._find_version()
        self._load()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a connection: what event loops call for each."""
        if (found := self._find_version()) != self._version:
            self._version = found
            try:
                self._load()
            except ConfigurationError as error:
                logger.error("%s; what was read before remains in use", error)
        return super().wrap_bio(*args, **kwargs)

    def _find_version(self) -> object:
        return [version(path) for path in (self._ca_file, *(self._pair or ()))]

    def _load(self) -> None:
        try:
            self.load_verify_locations(cadata=read_pem_file(self._ca_file).decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise ConfigurationError(no_certificate(self._ca_file)) from error
        _require_current(self.get_ca_certs(), self._ca_file)
        if self._pair is not None:
            # Elsewhere first: an attempt that fails leaves a certificate without its key.
            _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), *self._pair)
            _load_pair(self, *self._pair)


def _load_pair(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    for path in (cert_file, key_file):
        read_pem_file(path)
    try:
        context.load_cert_chain(cert_file, key_file, password="")  # without one OpenSSL would ask for it
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "its key has a passphrase"
        problem = f"is no certificate that can be used with the key in {key_file} ({reason})"
        raise ConfigurationError(f"{cert_file}: {problem}") from error


def restrict(context: ssl.SSLContext) -> None:
    """Allow TLS 1.2 or newer, with forward secrecy and authenticated encryption.

    CBC is excluded.
    """
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
    """Return what to do about an expired certificate."""
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
