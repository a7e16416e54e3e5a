"""``fanline doctor``: certificates, keys, users and proxies."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import certs
from fanline.cli.doctor.files import (
    check_certificates,
    check_client_ca,
    check_proxies,
    check_token_key,
    check_users,
)
from fanline.cli.doctor.findings import Finding, Level
from fanline.security.tokens import TokenKey
from fanline.security.users import User, UsersFile
from fanline.settings import Settings

Make = Callable[..., Settings]


def bad(findings: Iterator[Finding]) -> list[tuple[Level, str]]:
    """Return what is not in order."""
    return [(each.level, each.text) for each in findings if each.level is not Level.OK]


def test_certificates_are_in_order(cert_dir: Path) -> None:
    """New certificates for the names in use have no finding."""
    assert not bad(check_certificates(cert_dir, ["localhost", "127.0.0.1"], datetime.now(UTC)))


def test_certificates_that_expire_or_lack_a_name(cert_dir: Path) -> None:
    """It is told before a certificate expires, and which name is not in it."""
    year = datetime.now(UTC) + timedelta(days=3_660)
    found = bad(check_certificates(cert_dir, ["live.example.org"], year))
    assert any(level is Level.PROBLEM and "expired" in text for level, text in found)
    assert any("not valid for live.example.org" in text for _, text in found)
    (missing,) = bad(check_certificates(cert_dir / "nothing", [], datetime.now(UTC)))
    assert missing[0] is Level.PROBLEM


def test_a_token_key_that_others_can_read(tmp_path: Path) -> None:
    """A key that every user can read is a problem; a missing one is not in use."""
    key = tmp_path / "token.key"
    assert bad(check_token_key(TokenKey(key)))[0][0] is Level.WARNING
    key.write_text("k" * 40)
    key.chmod(0o644)
    ((level, text),) = bad(check_token_key(TokenKey(key)))
    assert (level, "other users can access it" in text) == (Level.PROBLEM, True)
    key.chmod(0o600)
    assert not bad(check_token_key(TokenKey(key)))


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    """A users file with a service."""
    users = UsersFile(tmp_path / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    return users


def test_the_login_of_the_services(users: UsersFile, make_settings: Make) -> None:
    """The user of the services must exist, have the role, and that password."""

    def found(**settings: Any) -> list[str]:
        return [text for _, text in bad(check_users(make_settings(users_file=users.path, **settings)))]

    right = {"link_user": "pipeline", "link_password": "secret"}
    assert found(**right) == []
    (text,) = found(**right | {"link_password": "other"})
    assert "the password of the services is not that of pipeline" in text
    assert "there is no user hello" in found()[0]
    users.put(User("pipeline"), "secret", cost=4)
    assert "no role service" in found(**right)[0]


def test_certificates_of_clients(users: UsersFile, make_settings: Make, tmp_path: Path) -> None:
    """A service's must be of its user; a CA file must have a CA (line 53)."""
    folder = tmp_path / "certs"
    certs.ensure(folder)
    link = certs.make_client(folder, "pipeline")
    now = datetime.now(UTC)
    settings = make_settings(users_file=users.path, link_user="pipeline", link_cert_file=link)
    assert not bad(check_users(settings))
    ((_, text),) = bad(check_users(settings.model_copy(update={"link_cert_file": folder / "server.crt"})))
    assert "is not of the user pipeline" in text
    assert not bad(check_client_ca(folder / "ca.crt", now))
    assert not bad(check_client_ca(None, now))
    for path, days, words in (
        (link, 0, "has no CA certificate"),
        (folder / "ca.crt", 3645, "expires within 14 days"),
        (tmp_path / "none", 0, "no such file"),
    ):
        ((_, text),) = bad(check_client_ca(path, now + timedelta(days=days)))
        assert words in text


def test_files_of_users_that_disagree(users: UsersFile, make_settings: Make) -> None:
    """Where users file and rights file disagree, it is told; a damaged one is a problem."""
    settings = make_settings(users_file=users.path, link_user="pipeline", link_password="secret")
    users.rights_path.write_text(users.rights_path.read_text() + '[ghost]\npublish = [">"]\n')
    ((level, text),) = bad(check_users(settings))
    assert (level, "[ghost] is ignored" in text) == (Level.WARNING, True)
    users.rights_path.write_text("[")
    assert bad(check_users(settings))[0][0] is Level.PROBLEM
    assert bad(check_users(make_settings(host="0.0.0.0")))[0][0] is Level.PROBLEM


def test_proxies_that_are_believed_too_much(make_settings: Make) -> None:
    """Trust in every address is a problem; pings that come too seldom for proxies are a warning."""
    assert not bad(check_proxies(make_settings(trusted_proxies=["10.0.0.0/24"])))
    ((level, text),) = bad(check_proxies(make_settings(trusted_proxies=["0.0.0.0/0"])))
    assert (level, "0.0.0.0/0" in text) == (Level.PROBLEM, True)
    assert bad(check_proxies(make_settings(ping_interval=60)))[0][0] is Level.WARNING
