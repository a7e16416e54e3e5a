"""The engine that the settings choose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fanline.errors import ConfigurationError
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.choice import EngineChoice
from msgqueue.store.sqlite.engine import SqliteStore

CLUSTER = {
    "store": "jetstream",
    "nats_urls": "tls://localhost:4222",
    "nats_monitor_urls": "https://localhost:8222",
    "queue_wait": 30,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nats_urls": ""}, "nats_urls: "),
        ({"nats_monitor_urls": ""}, "to ask each NATS server whether it syncs what it acknowledges"),
        ({"queue_wait": 10}, r"queue_wait: .* needs 20 s or more"),
    ],
)
async def test_a_cluster_needs_what_makes_it_safe(
    make_settings: Callable[..., MsgQueueSettings], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """Settings with which messages could be lost are refused in words."""
    settings = make_settings(MsgQueueSettings, **(CLUSTER | changes))
    with pytest.raises(ConfigurationError, match=words):
        await EngineChoice(settings).open(tmp_path, dedupe_window=1, disk_reserve=0, clock=lambda: 1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nats_urls": "nats://localhost:4222"}, "expected tls://HOST:PORT"),
        ({"nats_monitor_urls": "http://localhost:8222"}, "expected https://HOST:PORT"),
        ({"nats_stream": "a.b"}, "nats_stream"),
    ],
)
def test_nats_is_spoken_to_over_tls(
    make_settings: Callable[..., MsgQueueSettings], changes: dict[str, Any], words: str
) -> None:
    """An address that would be spoken to in the clear is refused."""
    with pytest.raises(ValidationError, match=words):
        make_settings(MsgQueueSettings, **(CLUSTER | changes))


async def test_one_machine_needs_no_nats(
    make_settings: Callable[..., MsgQueueSettings], tmp_path: Path
) -> None:
    """Without a setting the log is a SQLite file."""
    settings = make_settings(MsgQueueSettings)
    store = await EngineChoice(settings).open(tmp_path, dedupe_window=1, disk_reserve=0, clock=lambda: 1.0)
    assert isinstance(store, SqliteStore)
    await store.close()
