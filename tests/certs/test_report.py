"""The report on a folder: what it shows of certificates, and every problem that it finds."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from rich.console import Console

import certs
from certs.report import lifetime, problems, tables
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import CA_KEY, SERVER_CERT, SERVER_KEY, read_certificates


def text_of(folder: Path) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        for table in tables(folder):
            console.print(table)
    return captured.get()


def test_all_that_matters_is_shown(made: Path) -> None:
    """Both certificates come with subject, names, issuer, fingerprint, expiry and the mode of their key."""
    text = text_of(made)
    for name in (CA_CERT, SERVER_CERT):
        certificate = read_certificates(made / name)[0]
        assert str(made / name) in text
        assert certificate.subject.rfc4514_string() in text
        assert certificate.issuer.rfc4514_string() in text
        assert certificate.fingerprint(SHA256()).hex() in text
        assert f"{certificate.not_valid_after_utc:%Y-%m-%d}" in text
    assert "localhost, 127.0.0.1, ::1, msgqueue, publisher, subscriber, chat" in text
    assert f"{made / SERVER_KEY}, mode 0600" in text
    assert "396 days left" in text


def test_a_key_that_is_elsewhere_is_said_so(made_elsewhere: Path) -> None:
    """The CA's key need not be there: it is no problem, but it is said."""
    assert text_of(made_elsewhere).count("not here") == 1
    assert problems(made_elsewhere) == []


def test_good_certificates_have_no_problem(made: Path) -> None:
    """Certificates made by `ensure` have no problem."""
    assert problems(made) == []


@pytest.mark.parametrize("name", [CA_CERT, SERVER_CERT, SERVER_KEY])
def test_what_is_missing_is_named(made: Path, name: str) -> None:
    """A missing file is a problem, and the others are shown all the same."""
    (made / name).unlink()
    [problem] = problems(made)
    assert problem.startswith(f"{made / name}: there is no such file")
    assert str(made / (SERVER_CERT if name == CA_CERT else CA_CERT)) in text_of(made)


def test_several_problems_are_all_named(folder: Path) -> None:
    """Where there is nothing, both ends of TLS lack something."""
    assert [problem.split(":")[0] for problem in problems(folder)] == [
        str(folder / CA_CERT),
        str(folder / SERVER_CERT),
    ]
    assert text_of(folder) == ""


def test_an_expired_certificate_is_shown_and_named(expired: Path) -> None:
    """An expired certificate is a problem; its table says so too."""
    [problem] = problems(expired)
    assert problem.startswith(f"{expired / SERVER_CERT}: expired on ")
    assert "expired" in lifetime(read_certificates(expired / SERVER_CERT)[0])


def test_a_server_of_another_ca_is_named(made: Path, tmp_path: Path) -> None:
    """A server certificate that does not verify against the CA is a problem."""
    certs.ensure(tmp_path / "other")
    shutil.copy(tmp_path / "other" / CA_CERT, made)
    [problem] = problems(made)
    assert problem.startswith(
        f"{made / SERVER_CERT}: a client that trusts ca.crt of the same folder refuses it"
    )


@pytest.mark.parametrize("name", [CA_KEY, SERVER_KEY])
def test_a_key_that_everyone_can_read_is_named(made: Path, name: str) -> None:
    """A private key that is open to all users is a problem; one for a group is not."""
    (made / name).chmod(0o640)
    assert problems(made) == []
    (made / name).chmod(0o644)
    [problem] = problems(made)
    assert problem.startswith(f"{made / name}: is open to every user")


def test_a_file_in_place_of_the_folder_is_reported(folder: Path) -> None:
    """Where there is no folder at all, there are problems to name, and nothing to show."""
    folder.touch()
    assert all("cannot be read (Not a directory)" in problem for problem in problems(folder))
    assert list(tables(folder)) == []
