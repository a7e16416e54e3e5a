"""Passwords: their sources, and that none is shown."""

import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from fanline.errors import ConfigurationError
from fanline.settings import DEMO_PASSWORD, DEMO_USER
from tests.fanline.settings.conftest import SECRET, WriteConfig, mistake_in, read


def test_the_password_is_no_flag() -> None:
    """A command line can be read by everyone, so what stands on one is not even repeated."""
    for argv in (["--link-password", SECRET], [f"--link-password={SECRET}"]):
        assert mistake_in(*argv) == "--link-password: no such flag; --help lists what there is"
    assert SECRET not in mistake_in(SECRET)


@pytest.mark.parametrize(
    "config",
    [
        f'link_passwort = "{SECRET}"',
        f'link_password = ["{SECRET}"]',
        f'[link_password]\nvalue = "{SECRET}"',
        f'link_password = "{SECRET}"\nlink_password_file = "{SECRET}"',
        f'link_password_file = ["{SECRET}"]',
        f'link_password = "{SECRET}"\nhost = 5',
        f'link_password = "{SECRET}',
        f'queue_url = "wss://me:{SECRET}@queue:8080"',
        f'queue_url = "wss://me:{SECRET}@queue:8080/popmsg"',
    ],
)
def test_no_error_shows_a_secret(config: str, write_config: WriteConfig) -> None:
    """Neither its text nor its traceback, whatever is wrong with the password or another setting."""
    write_config(config)
    with pytest.raises(ConfigurationError) as raised:
        read()
    assert SECRET not in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_printed_settings_show_no_secret() -> None:
    """Only who asks for the password gets it."""
    os.environ["FANLINE_LINK_PASSWORD"] = SECRET
    settings = read()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.link_password == SecretStr(SECRET)
    assert settings.link_secret() == SECRET


def test_the_password_can_stand_in_a_file(tmp_path: Path) -> None:
    """It is the first line, with whatever blanks it has."""
    path = tmp_path / "password"
    path.write_text(f" {SECRET} \r\nanything else\n")
    assert read("--link-password-file", str(path)).link_secret() == f" {SECRET} "


def test_without_a_password_it_is_that_of_the_demo() -> None:
    """Services on loopback find each other without any setting."""
    assert (read().link_user, read().link_secret()) == (DEMO_USER, DEMO_PASSWORD)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"", "empty"), (b"\nsecond", "empty"), (b"\xff", "is not UTF-8 text")],
)
def test_a_password_file_that_cannot_be_used_is_reported(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    """The setting and the file are named."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    settings = read("--link-password-file", str(path))
    with pytest.raises(ConfigurationError, match=problem) as raised:
        settings.link_secret()
    assert str(raised.value).startswith(f"link_password_file {path}: ")


def test_a_password_is_set_in_one_place_only(write_config: WriteConfig) -> None:
    """It would be anyone's guess which of two counts, even across places."""
    write_config('link_password = "a"')
    mistake = mistake_in("--link-password-file", "b")
    assert mistake == "link_password and link_password_file are both set: set one"
