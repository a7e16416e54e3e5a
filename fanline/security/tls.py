"""TLS contexts of servers, by the certificate folder.

The folder's files, all in PEM format::

    ca.crt        the only CAs that clients trust
    ca.key        private key of the CA: only ``python -m certs`` reads it, services never do
    server.crt    certificate of every service, followed by intermediate certificates, if any
    server.key    private key of the server

A client may have a certificate as well, which TLS verifies by the CAs in ``client_ca_file``. It is a login of
the user whose name is its common name, or one of its alternative names (DNS names, e-mail addresses).
"""

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from fanline import files
from fanline.errors import ConfigurationError
from fanline.security.client_tls import (
    client_context,
    how_to_renew,
    how_to_replace,
    no_certificate,
    not_current,
    read_pem_file,
    restrict,
)
from fanline.settings import Settings

CA_KEY: Final = "ca.key"
SERVER_CERT: Final = "server.crt"
SERVER_KEY: Final = "server.key"

# Days before a certificate expires from which on a service says so.
WARNING_DAYS: Final = 14

_DAY: Final = 86_400.0

_KINDS: Final = frozenset({"DNS", "email"})

logger = logging.getLogger(__name__)

Name = x509.DNSName | x509.IPAddress


def server_context(cert_dir: Path, client_ca_file: Path | None = None) -> ssl.SSLContext:
    """Create a listener's context with ``server.crt``, for TLS 1.2 or newer.

    Args:
        cert_dir: Folder of the certificate.
        client_ca_file: CA certificates; a client may show a certificate of theirs, and no other. None asks
            clients for none.

    Raises:
        ConfigurationError: If the certificate or its key is missing, unreadable, out of date, or not a pair,
            or if the CA certificates cannot be used.
    """
    certificate_file, key_file = cert_dir / SERVER_CERT, cert_dir / SERVER_KEY
    certificate = read_certificates(certificate_file)[0]
    require_current([certificate], certificate_file)
    if read_key(key_file).public_key() != certificate.public_key():
        raise ConfigurationError(
            f"{key_file}: does not belong to {SERVER_CERT} of the same folder; {how_to_renew(key_file)}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restrict(context)
    context.num_tickets = 1  # a second one would cost each new connection 4 % of its CPU
    try:
        context.load_cert_chain(certificate_file, key_file)
    except ssl.SSLError as error:  # for example a short key or a weak digest
        problem = f"OpenSSL refuses it ({error.reason})"
        raise ConfigurationError(
            f"{certificate_file}: {problem}; {how_to_replace(certificate_file)}"
        ) from error
    if client_ca_file is not None:
        authorities = read_certificates(client_ca_file)
        require_current(authorities, client_ca_file)
        pem = "".join(each.public_bytes(Encoding.PEM).decode() for each in authorities)
        context.load_verify_locations(cadata=pem)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class ServerCertificate:
    """The certificate of a listener, which follows its files.

    A change counts when two looks have found the same: certificate and key are replaced one after the other.
    New files that cannot be used are reported, and the certificate from before remains in use.

    Args:
        cert_dir: Folder with the files.
        client_ca_file: As for :func:`server_context`; followed likewise.

    Attributes:
        context: For the connections that begin from now on.
        expires: When it expires, in Unix seconds.
        names: Names and addresses that it is valid for.
        authorities: What ``client_ca_file`` holds; None without one.
        problem: Why the files as they are now cannot be used; None if they are in use.

    Raises:
        ConfigurationError: As for :func:`server_context`.
    """

    def __init__(self, cert_dir: Path, client_ca_file: Path | None = None) -> None:
        self.problem: str | None = None
        self._cert_dir = cert_dir
        self._client_ca_file = client_ca_file
        self._next_warning = 0.0
        self._version = self._seen = self._find_version()
        self._load()

    def look(self, *, is_final: bool = False) -> bool:
        """Load changed files; return whether the certificate is another one.

        Args:
            is_final: Load a change at once, because an operator says that it is complete.
        """
        before, self._seen = self._seen, self._find_version()
        if self._seen == self._version or not (is_final or self._seen == before):
            return False
        self._version = self._seen
        try:
            self._load()
        except ConfigurationError as error:
            self.problem = f"{error}; the certificate from before remains in use"
            logger.error("%s", self.problem)
            return False
        self.problem = None
        logger.info("%s: loaded again", self._cert_dir / SERVER_CERT)
        return True

    def warn_of_expiry(self, now: float) -> None:
        """Log a warning daily in the last :data:`WARNING_DAYS` days before expiry.

        Args:
            now: Unix seconds.
        """
        days = (self.expires - now) / _DAY
        if days > WARNING_DAYS or now < self._next_warning:
            return
        self._next_warning = now + _DAY
        path = self._cert_dir / SERVER_CERT
        end = datetime.fromtimestamp(self.expires, UTC)
        when = f"expires in {days:.1f} days" if days > 0 else f"expired {-days:.1f} days ago"
        logger.warning("%s: %s, on %s; %s", path, when, f"{end:%Y-%m-%d %H:%M} UTC", how_to_renew(path))

    def _load(self) -> None:
        context = server_context(self._cert_dir, self._client_ca_file)
        self.authorities = self._client_ca_file and self._client_ca_file.read_bytes()
        certificate = read_certificates(self._cert_dir / SERVER_CERT)[0]
        self.context = context
        self._next_warning = 0.0
        self.expires = certificate.not_valid_after_utc.timestamp()
        self.names = [str(name.value) for name in names_of(certificate)]

    def _find_version(self) -> object:
        paths = (self._cert_dir / SERVER_CERT, self._cert_dir / SERVER_KEY, self._client_ca_file)
        return [files.version(path) for path in paths if path is not None]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that a client has shown, and that TLS has verified.

    Attributes:
        names: The names in it.
        expires: When it expires, in Unix seconds.
    """

    names: frozenset[str]
    expires: float

    @classmethod
    def from_tls(cls, shown: Mapping[str, Any] | None) -> Self | None:
        """Return the certificate of a connection; None without one.

        Args:
            shown: What :meth:`ssl.SSLSocket.getpeercert` returns.
        """
        if not shown:
            return None
        common = {value for part in shown["subject"] for name, value in part if name == "commonName"}
        others = {value for kind, value in shown.get("subjectAltName", ()) if kind in _KINDS}
        return cls(frozenset(common | others), ssl.cert_time_to_seconds(shown["notAfter"]))


def names_in(certificate: x509.Certificate) -> set[str]:
    """Return the names under which a client certificate is a login."""
    names = {str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names | {each.value for each in others if isinstance(each, x509.DNSName | x509.RFC822Name)}


def link_context(settings: Settings) -> ssl.SSLContext:
    """Create the TLS context of a service that connects to another one.

    Args:
        settings: Those of the installation; with ``link_cert_file``, the certificate of the service is in it.

    Raises:
        ConfigurationError: As for :func:`~fanline.security.client_tls.client_context`.
    """
    return client_context(
        settings.cert_dir, cert_file=settings.link_cert_file, key_file=settings.link_key_file
    )


def check_link_certificate(settings: Settings) -> None:
    """Check the certificate by which a service logs in to others.

    There may be none.

    Raises:
        ConfigurationError: If the certificate cannot be read, is out of date, or is not of ``link_user``.
    """
    path = settings.link_cert_file
    if path is None:
        if settings.link_key_file is not None:
            raise ConfigurationError("link_key_file is set, and link_cert_file is not: set both")
        return
    certificate = read_certificates(path)[0]
    require_current([certificate], path)
    if settings.link_user not in (names := names_in(certificate)):
        has = ", ".join(sorted(names)) or "no name"
        raise ConfigurationError(
            f"link_cert_file {path}: is not of the user {settings.link_user} (link_user): it has {has}"
        )


def names_of(certificate: x509.Certificate) -> list[Name]:
    """Return the names that a certificate is valid for.

    Its common name does not count (RFC 9525, 2).
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name for name in extension.value if isinstance(name, Name)]


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, at least one.

    Raises:
        ConfigurationError: If the file has none or cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(read_pem_file(path))
    except ValueError as error:
        raise ConfigurationError(no_certificate(path)) from error


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a PEM file.

    Raises:
        ConfigurationError: If the file has none or cannot be read, or the key has a passphrase.
    """
    try:
        return load_pem_private_key(read_pem_file(path), password=None)
    except TypeError as error:
        hint = "store it without one (`openssl pkey` does that)"
        raise ConfigurationError(f"{path}: has a passphrase, which a service cannot enter; {hint}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path}: holds no private key in PEM format; {how_to_replace(path)}"
        ) from error


def require_current(certificates: Sequence[x509.Certificate], path: Path) -> None:
    """Check that one of the certificates of a file is valid now.

    Raises:
        ConfigurationError: If none is; the text names the file, the date and the command that renews it.
    """
    now = datetime.now(UTC)
    if any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        return
    first = certificates[0]
    raise ConfigurationError(not_current(path, first.not_valid_before_utc, first.not_valid_after_utc))
