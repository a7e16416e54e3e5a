"""Short forms to read settings from arguments, variables and files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from chat.settings import ChatSettings
from fanline.errors import ConfigurationError
from fanline.setting_sources import (
    SERVICES,
    all_fields,
    load,
    parse,
    section_of,
)
from msgqueue.settings import MsgQueueSettings

SECRET = "hunter2-and-a-half"
WriteConfig = Callable[[str], Path]


@pytest.fixture(autouse=True)
def empty_environment() -> Iterator[None]:
    """Nothing of the machine's own settings reaches a test, and nothing of a test's gets out."""
    with mock.patch.dict(os.environ, clear=True):
        yield


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Write a TOML file, and let FANLINE_CONFIG name it."""

    def write(text: str) -> Path:
        path = tmp_path / "fanline.toml"
        path.write_text(text)
        os.environ["FANLINE_CONFIG"] = str(path)
        return path

    return write


def read(*argv: str) -> MsgQueueSettings:
    return load(MsgQueueSettings, argv, program="python -m msgqueue", description="Keeps messages.")


def read_chat(*argv: str) -> ChatSettings:
    return load(ChatSettings, argv, program="python -m chat", description="Rooms.")


def value_of(name: str, *argv: str) -> object:
    """The value of a setting, as the first service that has it reads it."""
    sources = parse(argv, program="fanline up", description="All.", listed=all_fields())
    section = next(section_of(each) for each in SERVICES if name in section_of(each).fields())
    return sources.section(section).model_dump(by_alias=True)[name]


def mistake_in(*argv: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(*argv)
    return str(raised.value)


# Settings that have no flag, because all users can read command lines.
SECRETS = ("token_key", "link_password", "chat_password", "chat_admin_password", "chat_user_password")


def sample(name: str) -> str:
    """A value that a setting can have and does not have by default."""
    default = all_fields()[name].default
    if isinstance(default, int | float):
        return str(default / 2 if isinstance(default, float) else default + 1)
    by_ending = {
        "_url": "wss://queue:9",
        "_metrics_port": "9",
        "serve_port": "9",
        "_listen": "unix:/a,http://[::1]:9",
    }
    others = {
        "log_level": "debug",
        "log_format": "json",
        "trusted_proxies": "10.0.0.0/8,::1",
        "proxy_header": "forwarded",
        "path_prefix": "/live",
        "retention": '[{"topics": "a.>"}]',
        "token_rights": '[{"claim": "a", "value": "b"}]',
        "jwks_url": "https://id.example/keys",
        "otlp_endpoint": "http://localhost:4318",
        "token_algorithms": "ES256",
        "allowed_origins": "https://a.example,https://b.example:9",
        "chat_guests": "true",
        "store": "jetstream",
        "nats_urls": "tls://a.example:4222,tls://b.example:4222",
        "nats_monitor_urls": "https://a.example:8222",
    }
    usual = next((text for ending, text in by_ending.items() if name.endswith(ending)), "elsewhere")
    return others.get(name, usual)
