"""The proof that certificates work: it fails whenever a real client would refuse."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

import certs
from certs.authority import Pair, issue, make_authority, permits
from certs.names import parse_names
from fanline.errors import ConfigurationError
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import SERVER_CERT, SERVER_KEY


def test_development_certificates_work(made: Path) -> None:
    """A client accepts what `ensure` makes."""
    certs.verify(made)


def test_a_server_of_another_ca_is_refused(made: Path, tmp_path: Path) -> None:
    """A server certificate that the CA did not sign is reported, with what the client says about it."""
    certs.ensure(tmp_path / "other")
    shutil.copy(tmp_path / "other" / CA_CERT, made)
    with pytest.raises(ConfigurationError) as caught:
        certs.verify(made)
    assert str(caught.value).startswith(f"{made / SERVER_CERT}: a client that trusts ca.crt")
    assert "unable to get local issuer certificate" in str(caught.value)


@pytest.mark.parametrize("name", ["*.example.com", "192.0.2.7", "queue.example.com"])
def test_any_kind_of_name_will_do(folder: Path, name: str) -> None:
    """Certificates for a wildcard, an address or a single host work as well."""
    put(folder, make_authority(datetime.now(UTC), parse_names([name])), name)
    certs.verify(folder)


@pytest.mark.parametrize(
    ("name", "is_trusted"),
    [
        ("queue.example.com", True),
        ("a.queue.example.com", True),
        ("queue.internal", True),
        ("192.168.7.9", True),
        ("fd00::7", True),
        ("bank.example", False),
        ("example.com", False),
        ("192.0.2.7", False),
        ("2001:db8::7", False),
    ],
)
def test_the_ca_is_of_no_use_for_other_sites(folder: Path, name: str, is_trusted: bool) -> None:
    """A certificate for a public site, issued with a stolen key of the CA, is refused by clients."""
    authority = make_authority(datetime.now(UTC), parse_names(["queue.example.com"]))
    assert permits(authority.certificate, parse_names([name])[0]) is is_trusted
    put(folder, authority, name)
    if is_trusted:
        certs.verify(folder)
        return
    with pytest.raises(ConfigurationError, match="permitted subtree violation"):
        certs.verify(folder)


def put(folder: Path, authority: Pair, name: str) -> None:
    server = issue(authority, parse_names([name]), datetime.now(UTC))
    folder.mkdir()
    (folder / CA_CERT).write_bytes(authority.certificate_pem())
    (folder / SERVER_CERT).write_bytes(server.certificate_pem())
    (folder / SERVER_KEY).write_bytes(server.key_pem())


def test_a_certificate_without_names_is_refused(folder: Path) -> None:
    """A certificate that no client would accept for any host is reported as such."""
    authority = make_authority(datetime.now(UTC))
    folder.mkdir()
    (folder / CA_CERT).write_bytes(authority.certificate_pem())
    (folder / SERVER_CERT).write_bytes(authority.certificate_pem())
    (folder / SERVER_KEY).write_bytes(authority.key_pem())
    with pytest.raises(ConfigurationError, match=r"server\.crt: is valid for no name"):
        certs.verify(folder)
