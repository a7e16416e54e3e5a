"""Names that do not exist, and values that are wrong."""

import os
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.setting_sources import (
    log_injected_variables,
    read_service,
    variable_of,
)
from msgqueue.settings import RetentionRule
from tests.fanline.settings.conftest import WriteConfig, mistake_in, read

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
