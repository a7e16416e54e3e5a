"""Tests of where the client connects, and as whom."""

import ssl
from pathlib import Path

import pytest

from clientdemo.login import read_password, trust
from fanline import ConfigurationError
from fanline.setting_sources import read
from fanline.settings import Settings
from tests.clientdemo.conftest import Open, Run
from tests.stubs import StubPublisher, StubSubscriber


async def test_options_come_before_the_environment(
    environment: dict[str, str],
    publisher: StubPublisher,
    subscriber: StubSubscriber,
    run: Run,
    tmp_path: Path,
) -> None:
    """URLs, user, password and CA can be given by options, which win."""
    ca = environment.pop("FANLINE_CERT_DIR") + "/ca.crt"
    url, environment["CLIENTDEMO_PUBLISHER"] = publisher.url, "wss://localhost:1"
    password = tmp_path / "password"
    password.write_text("from-file\nignored\n")
    arguments = ["--publisher", url, "--user", "me", "--password-file", str(password), "--cafile", ca]
    assert (await run(*arguments, "pub", "t", "x")).code == 0
    assert publisher.logins == [("me", "from-file")]
    subscriber.store("t", 1)
    arguments = ["--subscriber", subscriber.url, *arguments[2:]]
    assert (await run(*arguments, "sub", "t", "--last", "1", "--count", "1")).code == 0


async def test_the_environment_gives_user_and_password(
    environment: dict[str, str], publisher: StubPublisher, run: Run
) -> None:
    """Scripts log in by the environment, so that no secret stands on a command line."""
    environment |= {"CLIENTDEMO_USER": "me", "CLIENTDEMO_PASSWORD": "secret"}
    assert (await run("pub", "t", "x")).code == 0
    assert publisher.logins == [("me", "secret")]


async def test_the_settings_give_what_is_not_said(
    environment: dict[str, str], publisher: StubPublisher, run: Run, tmp_path: Path
) -> None:
    """On a machine of the installation, ports, login and CA are those of the settings."""
    del environment["CLIENTDEMO_PUBLISHER"]
    password = tmp_path / "password"
    password.write_text("link-secret")
    environment |= {
        "FANLINE_PUBLISHER_PORT": str(publisher.port),
        "FANLINE_LINK_USER": "pipeline",
        "FANLINE_LINK_PASSWORD_FILE": str(password),
    }
    assert (await run("pub", "t", "x")).code == 0
    assert publisher.logins == [("pipeline", "link-secret")]


async def test_asks_for_the_password_at_a_terminal(publisher: StubPublisher, open_terminal: Open) -> None:
    """A person is asked, and what is typed is not shown."""
    terminal = await open_terminal("--user", "me", "pub", "t", "x")
    await terminal.expect("Password of me: ")
    terminal.type("typed-secret\r")
    await terminal.expect("stored at 1")
    assert await terminal.end() == 0
    assert publisher.logins == [("me", "typed-secret")]
    assert "typed-secret" not in terminal.text


@pytest.mark.parametrize(
    ("arguments", "changes", "problem"),
    [
        (["--user", "me"], {}, "user me: there is no password; set CLIENTDEMO_PASSWORD, or name a file"),
        (["--password-file", "/nowhere"], {}, "--password-file /nowhere: No such file or directory"),
        (["--password-file", "/dev/null"], {}, "--password-file /dev/null: the first line is empty"),
        (["--cafile", "/nowhere"], {}, "--cafile /nowhere: No such file or directory"),
        (["--cafile", "/dev/null"], {}, "--cafile /dev/null: holds no certificate in PEM format"),
        (["--publisher", "ws://localhost"], {}, "has no TLS; expected wss://"),
        (["--user", "a:b"], {"CLIENTDEMO_PASSWORD": "x"}, "a user name cannot have a colon"),
        (["--user", "me"], {"CLIENTDEMO_PASSWORD": ""}, "user me: there is no password"),
        ([], {"FANLINE_CERT_DIR": "/nowhere"}, "/nowhere/ca.crt"),
        ([], {"FANLINE_PING_INTERVAL": "often"}, "ping_interval"),
        ([], {"FANLINE_NONSENSE": "1"}, "FANLINE_NONSENSE: no such setting"),
    ],
)
async def test_what_is_wrong_is_told(
    environment: dict[str, str], run: Run, arguments: list[str], changes: dict[str, str], problem: str
) -> None:
    """A wrong or missing setting is one sentence, and exit code 2 (line 3)."""
    environment |= changes
    result = await run(*arguments, "pub", "t", "x")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("[clientdemo] ")
    assert problem in result.err
    assert len(result.err.splitlines()) == 1


async def test_a_service_that_cannot_be_trusted_is_told(
    environment: dict[str, str], publisher: StubPublisher, run: Run
) -> None:
    """A certificate of another CA ends it, before the password is sent."""
    environment["CLIENTDEMO_CAFILE"] = ssl.get_default_verify_paths().openssl_cafile
    if not Path(environment["CLIENTDEMO_CAFILE"]).exists():
        environment["CLIENTDEMO_CAFILE"] = "/etc/ssl/certs/ca-certificates.crt"
    result = await run("pub", "t", "x")
    assert result.code == 2
    assert "certificate cannot be trusted" in result.err
    assert publisher.logins == []


def test_a_password_file_that_is_no_text(tmp_path: Path) -> None:
    """A file that is something else is named."""
    path = tmp_path / "password"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        read_password("me", path, read(Settings))


def test_the_ca_of_the_installation_is_the_default(cert_dir: Path) -> None:
    """Without a CA file, services are verified by the CA of the settings, and always verified."""
    context = trust(None, cert_dir)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
