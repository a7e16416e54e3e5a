"""Who gets what, and that all servers are given messages of the same size."""

import msgspec
import pytest

from bench.layouts import LAYOUTS
from bench.peers.base import STAMP_DIGITS, Dialect
from bench.peers.fanline import FanlineDialect
from bench.peers.mosquitto import MqttDialect
from bench.peers.naive import NaiveDialect
from bench.peers.nats import NatsDialect
from bench.plan import MOST_BYTES, MOST_DELIVERIES, grid
from fanline.errors import ConfigurationError
from fanline.protocol import Message, encode
from fanline.protocol.topics import matches

DIALECTS = (FanlineDialect(), MqttDialect(), NaiveDialect(), NatsDialect())
TOPIC = "bench.0"


def published(dialect: Dialect, size: int) -> bytes:
    """The JSON object that is published as a message of that size."""
    before, after = dialect.publication(TOPIC, size)
    frame = before + b"1" * STAMP_DIGITS + after
    return frame[frame.index(b'{"topic"') : frame.rindex(b"}") + 1]


@pytest.mark.parametrize("size", [100, 120, 1_024, 16_384, 70_000])
@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_messages_have_the_size_asked_for(dialect: Dialect, size: int) -> None:
    """What a server hands on as it is has the size of the message."""
    assert len(published(dialect, size)) == size


@pytest.mark.parametrize("size", [100, 120, 1_024, 16_384])
def test_a_message_grows_to_its_size(size: int) -> None:
    """What Fanline is given has the size asked for when it is delivered."""
    new = msgspec.json.decode(published(FanlineDialect(), size))
    content = msgspec.Raw(msgspec.json.encode(new["content"]))
    assert len(encode(Message(TOPIC, content, 1_000_001, 1_795_209_095_123, sender="hello"))) == size


def test_too_small_a_message_is_refused() -> None:
    """A size that a message cannot have is refused, with the one that it has."""
    with pytest.raises(ConfigurationError, match="size: 20 bytes are too few"):
        NaiveDialect().publication(TOPIC, 20)


@pytest.mark.parametrize("name", LAYOUTS)
def test_deliveries_are_foreseen(name: str) -> None:
    """The number of deliveries is that of the pairs of message and subscription that match."""
    layout = LAYOUTS[name](120)
    count = 2 * len(layout.topics) + 7
    sent = [layout.topics[number % len(layout.topics)] for number in range(count)]
    expected = sum(
        matches(pattern, topic) for topic in sent for patterns in layout.subscriptions for pattern in patterns
    )
    assert layout.deliveries(layout.subscriptions, count) == expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_topics_of_a_layout_have_one_length(name: str) -> None:
    """All topics of a layout are equally long, so that all messages are."""
    assert len({len(topic) for topic in LAYOUTS[name](120).topics}) == 1


def test_the_grid_keeps_to_its_limits() -> None:
    """No point of the grid asks for more than the machine is thought to bear, and some are left."""
    points = grid(1.0)
    loads = [(point.subscribers * point.load.rate, point.load.size) for point in points]
    assert len(points) > 30
    assert max(deliveries for deliveries, _ in loads) <= MOST_DELIVERIES
    assert max(deliveries * size for deliveries, size in loads) <= MOST_BYTES
