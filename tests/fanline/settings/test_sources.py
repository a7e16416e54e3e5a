"""Where settings come from, and which source wins."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from fanline.setting_sources import (
    SERVICES,
    all_fields,
    read_service,
    section_of,
    variable_of,
)
from fanline.setting_sources import read as read_section
from fanline.settings import DEMO_USER, Settings
from msgqueue.settings import MsgQueueSettings
from publisher.settings import PublisherSettings
from tests.fanline.settings.conftest import SECRETS, WriteConfig, read, sample, value_of


def test_services_find_each_other_by_default() -> None:
    """Each on the documented port, on loopback."""
    assert [read_service(name).port for name in SERVICES] == [8080, 8081, 8082, 8083]
    settings = read()
    assert settings.queue_url == "wss://localhost:8080"
    assert settings.is_loopback
    assert settings == read_section(MsgQueueSettings)


@pytest.mark.parametrize("name", all_fields())
def test_a_setting_has_one_name_in_all_places(name: str, write_config: WriteConfig) -> None:
    """The TOML file, the environment and the command line take the same value under the same name."""
    text, before = sample(name), value_of(name)
    quoted = text if isinstance(all_fields()[name].default, int | float) else f"'{text}'"
    write_config(f"{name} = {quoted}")
    from_file = value_of(name)
    del os.environ["FANLINE_CONFIG"]
    os.environ[variable_of(name)] = text
    from_environment = value_of(name)
    del os.environ[variable_of(name)]
    assert from_file != before
    assert from_file == from_environment
    if name not in SECRETS:
        assert from_file == value_of(name, f"--{name.replace('_', '-')}", text)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_declares_its_own_settings(service: str) -> None:
    """Its port among them; the sections have nothing in common but what all services share."""
    own = section_of(service).fields().keys() - Settings.fields().keys()
    others = [section_of(each).fields() for each in SERVICES if each != service]
    assert f"{service}_port" in own
    assert not any(own & other.keys() for other in others)


def test_settings_of_other_services_are_ignored(write_config: WriteConfig) -> None:
    """They are known wherever they are written, so that one file does for all services."""
    write_config('max_in_flight = 5\nchat_guests = "maybe"')
    os.environ["FANLINE_JOIN_WINDOW"] = "0.5"
    assert read("--chat-port", "9", "--msgqueue-port", "7").port == 7
    assert read_section(PublisherSettings).max_in_flight == 5


def test_empty_variables_count_as_unset(write_config: WriteConfig) -> None:
    """Also those that name the file, the certificates, or no setting at all."""
    write_config('host = "::1"\nmsgqueue_port = 1')
    os.environ |= {"FANLINE_HOST": "", "FANLINE_MSGQUEUE_PORT": "", "WS_CERT_DIR": "", "FANLINE_HOTS": ""}
    assert (read().host, read().port) == ("::1", 1)
    assert read().cert_dir == Settings.fields()["cert_dir"].default
    os.environ["FANLINE_CONFIG"] = ""
    assert read().port == 8080


def test_reading_leaves_the_environment_alone(write_config: WriteConfig, tmp_path: Path) -> None:
    """A flag for the file is not written to a variable, where child processes would see it."""
    write_config("")
    (tmp_path / "other.toml").write_text("")
    before = dict(os.environ)
    read("--config", str(tmp_path / "other.toml"))
    assert os.environ == before


def test_a_flag_beats_the_environment_beats_the_file(write_config: WriteConfig) -> None:
    """Each place is asked only for what the more important ones leave open."""
    write_config('link_user = "file"\nhost = "file"\nqueue_url = "wss://file"')
    os.environ |= {"FANLINE_LINK_USER": "environment", "FANLINE_HOST": "environment"}
    settings = read("--link-user", "flag")
    assert (settings.link_user, settings.host, settings.queue_url) == ("flag", "environment", "wss://file")
    assert settings.log_level == "info"


def test_a_config_flag_beats_the_config_variable(write_config: WriteConfig, tmp_path: Path) -> None:
    """One file is read, not both."""
    write_config('host = "variable"\nlink_user = "variable"')
    other = tmp_path / "other.toml"
    other.write_text('host = "flag"')
    settings = read("--config", str(other))
    assert (settings.host, settings.link_user) == ("flag", DEMO_USER)


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_original_variable_names_the_folder_of_certificates(slash: str) -> None:
    """WS_CERT_DIR is used, with or without a trailing slash (line 3)."""
    os.environ["WS_CERT_DIR"] = f"/etc/certs{slash}"
    assert read().cert_dir == Path("/etc/certs")
    assert read().cert_dir / "server.crt" == Path("/etc/certs/server.crt")


def test_the_original_variable_stands_in_for_an_unset_one(write_config: WriteConfig) -> None:
    """WS_CERT_DIR counts as environment: over the file, and below FANLINE_CERT_DIR (line 3)."""
    write_config('cert_dir = "file"')
    assert read().cert_dir == Path("file")
    os.environ["WS_CERT_DIR"] = "original"
    assert read().cert_dir == Path("original")
    os.environ["FANLINE_CERT_DIR"] = "ours"
    assert read().cert_dir == Path("ours")
    assert read("--cert-dir", "flag").cert_dir == Path("flag")


def test_programs_without_flags_of_ours_read_the_same_settings() -> None:
    """Arguments by name count like flags."""
    os.environ |= {"FANLINE_HOST": "environment", "FANLINE_LINK_USER": "environment"}
    settings = read_section(Settings, host="caller")
    assert (settings.host, settings.link_user) == ("caller", "environment")


def test_settings_do_not_change_once_they_are_read() -> None:
    """All parts of a service see the same settings."""
    with pytest.raises(ValidationError):
        read().host = "0.0.0.0"
