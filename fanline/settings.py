"""Every setting of every service, in one typed model.

A setting has one name in all three places that it can be written, most important first::

    --msgqueue-port 9080            a flag (secrets have none: a command line can be read by everyone)
    FANLINE_MSGQUEUE_PORT=9080      an environment variable
    msgqueue_port = 9080            a line of the TOML file that FANLINE_CONFIG or --config names

``WS_CERT_DIR``, the variable of the original Go services, stands in for an unset ``FANLINE_CERT_DIR``.
"""

import argparse
import ipaddress
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fanline.errors import ConfigurationError, Rejected
from fanline.protocol.topics import covers, require_pattern

ENV_PREFIX = "FANLINE_"

DEMO_USER = "hello"
DEMO_PASSWORD = "test"


def _service_url(text: str) -> str:
    url = text.rstrip("/")
    parts = urlsplit(url)
    has_more = "@" in parts.netloc or parts.path or parts.query or parts.fragment
    if parts.scheme != "wss" or not parts.hostname or parts.port == 0 or has_more:
        raise ValueError("expected wss://HOST:PORT, without a path or a login")
    return url


def _pattern(text: str) -> str:
    try:
        require_pattern(text)
    except Rejected as rejected:
        raise ValueError(rejected.reason) from None
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 366)]
Age = Annotated[float, Field(gt=0, le=86_400 * 36_600)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1024)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class RetentionRule(BaseModel):
    """How much is kept of the topics that match; without any limit, everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: Pattern = Field(description="The topics, as a subscription spells them.")
    max_age: Age | None = Field(None, description="Seconds for which a message is kept.")
    max_count: Count | None = Field(None, description="Messages kept of each topic.")
    max_bytes: Bytes | None = Field(None, description="Bytes of messages kept of all these topics together.")


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"expected a JSON array of rules: {error}") from None


def _without_idle_rules(rules: tuple[RetentionRule, ...]) -> tuple[RetentionRule, ...]:
    """Refuse rules that would never apply."""
    for number, rule in enumerate(rules):
        for before, other in enumerate(rules[:number]):
            if covers(other.topics, rule.topics):
                raise ValueError(
                    f'rule {number + 1} never applies to "{rule.topics}", because rule {before + 1},'
                    f' "{other.topics}", comes first: put it behind or leave one out'
                )
    return rules


def _split_origins(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or f"{parts.scheme}://{parts.netloc}" != text
    ):
        raise ValueError("expected https://HOST or https://HOST:PORT, without a path")
    return text.lower()


Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split_origins)
]

RetentionRules = Annotated[
    tuple[RetentionRule, ...], NoDecode, BeforeValidator(_from_json), AfterValidator(_without_idle_rules)
]


class Settings(BaseSettings):
    """The settings of an installation; each service reads those that concern it."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1", description="Address to listen on. Other than loopback needs `users_file`.", min_length=1
    )
    msgqueue_port: Port = Field(8080, description="Port of msgqueue; 0 takes any free one.")
    publisher_port: Port = Field(8081, description="Port of publisher; 0 takes any free one.")
    subscriber_port: Port = Field(8082, description="Port of subscriber; 0 takes any free one.")
    chat_port: Port = Field(8083, description="Port of chat; 0 takes any free one.")
    queue_url: ServiceUrl = Field(
        "wss://localhost:8080", description="Where publisher and subscriber find msgqueue."
    )
    publisher_url: ServiceUrl = Field("wss://localhost:8081", description="Where chat finds publisher.")
    subscriber_url: ServiceUrl = Field("wss://localhost:8082", description="Where chat finds subscriber.")
    cert_dir: Path = Field(
        Path("var/certs"),
        description="Folder with `ca.crt`, `server.crt` and `server.key` (`python -m certs`).",
    )
    data_dir: Path = Field(Path("var/data"), description="Folder in which msgqueue keeps the log.")
    users_file: Path | None = Field(
        None,
        description="Users in htpasswd format (bcrypt); their rights in a TOML file beside it, of that name "
        "with `.toml` added. Without it the only login is hello/test, on loopback.",
    )
    link_user: str = Field(
        DEMO_USER, description="The user as which a service logs in to its neighbour.", min_length=1
    )
    link_password: SecretStr | None = Field(
        None, description="Its password. Environment or file only; `link_password_file` is safer."
    )
    link_password_file: Path | None = Field(None, description="File whose first line is that password.")
    token_key_file: Path = Field(
        Path("var/token.key"),
        description="Key of the tokens, the same for all services that issue or accept them; chat and "
        "`fanline token` make it if it is missing.",
    )
    allowed_origins: Origins = Field(
        (),
        description="Origins of the web pages elsewhere that may use the services from a browser, with "
        "commas between. A service's own pages always may.",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="Processes of publisher, and of subscriber, that share its port."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged, to standard error."
    )

    max_content: Bytes = Field(1_048_576, description="Largest content of one message, in bytes.")
    max_subscriptions: Count = Field(1_000, description="Subscriptions that one connection may hold.")
    max_in_flight: Count = Field(
        10_000, description="Messages that one publishing connection may have waiting for their ack."
    )
    max_connections_per_user: Count = Field(
        20_000, description="Connections that one user may hold per service."
    )
    handshake_timeout: Seconds = Field(
        10, description="Seconds that a client has for the TLS and again for the WebSocket handshake."
    )
    ping_interval: Seconds = Field(
        20, description="Seconds without a sign of life after which a peer is pinged."
    )
    silence_limit: Seconds = Field(
        30,
        description="Seconds that a pinged or stalled peer may go without any progress before it is cut off.",
    )
    write_buffer: Bytes = Field(
        65_536, description="Bytes waiting for one slow connection above which it is no longer fed live."
    )
    join_window: Annotated[float, Field(ge=0, le=1)] = Field(
        0.002, description="Seconds during which frames due to a busy connection are joined into one write."
    )
    recent_bytes: Bytes = Field(
        16_777_216,
        description="Bytes of the newest messages kept in memory for readers that fell a little behind.",
    )
    queue_wait: Seconds = Field(
        10, description="Seconds that a request waits for an unreachable msgqueue before it is refused."
    )
    queue_buffer: Bytes = Field(
        67_108_864,
        description="Bytes of unacknowledged messages a service holds before it stops reading more.",
    )
    dedupe_window: Seconds = Field(
        600, description="Seconds during which a message sent again with the same id is stored only once."
    )
    retention: RetentionRules = Field(
        (),
        description="Rules for what is removed from the log, a `[[retention]]` table for each in the file, a "
        "JSON array of them elsewhere. Without any rule everything is kept.",
    )
    return_spread: Seconds = Field(
        5, description="Seconds over which the clients of a stopping service are told to come back."
    )
    drain_timeout: Seconds = Field(10, description="Seconds that a stopping service takes at most.")

    chat_password: SecretStr | None = Field(
        None,
        description="What everybody logs in to chat with. Environment or file only; `chat_password_file` is "
        "safer. Without either it is test, on loopback.",
    )
    chat_password_file: Path | None = Field(None, description="File whose first line is that password.")
    chat_guests: bool | None = Field(
        None, description="Whether chat lets in guests, without a password; unset, only on loopback."
    )
    chat_token_lifetime: Seconds = Field(86_400, description="Seconds for which a login to chat is good.")
    chat_max_message: Bytes = Field(16_384, description="Largest text of a chat message, in bytes.")
    chat_max_rooms: Count = Field(10_000, description="Rooms that there may be in chat.")

    @model_validator(mode="after")
    def _one_of_each_password(self) -> Self:
        for name in ("link_password", "chat_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both set: set one")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether :attr:`host` can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def max_frame(self) -> int:
        """Largest frame read from a client, in bytes; a message over its own limit still fits and is refused.

        What is larger still closes the connection with 1009, unread.
        """
        return 4 * self.max_content

    @property
    def guests_allowed(self) -> bool:
        """Whether chat lets in who has no login."""
        return self.is_loopback if self.chat_guests is None else self.chat_guests

    def link_secret(self) -> str:
        """Return the password for the neighbours.

        Raises:
            ConfigurationError: If the password file cannot be read, or is empty.
        """
        return self._secret("link_password") or DEMO_PASSWORD

    def chat_secret(self) -> str:
        """Return the password that everybody logs in to chat with.

        Raises:
            ConfigurationError: If the password file cannot be read, or is empty; or if there is no password
                and others than this machine can reach chat.
        """
        secret = self._secret("chat_password")
        if secret is None and not self.is_loopback:
            raise ConfigurationError(
                f"host: {self.host} is open to other machines, and the password of chat is the one that "
                "everybody knows; set FANLINE_CHAT_PASSWORD_FILE, or listen on 127.0.0.1"
            )
        return secret or DEMO_PASSWORD

    def _secret(self, name: str) -> str | None:
        """Return a password from its setting, or else from the file that stands for it."""
        given: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        if given is not None:
            return given.get_secret_value()
        if path is None:
            return None
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_file {path}: {error}") from error
        if not lines or not lines[0]:
            raise ConfigurationError(f"{name}_file {path}: the first line is empty")
        return lines[0]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank flags over the environment over the file; pydantic-settings calls this."""
        sources = [init_settings, env_settings]
        if "WS_CERT_DIR" in os.environ:
            sources.append(InitSettingsSource(settings_cls, {"cert_dir": os.environ["WS_CERT_DIR"]}))
        if config := os.environ.get(f"{ENV_PREFIX}CONFIG"):
            sources.append(TomlConfigSettingsSource(settings_cls, Path(config)))
        return tuple(sources)


def load(argv: Sequence[str], *, program: str, description: str) -> Settings:
    """Read the settings of a service from its command line, the environment and the TOML file.

    Args:
        argv: The command line, without the program's name.
        program: How the program is called, for ``--help``.
        description: What it does, for ``--help``.

    Raises:
        ConfigurationError: If a setting is unknown or wrong; the text names it and says what was expected.
        SystemExit: After ``--help``.
    """
    parsed, unknown = _parser(program, description).parse_known_args(argv)
    _reject_unknown_flags(unknown)
    flags = {name: value for name, value in vars(parsed).items() if value is not None}
    if config := flags.pop("config", None):
        os.environ[f"{ENV_PREFIX}CONFIG"] = config
    return build(flags)


def build(flags: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings, with ``flags`` over what the environment and the TOML file say.

    Raises:
        ConfigurationError: As for :func:`load`.
    """
    _reject_unknown_variables()
    _check_config_file()
    try:
        return Settings(**(flags or {}))
    except ValidationError as error:
        raise ConfigurationError("\n".join(_sentences(error))) from None
    except (ValueError, OSError) as error:  # the TOML file is not TOML, or cannot be read
        config = os.environ.get(f"{ENV_PREFIX}CONFIG")
        raise ConfigurationError(f"{config}: {error}") from error


def describe() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of every setting, for documentation."""
    for name, field in Settings.model_fields.items():
        yield name, "" if field.default in (None, ()) else str(field.default), field.description or ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}; --help lists what there is")


def _parser(program: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program, description=description, epilog=(__doc__ or ""), allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation):
            parser.add_argument_group(f"{ENV_PREFIX}{name.upper()}, without a flag", field.description)
            continue
        default = "" if field.default in (None, ()) else f" [{field.default}]"
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, dest=name, metavar="VALUE", help=f"{field.description}{default}".replace("%", "%%")
        )
    return parser


def _reject_unknown_flags(words: Sequence[str]) -> None:
    """Raise an error that names flags only: of what stands behind them, anything may be a password."""
    if words:
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        problem = f"{', '.join(flags)}: no such flag" if flags else "there is a value without a flag"
        raise ConfigurationError(f"{problem}; --help lists what there is")


def _reject_unknown_variables() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{ENV_PREFIX}CONFIG"}
    unknown = sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: no such setting; --help lists what there is")


def _check_config_file() -> None:
    config = os.environ.get(f"{ENV_PREFIX}CONFIG")
    if config and not Path(config).is_file():
        raise ConfigurationError(f"{ENV_PREFIX}CONFIG: there is no file {config}")


def _sentences(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        kind = "rule" if "retention" in problem["loc"] else "value"
        name = " ".join(part if isinstance(part, str) else f"{kind} {part + 1}" for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"{name}: no such setting; --help lists what there is"
        elif name:
            message = problem["msg"].removeprefix("Value error, ")
            yield f"{name}: {message[0].lower()}{message[1:]}{_given(name, problem['input'])}"
        else:
            yield problem["msg"].removeprefix("Value error, ")


def _given(name: str, value: object) -> str:
    """Return what to say of a wrong value: nothing of one that is a password, or may have one in it."""
    return "" if "password" in name or "@" in str(value) else f", got {value!r}"
