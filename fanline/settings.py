"""Settings that all services share.

Every service declares the rest of its settings in a subclass of :class:`ServiceSettings`, in its own package.
A setting has one name in all three places that it can be written, most important first::

    --msgqueue-port 9080            a flag (secrets have none: other users can read a command line)
    FANLINE_MSGQUEUE_PORT=9080      an environment variable; an empty one counts as unset
    msgqueue_port = 9080            a line of the TOML file that FANLINE_CONFIG or --config names

``WS_CERT_DIR``, the variable of the original Go services, stands in for an unset ``FANLINE_CERT_DIR``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo

from fanline.addresses import is_loopback, split_hosts, split_listen_url
from fanline.errors import ConfigurationError
from fanline.setting_types import (
    Algorithms,
    Bytes,
    Count,
    Hosts,
    HttpsUrl,
    HttpUrl,
    ListenUrls,
    Networks,
    Origins,
    PasswordFile,
    PathPrefix,
    Port,
    Seconds,
    ServiceUrl,
    ServiceUrlOrNone,
    ServiceUrls,
    TokenRules,
    Words,
)

# Where a process reports its readiness; a variable with the prefix of settings that is none.
READY_FD_VARIABLE: Final = "FANLINE_READY_FD"

DEMO_USER: Final = "hello"
DEMO_PASSWORD: Final = "test"


class Settings(BaseModel):
    """Settings that all services share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Hosts = Field(
        "127.0.0.1",
        description="Addresses to listen on, with commas between them: `0.0.0.0` is all of IPv4, `::` all of "
        "both families, `localhost` the loopback of both. Other than loopback needs `users_file`.",
    )
    queue_url: ServiceUrls = Field(
        "wss://localhost:8080",
        description="Where publisher and subscriber find msgqueue; the msgqueues of a cluster, with commas "
        "between: another one is used when one is lost, stops, or is not ready.",
    )
    publisher_url: ServiceUrl = Field(
        "wss://localhost:8081", description="Where chat and the [status page](admin.md) find publisher."
    )
    subscriber_url: ServiceUrl = Field(
        "wss://localhost:8082", description="Where chat and the status page find subscriber."
    )
    chat_url: ServiceUrlOrNone = Field(
        "wss://localhost:8083", description="Where the status page finds chat; `none` if there is no chat."
    )
    cert_dir: Path = Field(
        Path("var/certs"),
        description="Folder with `ca.crt`, `server.crt` and `server.key` (`python -m certs`).",
    )
    users_file: Path | None = Field(
        None,
        description="Users in htpasswd format (bcrypt); their rights in a TOML file next to it, of that name "
        "with `.toml` added. Without it the only login is hello/test, on loopback.",
    )
    link_user: str = Field(
        DEMO_USER, description="The user as which a service logs in to another.", min_length=1
    )
    link_password: SecretStr | None = Field(
        None, description="Its password. Environment or file only; `link_password_file` is safer."
    )
    link_password_file: PasswordFile = Field(None, description="File whose first line is that password.")
    link_cert_file: Path | None = Field(
        None,
        description="Client certificate of `link_user`, with which a service logs in to another instead of "
        "by password; the other needs `client_ca_file`.",
    )
    link_key_file: Path | None = Field(
        None, description="Its private key, unless that is in `link_cert_file`."
    )
    client_ca_file: Path | None = Field(
        None,
        description="CA certificates: a client certificate that one of them has signed is a login of the "
        "user whose name it has. Without it clients are asked for none.",
    )
    token_key_file: Path = Field(
        Path("var/token.key"),
        description="Key of the tokens for publisher and subscriber, which both need; `fanline up` and "
        "`fanline token` make it if it is missing.",
    )
    token_key: SecretStr | None = Field(
        None, description="That key itself. Environment or file only; `token_key_file` is safer."
    )
    jwks_url: HttpsUrl | None = Field(
        None,
        description="Where the identity provider publishes its keys (JWKS), `https://…`; its tokens are then "
        "logins to publisher and subscriber. Needs `token_issuer` and `token_audience`.",
    )
    jwks_ca_file: Path | None = Field(
        None, description="CA certificates that verify it; without them those of the system."
    )
    token_public_keys: Path | None = Field(
        None, description="PEM file with its public keys, instead of `jwks_url`."
    )
    token_issuer: str | None = Field(None, description="The claim `iss` that its tokens must have.")
    token_audience: str | None = Field(
        None, description="What the claim `aud` of its tokens must be, or have in its list."
    )
    token_audience_claim: str = Field(
        "aud", description="The claim that must be, or have, `token_audience`: `client_id` for Cognito."
    )
    token_algorithms: Algorithms = Field(
        ("RS256", "ES256", "EdDSA"), description="How its tokens may be signed, with commas between."
    )
    token_name_claim: str = Field("sub", description="The claim of its tokens that has the name.")
    token_publish_claim: str = Field(
        "publish", description="The claim with the patterns to publish on: a list, or words in a string."
    )
    token_subscribe_claim: str = Field(
        "subscribe", description="The claim with the patterns to subscribe to, likewise."
    )
    token_rights: TokenRules = Field(
        (),
        description="What a value of a claim allows, such as a role: a `[[token_rights]]` table for each in "
        "the file, with `claim`, `value`, `publish` and `subscribe`, a JSON array of them elsewhere.",
    )
    token_publish: Words = Field(
        (),
        description="Patterns that all bearers of its tokens may publish on, with commas between; `{sub}` is "
        "the name.",
    )
    token_subscribe: Words = Field(
        (), description="Patterns that all bearers of its tokens may subscribe to, likewise."
    )
    allowed_origins: Origins = Field(
        (),
        description="Origins of the web pages elsewhere that may use the services from a browser, separated "
        "by commas. A service's own pages always may.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of the proxies in front, separated by commas; they are believed "
        "when they name the address of a client.",
    )
    proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for", description="The header in which those proxies name the client."
    )
    path_prefix: PathPrefix = Field(
        "",
        description="The path under which a proxy in front shows the services, such as `/live`; a trusted "
        "proxy may also say so itself, with `X-Forwarded-Prefix`.",
    )
    serve_port: Port | None = Field(
        None,
        description="Port on which `fanline serve` has all services, such as 8443; unset, each has its own.",
    )
    serve_listen: ListenUrls = Field(
        (), description="Further addresses of all services at `serve_port`, like `publisher_listen`."
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        1, description="Processes of publisher, and of subscriber, that share its port."
    )
    metrics_host: Hosts = Field(
        "127.0.0.1",
        description="Addresses at which the metrics can be read without a login and without TLS, on the port "
        "`SERVICE_metrics_port`, if there is one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged, to standard error."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How a line of the log is spelled; `json` is an object on each line."
    )
    otlp_endpoint: HttpUrl | None = Field(
        None,
        description="Where [spans](#traces) go: URL of an OpenTelemetry collector that takes OTLP over HTTP, "
        "such as `http://localhost:4318`. Needs `fanline[otel]`.",
    )

    max_content: Bytes = Field(1_048_576, description="Largest content of one message, in bytes.")
    max_connections_per_user: Count = Field(
        20_000, description="Connections that one user may hold per service."
    )
    max_connections_per_address: Count = Field(
        20_000,
        description="Connections that one address (in IPv6 a /64) may hold per service; not a limit for "
        "users with the role `service`.",
    )
    handshake_timeout: Seconds = Field(
        10, description="Seconds that a client has for the TLS and again for the WebSocket handshake."
    )
    max_handshakes: Count = Field(
        1_000,
        description="Connections that may be open before their first request is answered or their login is "
        "right; at most a quarter of the file descriptors.",
    )
    max_handshakes_per_address: Count = Field(
        200,
        description="Likewise, of one address (in IPv6 a /64) that is not of `trusted_proxies`; further ones "
        "wait for `handshake_timeout`.",
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
    unfinished_bytes: Bytes = Field(
        67_108_864,
        description="Bytes of messages that have not arrived whole which a service holds for all clients.",
    )
    unread_bytes: Bytes = Field(
        1_073_741_824,
        description="Bytes that wait for slow connections which a service holds for all of them together.",
    )
    recent_bytes: Bytes = Field(
        16_777_216,
        description="Memory for the newest messages, in bytes, for readers that fell a little behind.",
    )
    queue_wait: Seconds = Field(
        10, description="Seconds that a request waits for an unreachable msgqueue before it is refused."
    )
    queue_buffer: Bytes = Field(
        67_108_864,
        description="Bytes of unacknowledged messages a service holds before it stops reading more.",
    )
    return_spread: Seconds = Field(
        5, description="Seconds over which the clients of a stopping service are told to come back."
    )
    shutdown_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        0,
        description="Seconds that a service told to stop still accepts connections, while `/readyz` is 503, "
        "so that load balancers notice.",
    )
    drain_timeout: Seconds = Field(10, description="Seconds that a stopping service takes at most.")

    @model_validator(mode="after")
    def _one_link_login(self) -> Self:
        self.require_one_password("link_password", self.link_password, self.link_password_file)
        has_password = self.link_password is not None or self.link_password_file is not None
        if self.link_cert_file is not None and has_password:
            raise ValueError("link_cert_file and a link_password are both set: set one")
        return self

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """Return the settings by the names that users write."""
        return {cls.name_of(name): field for name, field in cls.model_fields.items()}

    @classmethod
    def name_of(cls, field: str) -> str:
        """Return the name that users write for a field."""
        return cls.model_fields[field].alias or field

    @property
    def is_loopback(self) -> bool:
        """Return whether other machines can reach none of the listening addresses."""
        return all(map(is_loopback, split_hosts(self.host))) and are_loopback(self.serve_listen)

    @property
    def max_frame(self) -> int:
        """Largest frame read from a client, in bytes.

        A larger one closes the connection with 1009. The limit leaves room for a message over its own limit,
        which is refused without closing the connection.
        """
        return 4 * self.max_content

    def link_secret(self) -> str | None:
        """Return the password for other services; None for a certificate login.

        Raises:
            ConfigurationError: If the password file cannot be read, or is empty.
        """
        secret = read_secret("link_password_file", self.link_password, self.link_password_file)
        if secret is None and self.link_cert_file is None:
            return DEMO_PASSWORD
        return secret

    def require_one_password(self, name: str, password: SecretStr | None, file: Path | None) -> Self:
        """Return the settings unless a password and its file are both set.

        Raises:
            ValueError: If they are.
        """
        if password is not None and file is not None:
            raise ValueError(f"{name} and {name}_file are both set: set one")
        return self


class ServiceSettings(Settings):
    """Settings of one service: its own, and those that all share.

    Attributes:
        service: Name of the service.
    """

    service: ClassVar[str]

    port: Port
    listen: ListenUrls
    metrics_port: Port | None

    @property
    def is_loopback(self) -> bool:
        """Return whether other machines can reach no address of the service."""
        return super().is_loopback and are_loopback(self.listen)

    def client_password(self) -> str:
        """Return the password with which clients on this machine log in.

        Raises:
            ConfigurationError: If it is in a file that cannot be used.
        """
        return self.link_secret() or DEMO_PASSWORD


def are_loopback(listen: Sequence[str]) -> bool:
    """Return whether other machines can reach none of some listening URLs."""
    return all(url.path or is_loopback(url.host) for url in map(split_listen_url, listen))


def read_secret(name: str, password: SecretStr | None, path: Path | None) -> str | None:
    """Return a password, from the setting or its file's first line.

    It is None without either.

    Args:
        name: The setting that names the file.
        password: The password as set.
        path: The file.

    Raises:
        ConfigurationError: If the file cannot be read, or the password is empty.
    """
    if password is not None:
        if not password.get_secret_value():
            raise ConfigurationError(f"{name.removesuffix('_file')}: the password is empty")
        return password.get_secret_value()
    if path is None:
        return None
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigurationError(f"{name} {path}: {reason}") from error
    if not lines or not lines[0]:
        raise ConfigurationError(f"{name} {path}: the first line is empty")
    return lines[0]
