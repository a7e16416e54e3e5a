"""Settings of chat."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from fanline import ConfigurationError
from fanline.server import (
    DEMO_PASSWORD,
    Bytes,
    Count,
    ListenUrls,
    PasswordFile,
    Port,
    Seconds,
    ServiceSettings,
    read_secret,
)


class ChatSettings(ServiceSettings):
    """Settings of chat."""

    service: ClassVar[str] = "chat"

    port: Port = Field(8083, alias="chat_port", description="Port of chat; 0 takes any free one.")
    listen: ListenUrls = Field(
        (),
        alias="chat_listen",
        description="Further addresses of chat, as [proxies need them](#proxies-and-idle-timeouts).",
    )
    metrics_port: Port | None = Field(
        None,
        alias="chat_metrics_port",
        description="Port of the metrics of chat, without a login; unset, there is none.",
    )
    chat_password: SecretStr | None = Field(
        None,
        description="The password with which people log in to chat. Environment or file only; "
        "`chat_password_file` is safer. Without either it is test, on loopback.",
    )
    chat_password_file: PasswordFile = Field(None, description="File whose first line is that password.")
    chat_admin_password: SecretStr | None = Field(
        None,
        description="The password with which a login to chat is one of an admin, who may delete any room. "
        "Environment or file only; `chat_admin_password_file` is safer. Without either there are no admins.",
    )
    chat_admin_password_file: PasswordFile = Field(
        None, description="File whose first line is that password."
    )
    chat_name: str = Field("Fanline chat", description="What people see as the name of this chat.")
    chat_user: str | None = Field(
        None,
        description="The user as which chat logs in to the pipeline, with rights for `chat.>` alone; unset, "
        "`link_user`.",
        min_length=1,
    )
    chat_user_password: SecretStr | None = Field(
        None,
        description="Its password. Environment or file only; `chat_user_password_file` is safer.",
    )
    chat_user_password_file: PasswordFile = Field(None, description="File whose first line is that password.")
    chat_token_key_file: Path = Field(
        Path("var/chat-token.key"),
        description="Key of the logins to chat, the same for all its servers; made if it is missing.",
    )
    chat_guests: bool | None = Field(
        None, description="Whether chat lets in guests, without a password; unset, only on loopback."
    )
    chat_token_lifetime: Seconds = Field(86_400, description="Seconds for which a login to chat is valid.")
    chat_max_message: Bytes = Field(16_384, description="Largest text of a chat message, in bytes.")
    chat_rooms_per_person: Count = Field(
        100,
        description="Rooms that one person may have made in chat; guests without a token count by address.",
    )
    chat_guest_rooms_per_hour: Count = Field(
        60,
        description="Rooms that all guests of one address (in IPv6 a /64) may make in an hour; a third of "
        "them at once.",
    )
    chat_messages_per_second: Count = Field(
        100,
        description="Messages that one person may send in chat a second; what comes faster waits. Five times "
        "as many may come at once.",
    )
    chat_guest_messages_per_second: Count = Field(
        400, description="Likewise, all guests of one address (in IPv6 a /64) together."
    )
    chat_max_rooms: Count = Field(10_000, description="Rooms that there may be in chat.")

    @model_validator(mode="after")
    def _one_chat_password(self) -> Self:
        self.require_one_password(
            "chat_admin_password", self.chat_admin_password, self.chat_admin_password_file
        )
        self.require_one_password("chat_user_password", self.chat_user_password, self.chat_user_password_file)
        return self.require_one_password("chat_password", self.chat_password, self.chat_password_file)

    @property
    def guests_allowed(self) -> bool:
        """True if chat lets in people without a login."""
        return self.is_loopback if self.chat_guests is None else self.chat_guests

    def admin_password(self) -> str | None:
        """Return the password of chat's admins, or None without admins.

        Raises:
            ConfigurationError: If the password file cannot be read, or is empty.
        """
        return read_secret(
            "chat_admin_password_file", self.chat_admin_password, self.chat_admin_password_file
        )

    def pipeline_login(self) -> tuple[str, str | None]:
        """Return the user and password of chat in the pipeline.

        The password is None for a certificate.

        Raises:
            ConfigurationError: If the password is missing, or in a file that cannot be used.
        """
        if self.chat_user is None:
            return self.link_user, self.link_secret()
        name = "chat_user_password_file"
        secret = read_secret(name, self.chat_user_password, self.chat_user_password_file)
        if secret is None:
            raise ConfigurationError(f"chat_user {self.chat_user}: there is no password; set {name}")
        return self.chat_user, secret

    def client_password(self) -> str:
        """Return the password with which people log in to chat.

        Raises:
            ConfigurationError: If the password file cannot be read, or is empty; or if there is no password
                and other machines can reach chat.
        """
        secret = read_secret("chat_password_file", self.chat_password, self.chat_password_file)
        if secret is None and not self.is_loopback:
            raise ConfigurationError(
                f"host: {self.host} is open to other machines, and chat has the password of the demo; "
                "set FANLINE_CHAT_PASSWORD_FILE, or listen on 127.0.0.1"
            )
        return DEMO_PASSWORD if secret is None else secret
