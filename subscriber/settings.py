"""Settings of subscriber."""

from typing import Annotated, ClassVar

from pydantic import Field

from fanline.setting_types import Bytes, Count, ListenUrls, Port, Seconds
from fanline.settings import ServiceSettings


class SubscriberSettings(ServiceSettings):
    """Settings of subscriber."""

    service: ClassVar[str] = "subscriber"

    port: Port = Field(8082, alias="subscriber_port", description="Port of subscriber; 0 takes any free one.")
    listen: ListenUrls = Field(
        (),
        alias="subscriber_listen",
        description="Further addresses of subscriber, as [proxies need them](#proxies-and-idle-timeouts).",
    )
    metrics_port: Port | None = Field(
        None,
        alias="subscriber_metrics_port",
        description="Port of the metrics of subscriber, without a login; unset, there is none. With "
        "`workers` that of the first one; the others have those after it.",
    )
    max_subscriptions: Count = Field(1_000, description="Subscriptions that one connection may hold.")
    max_subscription_bytes_per_user: Bytes = Field(
        67_108_864,
        description="Memory for the subscriptions of all connections of one user: some 400 bytes for each, "
        "and 300 for each token of one with wildcards; not a limit for users with the role `service`.",
    )
    max_commands_per_second: Count = Field(
        1_000,
        description="Commands that the connections of one user may send a second, for longer than five "
        "seconds; not a limit for users with the role `service`.",
    )
    max_commands_per_second_per_address: Count = Field(
        10_000,
        description="Commands that all users of one address (in IPv6 a /64) may send a second, likewise.",
    )
    join_window: Annotated[float, Field(ge=0, le=1)] = Field(
        0.002, description="Seconds during which frames for a busy connection are joined into one write."
    )
    max_presences: Count = Field(100, description="Topics on which one connection may be present.")
    max_presences_per_user: Count = Field(
        10_000, description="Sessions with which one user may be present, on all topics together."
    )
    leave_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        5,
        description="Seconds that the `leave` of a client whose connection is lost is held back, so that one "
        "that comes back makes no noise.",
    )
    event_heartbeat: Seconds = Field(
        15, description="Seconds of silence after which a stream of server-sent events has a comment."
    )
