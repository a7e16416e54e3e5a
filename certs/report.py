"""Report on a folder's certificates: names, issuer, expiry, key modes, problems."""

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from rich.table import Table
from rich.text import Text

from certs.handshake import verify
from certs.names import spell
from fanline.errors import ConfigurationError
from fanline.security.client_tls import CA_CERT, client_context
from fanline.security.tls import CA_KEY, SERVER_CERT, SERVER_KEY, names_of, read_certificates, server_context

_OTHERS: Final = stat.S_IRWXO  # permissions of users outside the group


def tables(folder: Path) -> Iterator[Table]:
    """Yield a table for each readable certificate; :func:`problems` names the others."""
    for certificate_name, key_name in ((CA_CERT, CA_KEY), (SERVER_CERT, SERVER_KEY)):
        path = folder / certificate_name
        try:
            certificate = read_certificates(path)[0]
        except ConfigurationError:
            continue
        yield _table(path, certificate, folder / key_name)


def problems(folder: Path) -> list[str]:
    """Return a sentence for each unusable certificate and exposed key."""
    unusable = [*_complaints(client_context, folder), *_complaints(server_context, folder)]
    return [*(unusable or _complaints(verify, folder)), *_exposed_keys(folder)]


def lifetime(certificate: x509.Certificate) -> str:
    """Return the date on which a certificate expires, and the days left."""
    end = certificate.not_valid_after_utc
    left = (end - datetime.now(UTC)).days
    return f"{end:%Y-%m-%d}, {left} days left" if left >= 0 else f"{end:%Y-%m-%d}, expired"


def _table(path: Path, certificate: x509.Certificate, key: Path) -> Table:
    table = Table(title=Text(str(path)), title_justify="left", show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _facts(certificate, key):
        table.add_row(label, Text(value))
    return table


def _facts(certificate: x509.Certificate, key: Path) -> Iterator[tuple[str, str]]:
    yield "subject", certificate.subject.rfc4514_string()
    if names := names_of(certificate):
        yield "names", spell(names)
    yield "issuer", certificate.issuer.rfc4514_string()
    yield "SHA-256", certificate.fingerprint(SHA256()).hex()
    yield "expires", lifetime(certificate)
    mode = _mode(key)
    yield "private key", "not here" if mode is None else f"{key}, mode {mode:04o}"


def _complaints(check: Callable[[Path], object], folder: Path) -> list[str]:
    try:
        check(folder)
    except ConfigurationError as error:
        return [str(error)]
    return []


def _exposed_keys(folder: Path) -> Iterator[str]:
    for key in (folder / CA_KEY, folder / SERVER_KEY):
        if (_mode(key) or 0) & _OTHERS:
            hint = "`chmod 600` it, and renew it if another user may have read it"
            yield f"{key}: is open to every user of this machine; {hint}"


def _mode(path: Path) -> int | None:
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    return None
