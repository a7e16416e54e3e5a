from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import certs
from certs.authority import Pair, issue
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import CA_KEY, SERVER_CERT, SERVER_KEY, names_of, read_certificates, read_key

Snapshot = Callable[[], dict[str, bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "certs"


@pytest.fixture
def made(folder: Path) -> Path:
    """A folder with development certificates."""
    certs.ensure(folder)
    return folder


@pytest.fixture
def made_elsewhere(made: Path) -> Path:
    """A folder with certificates made elsewhere, without the key of their CA."""
    (made / CA_KEY).unlink()
    return made


@pytest.fixture
def expired(made: Path) -> Path:
    """A folder whose server certificate has expired, a day ago."""
    authority = Pair(read_certificates(made / CA_CERT)[0], read_key(made / CA_KEY))  # type: ignore[arg-type]
    names = names_of(read_certificates(made / SERVER_CERT)[0])
    server = issue(authority, names, datetime.now(UTC) - timedelta(days=398))
    (made / SERVER_CERT).write_bytes(server.certificate_pem())
    (made / SERVER_KEY).write_bytes(server.key_pem())
    return made


@pytest.fixture
def contents(folder: Path) -> Snapshot:
    """A function that returns the content of every file in the folder."""
    return lambda: {path.name: path.read_bytes() for path in folder.iterdir()}
