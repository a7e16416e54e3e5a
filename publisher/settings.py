"""Settings of publisher."""

from typing import ClassVar

from pydantic import Field

from fanline.setting_types import Count, Port
from fanline.settings import ServiceSettings


class PublisherSettings(ServiceSettings):
    """Settings of publisher."""

    service: ClassVar[str] = "publisher"

    port: Port = Field(8081, alias="publisher_port", description="Port of publisher; 0 takes any free one.")
    max_in_flight: Count = Field(
        10_000, description="Messages that one publishing connection may have waiting for their ack."
    )
