"""Settings of chat."""

import os
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.settings import DEMO_PASSWORD
from tests.fanline.settings.conftest import SECRET, WriteConfig, read, read_chat


def test_the_password_of_chat_has_the_same_sources(tmp_path: Path) -> None:
    """In the environment, in a file, and on loopback it may be the demo password (line 13)."""
    path = tmp_path / "password"
    path.write_text(SECRET)
    assert read_chat().client_password() == DEMO_PASSWORD
    assert read_chat("--chat-password-file", str(path), "--host", "0.0.0.0").client_password() == SECRET
    os.environ["FANLINE_CHAT_PASSWORD"] = SECRET
    assert read_chat().client_password() == SECRET


def test_an_empty_password_is_no_password(write_config: WriteConfig) -> None:
    """An empty variable is unset, and the demo password refused; an empty line of the file is a mistake."""
    os.environ |= {"FANLINE_CHAT_PASSWORD": "", "FANLINE_LINK_PASSWORD": ""}
    with pytest.raises(ConfigurationError, match=r"^host: 0\.0\.0\.0 is open "):
        read_chat("--host", "0.0.0.0").client_password()
    assert read().link_secret() == DEMO_PASSWORD
    write_config('chat_password = ""\nlink_password = ""')
    for secret in (read_chat("--host", "0.0.0.0").client_password, read().link_secret):
        with pytest.raises(ConfigurationError, match=r"^(chat|link)_password: the password is empty$"):
            secret()


def test_the_demo_password_is_refused_beyond_loopback() -> None:
    """The error says what to set."""
    with pytest.raises(ConfigurationError, match=r"^host: 0\.0\.0\.0 is open .* FANLINE_CHAT_PASSWORD_FILE"):
        read_chat("--host", "0.0.0.0").client_password()


@pytest.mark.parametrize(
    ("host", "guests", "allowed"),
    [
        ("127.0.0.1", None, True),
        ("0.0.0.0", None, False),
        ("127.0.0.1", "false", False),
        ("0.0.0.0", "true", True),
    ],
)
def test_guests_are_allowed_on_loopback_by_default(host: str, guests: str | None, allowed: bool) -> None:
    """Strangers from elsewhere only where the operator wants them (line 23)."""
    flags = [] if guests is None else ["--chat-guests", guests]
    assert read_chat("--host", host, *flags).guests_allowed is allowed
