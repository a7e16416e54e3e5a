"""Create TLS contexts for servers and clients from the certificate folder.

The folder's files, all in PEM format::

    ca.crt        the only CAs that clients trust
    ca.key        private key of the CA: only ``python -m certs`` reads it, services never do
    server.crt    certificate of every service, followed by intermediate certificates, if any
    server.key    private key of the server
"""

import os
import shlex
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fanline.errors import ConfigurationError

CA_CERT: Final = "ca.crt"
CA_KEY: Final = "ca.key"
SERVER_CERT: Final = "server.crt"
SERVER_KEY: Final = "server.key"


def server_context(cert_dir: Path) -> ssl.SSLContext:
    """Create the context of a listener with ``server.crt``, for TLS 1.2 or newer.

    Raises:
        ConfigurationError: If the certificate or its key is missing, unreadable, out of date, or not a pair.
    """
    certificate_file, key_file = cert_dir / SERVER_CERT, cert_dir / SERVER_KEY
    certificate = read_certificates(certificate_file)[0]
    require_current([certificate], certificate_file)
    if read_key(key_file).public_key() != certificate.public_key():
        raise ConfigurationError(
            f"{key_file}: does not belong to {SERVER_CERT} of the same folder; {_renew(key_file)}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate_file, key_file)
    except ssl.SSLError as error:  # for example a short key or a weak digest
        problem = f"OpenSSL refuses it ({error.reason})"
        raise ConfigurationError(f"{certificate_file}: {problem}; {_replace(certificate_file)}") from error
    return context


def client_context(cert_dir: Path) -> ssl.SSLContext:
    """Create the context of a client that trusts only ``ca.crt`` and checks the host name.

    Raises:
        ConfigurationError: If ``ca.crt`` is missing, unreadable or out of date.
    """
    path = cert_dir / CA_CERT
    authorities = read_certificates(path)
    require_current(authorities, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=b"".join(ca.public_bytes(Encoding.DER) for ca in authorities))
    return context


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, at least one.

    Raises:
        ConfigurationError: If the file has none or cannot be read.
    """
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise ConfigurationError(f"{path}: holds no certificate in PEM format; {_replace(path)}") from error


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a PEM file.

    Raises:
        ConfigurationError: If the file has none or cannot be read, or the key has a passphrase.
    """
    try:
        return load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        hint = "store it without one (`openssl pkey` does that)"
        raise ConfigurationError(f"{path}: has a passphrase, which a service cannot enter; {hint}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: holds no private key in PEM format; {_replace(path)}") from error


def require_current(certificates: Sequence[x509.Certificate], path: Path) -> None:
    """Check that one of the certificates of a file is valid now.

    Raises:
        ConfigurationError: If none is; the text names the file, the date and the command that renews it.
    """
    now = datetime.now(UTC)
    if any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        return
    first = certificates[0]
    if now < first.not_valid_before_utc:
        begin = f"{first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise ConfigurationError(f"{path}: is not valid before {begin}; check the clock of this machine")
    raise ConfigurationError(f"{path}: expired on {first.not_valid_after_utc:%Y-%m-%d}; {_renew(path)}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        problem = f"there is no such file; {_command('', path)} makes development certificates"
        raise ConfigurationError(f"{path}: {problem}") from error
    except PermissionError as error:
        problem = f"user {os.geteuid()} may not read it; change its owner or its mode, or those of its folder"
        raise ConfigurationError(f"{path}: {problem}") from error
    except OSError as error:  # for example a folder: Docker makes one in place of a missing file
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); {_replace(path)}") from error


def _replace(path: Path) -> str:
    make = f"make development certificates with {_command('', path)}"
    return f"replace it, or move every .crt and .key out of {path.parent} and {make}"


def _renew(path: Path) -> str:
    command = _command(" renew --ca" if path.name == CA_CERT else " renew", path)
    return f"replace it, or run {command} if {CA_CERT} is a development CA"


def _command(verb: str, path: Path) -> str:
    """Return the command that calls ``certs`` on the folder of ``path``."""
    return f"`python -m certs{verb} --dir {shlex.quote(str(path.parent))}`"
