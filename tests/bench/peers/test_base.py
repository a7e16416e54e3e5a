"""Messages of the same size at every server."""

import json

import msgspec
import pytest

from bench.peers.base import STAMP_DIGITS, Dialect
from bench.peers.centrifugo import CentrifugoDialect
from bench.peers.fanline import FanlineDialect
from bench.peers.mosquitto import MqttDialect
from bench.peers.naive import NaiveDialect
from bench.peers.nats import NatsDialect
from fanline.errors import ConfigurationError
from fanline.protocol import Message, encode

TOPIC = "bench.0"
OTHERS = (CentrifugoDialect(), MqttDialect(), NaiveDialect(), NatsDialect())


def published(dialect: Dialect, size: int) -> bytes:
    """Return the JSON object that is published as a message of that size."""
    before, after = dialect.payload(TOPIC, size)
    text = (before + b"1" * STAMP_DIGITS + after).decode(errors="replace")
    start = text.index('{"topic"')
    return text[start : start + json.JSONDecoder().raw_decode(text[start:])[1]].encode()


@pytest.mark.parametrize("size", [100, 120, 1_024, 16_384, 70_000])
@pytest.mark.parametrize("dialect", OTHERS)
def test_published_message_has_the_size(dialect: Dialect, size: int) -> None:
    assert len(published(dialect, size)) == size


@pytest.mark.parametrize("size", [100, 120, 1_024, 16_384])
def test_fanline_message_has_the_size_when_delivered(size: int) -> None:
    new = msgspec.json.decode(published(FanlineDialect(), size))
    content = msgspec.Raw(msgspec.json.encode(new["content"]))
    assert len(encode(Message(TOPIC, content, 1_000_001, 1_795_209_095_123, sender="hello"))) == size


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="size: 20 bytes are too few"):
        NaiveDialect().publication(TOPIC, 20)
