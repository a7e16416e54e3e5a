"""Origins, what follows from settings, and the help that describes them."""

from pathlib import Path

import pytest

from fanline.setting_sources import (
    SERVICES,
    Sources,
    all_fields,
    describe,
    memory_limit,
    variable_of,
)
from fanline.settings import Settings
from msgqueue.settings import MsgQueueSettings
from tests.fanline.settings.conftest import SECRETS, mistake_in, read


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example", ("https://a.example",)),
        (" https://A.example:9 , http://localhost:3000,", ("https://a.example:9", "http://localhost:3000")),
        ("", ()),
    ],
)
def test_origins_are_written_with_commas_between(text: str, origins: tuple[str, ...]) -> None:
    """As browsers send them: in small letters, without a path."""
    assert read("--allowed-origins", text).allowed_origins == origins


@pytest.mark.parametrize("text", ["*", "a.example", "https://", "https://a.example/", "ftp://a.example"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    """By name, and with what was expected."""
    mistake = mistake_in("--allowed-origins", f"https://b.example,{text}")
    assert mistake.startswith("allowed_origins value 2: expected https://HOST")


# What follows from them


def test_defaults_fit_into_a_container(tmp_path: Path) -> None:
    """The smallest limit of the group and those above it counts; what is set is left as it is (line 55)."""
    assert Sources({}, memory=64 << 30).section(Settings) == Settings.model_validate({})
    small = Sources({"queue_buffer": 1 << 30}, memory=256 << 20).section(Settings)
    assert (small.unread_bytes, small.queue_buffer) == (32 << 20, 1 << 30)
    assert (small.unfinished_bytes, small.recent_bytes) == (8 << 20, 8 << 20)
    own, group = tmp_path / "cgroup", tmp_path / "pods/one"
    group.mkdir(parents=True)
    assert memory_limit(tmp_path, own) is None
    own.write_text("4:memory:/elsewhere\n0::/pods/one\n")
    assert memory_limit(tmp_path, own) is None
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("536870912\n")
    assert memory_limit(tmp_path, own) == 512 << 20
    (group / "memory.max").write_text("1048576\n")
    assert memory_limit(tmp_path, own) == 1 << 20


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("127.0.0.1,::1", True),
        ("127.0.0.1,10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("example.org", False),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(host: str, is_loopback: bool) -> None:
    """A name that could be any machine's is not taken for it."""
    assert read("--host", host).is_loopback is is_loopback


def test_a_frame_may_be_larger_than_the_largest_content() -> None:
    """So that a message that is a little too big is refused, and its connection goes on."""
    assert read("--max-content", "2048").max_frame == 8192


# What is told of them


def test_help_lists_the_settings_of_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its default and description, the secret ones by the name of their variable."""
    with pytest.raises(SystemExit) as ended:
        read("--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Keeps messages." in text
    assert "WS_CERT_DIR" in text
    for name, default, description in describe():
        flag = f"--{name.replace('_', '-')} VALUE"
        shown = f"{description} [{default}]" if default else description
        is_own = name in MsgQueueSettings.fields()
        assert ((variable_of(name) if name in SECRETS else flag) in text) == is_own
        assert shown in text or not is_own
    assert "--link-password " not in text


WITHOUT_DEFAULT = {
    "client_ca_file",
    "otlp_endpoint",
    "link_cert_file",
    "link_key_file",
    "jwks_url",
    "jwks_ca_file",
    "token_key",
    "token_public_keys",
    "token_issuer",
    "token_audience",
    "token_rights",
    "token_publish",
    "token_subscribe",
    "users_file",
    "allowed_origins",
    "chat_guests",
    "chat_password",
    "chat_password_file",
    "chat_admin_password",
    "chat_admin_password_file",
    "chat_user",
    "chat_user_password",
    "chat_user_password_file",
    "link_password",
    "link_password_file",
    "nats_urls",
    "nats_monitor_urls",
    "nats_user",
    "nats_password_file",
    "retention",
    "trusted_proxies",
    "path_prefix",
    "serve_port",
    "serve_listen",
    *(f"{service}_{name}" for service in SERVICES for name in ("listen", "metrics_port")),
}


def test_every_setting_is_described() -> None:
    """Documentation is made from this: names in order, defaults as text, a sentence for each."""
    described = list(describe())
    assert [name for name, _, _ in described] == list(all_fields())
    assert ("msgqueue_port", "8080", "Port of msgqueue; 0 takes any free one.") in described
    assert all(description.endswith(".") for _, _, description in described)
    assert {name for name, default, _ in described if not default} == WITHOUT_DEFAULT


def test_services_that_share_a_port_are_found_there() -> None:
    """With ``serve_port``, the commands of the installation need no address; one that is given counts."""
    settings = Sources({"serve_port": 8443, "chat_url": "wss://chat.example"}).section(Settings)
    assert settings.queue_url == "wss://localhost:8443/msgqueue"
    assert settings.publisher_url == "wss://localhost:8443/publisher"
    assert settings.chat_url == "wss://chat.example"
    for own in ({}, {"serve_port": 0}):
        assert Sources(own).section(Settings).queue_url == "wss://localhost:8080"
