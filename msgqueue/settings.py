"""Settings of msgqueue."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from fanline.protocol.topics import covers
from fanline.setting_types import (
    Bytes,
    Count,
    ListenUrls,
    PasswordFile,
    Pattern,
    Port,
    Seconds,
    from_json,
    split_commas,
)
from fanline.settings import ServiceSettings


def _nats_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "tls" or not parts.hostname or not parts.port or parts.username is not None:
        raise ValueError("expected tls://HOST:PORT, without a login")
    return text.rstrip("/")


def _monitor_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.username is not None:
        raise ValueError("expected https://HOST:PORT, without a path or login")
    return text.rstrip("/")


NatsUrls = Annotated[tuple[Annotated[str, AfterValidator(_nats_url)], ...], BeforeValidator(split_commas)]
MonitorUrls = Annotated[
    tuple[Annotated[str, AfterValidator(_monitor_url)], ...], BeforeValidator(split_commas)
]


class RetentionRule(BaseModel):
    """Limits for the messages of matching topics; without any, all are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: Pattern = Field(description="The topics, as a subscription spells them.")
    max_age: Annotated[float, Field(gt=0, le=86_400 * 36_600)] | None = Field(
        None, description="Seconds for which a message is kept."
    )
    max_count: Count | None = Field(None, description="Messages kept of each topic.")
    max_bytes: Bytes | None = Field(None, description="Bytes of messages kept of all these topics together.")


def _without_idle_rules(rules: tuple[RetentionRule, ...]) -> tuple[RetentionRule, ...]:
    """Refuse rules that would never apply."""
    for number, rule in enumerate(rules):
        for before, other in enumerate(rules[:number]):
            if covers(other.topics, rule.topics):
                raise ValueError(
                    f'rule {number + 1} never applies to "{rule.topics}", because rule {before + 1},'
                    f' "{other.topics}", comes first: put it after or leave one out'
                )
    return rules


RetentionRules = Annotated[
    tuple[RetentionRule, ...], BeforeValidator(from_json), AfterValidator(_without_idle_rules)
]


class MsgQueueSettings(ServiceSettings):
    """Settings of msgqueue."""

    service: ClassVar[str] = "msgqueue"

    port: Port = Field(8080, alias="msgqueue_port", description="Port of msgqueue; 0 takes any free one.")
    listen: ListenUrls = Field(
        (),
        alias="msgqueue_listen",
        description="Further addresses of msgqueue, as [proxies need them](#proxies-and-idle-timeouts).",
    )
    metrics_port: Port | None = Field(
        None,
        alias="msgqueue_metrics_port",
        description="Port of the metrics of msgqueue, without a login; unset, there is none.",
    )
    data_dir: Path = Field(Path("var/data"), description="Folder in which msgqueue keeps the log.")
    dedupe_window: Seconds = Field(
        600, description="Seconds during which a message sent again with the same id is stored only once."
    )
    disk_reserve: Bytes = Field(
        67_108_864,
        description="Bytes left free on the disk of `data_dir`: with less no message is stored, so that "
        "retention can still remove old ones, which needs space for a moment.",
    )
    lock_wait: Annotated[float, Field(ge=0)] = Field(
        15,
        description="Seconds for which a msgqueue waits at its start for another one that has `data_dir` "
        "open, and may be about to stop.",
    )
    max_deliveries: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Connections of a durable consumer that may end at a message before it goes to the topic "
        "`$dead.CONSUMER`; 0 for no limit.",
    )
    retention: RetentionRules = Field(
        (),
        description="Rules for what is removed from the log, a `[[retention]]` table for each in the file, a "
        "JSON array of them elsewhere. Without any rule everything is kept.",
    )
    store: Literal["sqlite", "jetstream"] = Field(
        "sqlite",
        description="Engine that keeps the log: `sqlite` on this machine alone; `jetstream`, which is "
        "experimental, in several msgqueues at once, with NATS ([cluster.md](cluster.md)).",
    )
    nats_urls: NatsUrls = Field(
        (), description="The NATS servers of a cluster, `tls://HOST:PORT`, with commas between."
    )
    nats_monitor_urls: MonitorUrls = Field(
        (),
        description="Their monitoring ports, `https://HOST:PORT`: each server is asked there whether it "
        "syncs what it acknowledges.",
    )
    nats_user: str = Field("", description="The user as which msgqueue logs in to NATS; empty for no login.")
    nats_password_file: PasswordFile = Field(None, description="File whose first line is the password.")
    nats_stream: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        "FANLINE", description="The stream that is the journal; made if it is missing."
    )
    journal_bytes: Bytes = Field(
        10_737_418_240, description="Size above which a new stream takes no more, and publishing is refused."
    )
    journal_unverified: bool = Field(
        False, description="Do without `nats_monitor_urls`: the servers are said to sync by themselves."
    )
