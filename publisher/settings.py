"""Settings of publisher."""

from typing import ClassVar

from pydantic import Field

from fanline.setting_types import Bytes, Count, ListenUrls, Port
from fanline.settings import ServiceSettings


class PublisherSettings(ServiceSettings):
    """Settings of publisher."""

    service: ClassVar[str] = "publisher"

    port: Port = Field(8081, alias="publisher_port", description="Port of publisher; 0 takes any free one.")
    listen: ListenUrls = Field(
        (),
        alias="publisher_listen",
        description="Further addresses of publisher, as [proxies need them](#proxies-and-idle-timeouts).",
    )
    metrics_port: Port | None = Field(
        None,
        alias="publisher_metrics_port",
        description="Port of the metrics of publisher, without a login; unset, there is none. With "
        "`workers` that of the first one; the others have those after it.",
    )
    max_in_flight: Count = Field(
        10_000, description="Messages that one publishing connection may have waiting for their ack."
    )
    max_messages_per_second: Count = Field(
        10_000,
        description="Messages that one user may publish a second, for longer than five seconds; not a limit "
        "for users with the role `service`.",
    )
    max_bytes_per_second: Bytes = Field(33_554_432, description="Bytes that one user may publish, likewise.")
    max_messages_per_second_per_address: Count = Field(
        50_000,
        description="Messages that all users of one address (in IPv6 a /64) may publish a second, likewise.",
    )
    max_bytes_per_second_per_address: Bytes = Field(
        134_217_728, description="Bytes that all users of one address may publish, likewise."
    )
    max_new_topics_per_second: Count = Field(
        2_000,
        description="Topics that one user may begin a second, likewise: topics on which there was no message "
        "lately.",
    )
