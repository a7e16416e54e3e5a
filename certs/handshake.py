"""Check of a certificates' folder by a TLS handshake."""

import ssl
from contextlib import suppress
from pathlib import Path

from fanline.errors import ConfigurationError
from fanline.security.client_tls import CA_CERT, client_context
from fanline.security.tls import SERVER_CERT, names_of, read_certificates, server_context


def verify(folder: Path) -> None:
    """Perform a handshake in memory, with the contexts of services and clients.

    Raises:
        ConfigurationError: If either side has no usable certificates, or the client refuses the server's.
    """
    path = folder / SERVER_CERT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(folder).wrap_bio(to_server, to_client, server_side=True)
    client = client_context(folder).wrap_bio(to_client, to_server, server_hostname=_host_name(path))
    try:
        for side in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        problem = f"a client that trusts {CA_CERT} of the same folder refuses it ({error.verify_message})"
        raise ConfigurationError(f"{path}: {problem}; replace one of them") from error


def _host_name(path: Path) -> str:
    """Return a host for which the certificate in ``path`` should be accepted."""
    names = names_of(read_certificates(path)[0])
    if not names:
        problem = "is valid for no name (subjectAltName), and every client refuses it"
        raise ConfigurationError(f"{path}: {problem}; replace it")
    return str(names[0].value)
