"""Tests of the settings: where they come from, which wins, and what is said of wrong ones."""

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from pydantic import SecretStr, ValidationError

from chat.settings import ChatSettings
from fanline.errors import ConfigurationError
from fanline.setting_sources import (
    SERVICES,
    all_fields,
    describe,
    load,
    log_injected_variables,
    parse,
    read_service,
    section_of,
    variable_of,
)
from fanline.setting_sources import read as read_section
from fanline.settings import DEMO_PASSWORD, DEMO_USER, Settings
from msgqueue.settings import MsgQueueSettings, RetentionRule
from publisher.settings import PublisherSettings

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
SECRETS = ("link_password", "chat_password", "chat_admin_password", "chat_user_password")


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
        "token_algorithms": "ES256",
        "allowed_origins": "https://a.example,https://b.example:9",
        "chat_guests": "true",
        "store": "jetstream",
        "nats_urls": "tls://a.example:4222,tls://b.example:4222",
        "nats_monitor_urls": "https://a.example:8222",
    }
    usual = next((text for ending, text in by_ending.items() if name.endswith(ending)), "elsewhere")
    return others.get(name, usual)


# Where they come from


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


# Names that do not exist


def test_unknown_variables_are_refused() -> None:
    """All of them are named, because a misspelled setting would have no effect."""
    os.environ |= {"FANLINE_MSGQUEUE_PROT": "9080", "FANLINE_HOTS": "::1"}
    mistake = mistake_in()
    assert mistake == "FANLINE_HOTS, FANLINE_MSGQUEUE_PROT: no such setting; --help lists what there is"


def test_unknown_lines_of_the_file_are_refused(write_config: WriteConfig) -> None:
    """All of them are named; a prefix is a mistake there as well."""
    write_config('hots = "::1"\nFANLINE_HOST = "::1"')
    assert mistake_in() == "hots, FANLINE_HOST: no such setting; --help lists what there is"


@pytest.mark.parametrize(
    ("argv", "mistake"),
    [
        (["--hots", "::1"], "--hots: no such flag"),
        (["--hots=::1", "--port=1"], "--hots, --port: no such flag"),
        (["--msgqueue", "80"], "--msgqueue: no such flag"),
        (["--msgqueue_port", "80"], "--msgqueue_port: no such flag"),
        (["9080"], "there is a value without a flag"),
        (["--host"], "argument --host: expected one argument"),
    ],
)
def test_unknown_flags_are_refused(argv: list[str], mistake: str) -> None:
    """Flags cannot be shortened, and nothing is taken without one."""
    assert mistake_in(*argv) == f"{mistake}; --help lists what there is"


# Values that are wrong


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("host", "", "expected a name or an address"),
        ("msgqueue_port", "65536", "less than or equal to 65535, got '65536'"),
        ("msgqueue_port", "-1", "greater than or equal to 0, got '-1'"),
        ("msgqueue_port", "https", "a valid integer, unable to parse string as an integer, got 'https'"),
        ("max_content", "1023", "greater than or equal to 1024"),
        ("max_connections_per_user", "0", "greater than or equal to 1"),
        ("queue_wait", "0", "greater than 0"),
        ("queue_wait", "nan", "less than or equal to"),
        ("queue_wait", "inf", "less than or equal to"),
        ("queue_wait", "soon", "a valid number"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error', got 'loud'"),
    ],
)
def test_a_wrong_value_is_reported_with_what_was_expected(
    name: str, value: str, expected: str, write_config: WriteConfig
) -> None:
    """The setting is named alike wherever the value stands, and the value is shown."""
    flag = mistake_in(f"--{name.replace('_', '-')}={value}")
    assert flag.startswith(f"{name}: ")
    assert expected in flag
    if value:
        os.environ[variable_of(name)] = value
        assert mistake_in() == flag
        del os.environ[variable_of(name)]
    write_config(f'{name} = "{value}"')
    assert mistake_in() == flag


def test_values_of_the_wrong_type_in_the_file_are_reported(write_config: WriteConfig) -> None:
    """All at once, a line for each."""
    write_config("host = 5\ncert_dir = 5\nmsgqueue_port = 80.5\n[data_dir]\na = 1")
    mistakes = [line.partition(": ") for line in mistake_in().splitlines()]
    assert {name for name, _, _ in mistakes} == {"host", "cert_dir", "msgqueue_port", "data_dir"}
    assert ("host", ": ", "input should be a valid string, got 5") in mistakes


def test_rules_of_retention_are_tables_of_the_file(write_config: WriteConfig) -> None:
    """A table for each rule, in their order; a limit that is left out is none."""
    write_config(
        '[[retention]]\ntopics = "sensors.>"\nmax_age = 86400\nmax_bytes = 1000000\n'
        '[[retention]]\ntopics = "room.*"\nmax_count = 100\n'
    )
    assert read().retention == (
        RetentionRule.model_validate({"topics": "sensors.>", "max_age": 86_400, "max_bytes": 1_000_000}),
        RetentionRule.model_validate({"topics": "room.*", "max_count": 100}),
    )


@pytest.mark.parametrize(
    ("rules", "mistake"),
    [
        (
            '[{"topics": "a"}, {"topics": "a..b"}]',
            'rule 2 topics: "a..b" is not a topic: it has an empty token',
        ),
        ('[{"max_age": 5}]', "rule 1 topics: field required"),
        ('[{"topics": "a", "max_age": 0}]', "rule 1 max_age: input should be greater than 0, got 0"),
        ('[{"topics": "a", "max_age": NaN}]', "rule 1 max_age: input should be less than or equal to"),
        ('[{"topics": "a", "max_count": 0}]', "rule 1 max_count: input should be greater than or equal to 1"),
        ('[{"topics": "a", "max_bytes": 1.5}]', "rule 1 max_bytes: input should be a valid integer"),
        ('[{"topics": "a", "max_bites": 1024}]', "rule 1 max_bites: no such setting"),
        ('["a"]', "rule 1: input should be a valid dictionary"),
        (
            '[{"topics": "a.*"}, {"topics": "b"}, {"topics": "a.x"}]',
            ': rule 3 never applies to "a.x", because rule 1, "a.*", comes first',
        ),
        ("a=5", ": expected a JSON array of rules: Expecting value"),
        ("{}", ": input should be a valid tuple"),
    ],
)
def test_a_wrong_rule_of_retention_is_named(rules: str, mistake: str) -> None:
    """The rule is counted from 1, and the limit named, from a flag as from the environment."""
    found = mistake_in("--retention", rules)
    expected = f"retention{mistake if mistake.startswith(':') else f' {mistake}'}"
    assert found.startswith(expected)
    os.environ["FANLINE_RETENTION"] = rules
    assert mistake_in() == found


@pytest.mark.parametrize("url", ["wss://queue:8080", "wss://queue", "wss://[::1]:8080", "wss://10.0.0.1:1/a"])
def test_the_url_of_the_queue_may_have_a_path(url: str) -> None:
    """A slash at the end is no part of it."""
    assert read("--queue-url", url).queue_url == url
    assert read("--queue-url", f"{url}/").queue_url == url


def test_the_queue_may_have_several_urls() -> None:
    """Blanks and slashes between them are no part of them (line 61)."""
    assert read("--queue-url", "wss://a:1/, wss://b:2").queue_url == "wss://a:1,wss://b:2"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "wss://a:1,",
        "queue:8080",
        "ws://queue:8080",
        "https://queue:8080",
        "wss://",
        "wss://:8080",
        "wss://queue:8080/popmsg",
        "wss://queue:8080?a=1",
        "wss://queue:8080#a",
        "wss://queue:0",
        "wss://queue:65536",
        "wss://queue:http",
        "wss://[::1",
    ],
)
def test_any_other_url_of_the_queue_is_refused(url: str) -> None:
    """It is refused here, by name, and not later, when the first connection is made."""
    mistake = mistake_in("--queue-url", url)
    assert mistake.startswith("queue_url: ")
    assert mistake.endswith(f", got {url!r}")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("nowhere.toml", None, "there is no file"),
        (".", None, "there is no file"),
        ("bad.toml", b"host =", "Invalid value"),
        ("bad.toml", b'host = "\xff"', "codec can't decode"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(
    name: str, content: bytes | None, problem: str, tmp_path: Path
) -> None:
    """The file is named, and what is the matter with it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    mistake = mistake_in("--config", str(path))
    assert str(path) in mistake
    assert problem in mistake


def test_a_file_that_fails_while_it_is_read_is_reported() -> None:
    """An error of the disk or of permissions is one sentence as well."""
    unreadable = "/proc/self/mem"  # there, a file, and nothing to be read at its beginning
    assert mistake_in("--config", unreadable).startswith(f"{unreadable}: [Errno ")


# Secrets


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


def test_variables_of_kubernetes_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """A Service named fanline-publisher sets variables that look like settings; a line of the log says so."""
    injected = {
        "FANLINE_SERVICE_HOST": "10.0.0.1",
        "FANLINE_SERVICE_PORT": "8081",
        "FANLINE_SERVICE_PORT_WSS": "8081",
        "FANLINE_PORT": "tcp://10.0.0.1:8081",
        "FANLINE_PUBLISHER_SERVICE_HOST": "10.0.0.1",
        "FANLINE_PUBLISHER_SERVICE_PORT": "8081",
        "FANLINE_PUBLISHER_PORT": "tcp://10.0.0.1:8081",
        "FANLINE_PUBLISHER_PORT_8081_TCP": "tcp://10.0.0.1:8081",
        "FANLINE_PUBLISHER_PORT_8081_TCP_PROTO": "tcp",
        "FANLINE_PUBLISHER_PORT_8081_TCP_PORT": "8081",
        "FANLINE_PUBLISHER_PORT_8081_TCP_ADDR": "10.0.0.1",
    }
    os.environ |= injected | {"FANLINE_CHAT_PORT": "9083"}
    with caplog.at_level("INFO"):
        assert (read_service("publisher").port, read_service("chat").port) == (8081, 9083)
        assert not caplog.messages
        log_injected_variables()
    (line,) = caplog.messages
    assert line == f"ignored variables that Kubernetes sets for Services: {', '.join(sorted(injected))}"
    os.environ["FANLINE_PUBLISHER_PRT"] = "1"
    with pytest.raises(ConfigurationError, match="FANLINE_PUBLISHER_PRT: no such setting"):
        read_service("publisher")


# Chat


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


def test_every_setting_is_described() -> None:
    """Documentation is made from this: names in order, defaults as text, a sentence for each."""
    described = list(describe())
    assert [name for name, _, _ in described] == list(all_fields())
    assert ("msgqueue_port", "8080", "Port of msgqueue; 0 takes any free one.") in described
    assert all(description.endswith(".") for _, _, description in described)
    assert {name for name, default, _ in described if not default} == {
        "jwks_url",
        "jwks_ca_file",
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
