"""Tests of what is open to others."""

from collections.abc import Callable
from pathlib import Path

import pytest

import certs
from fanline import setting_sources
from fanline.errors import ConfigurationError
from fanline.security.exposure import check_exposure, warn_of_open_files
from fanline.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_the_demo_is_refused_on_open_addresses(host: str) -> None:
    """A listener that others can reach needs users; the error says how to make them."""
    with pytest.raises(ConfigurationError, match=r"fanline user add NAME` and set FANLINE_USERS_FILE"):
        check_exposure(setting_sources.read(Settings, host=host))
    check_exposure(setting_sources.read(Settings, host=host, users_file="users"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_demo_is_fine_on_loopback(host: str) -> None:
    """On a listener that only this machine can reach no users file is needed."""
    check_exposure(setting_sources.read(Settings, host=host))


def test_secrets_that_all_can_read_are_warned_about(
    make_settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A users file, a password file or a private key that is open to all is named, with what to do."""
    certs.ensure(tmp_path)
    users, password = tmp_path / "users", tmp_path / "password"
    for path in (users, password):
        path.touch(0o600)
    section = make_settings(cert_dir=tmp_path, users_file=users, link_password_file=password)
    warn_of_open_files(section)
    assert not caplog.messages
    for path in (users, password, tmp_path / "server.key"):
        path.chmod(0o644)
    warn_of_open_files(section)
    what = "every user of this machine can access it; set its mode to 600"
    assert caplog.messages == [
        f"users_file {users}: {what}",
        f"link_password_file {password}: {what}",
        f"cert_dir {tmp_path / 'server.key'}: {what}",
    ]
