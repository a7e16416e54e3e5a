"""Tests of what durable consumers leave in the log."""

import msgspec

from fanline.protocol import Record
from fanline.protocol.topics import is_topic
from msgqueue.consumers.registry import dead_letter


def test_a_dead_letter_names_a_topic() -> None:
    """The name of the consumer is escaped for it; the content has the message as it was delivered."""
    letter = dead_letter("billing eu.*", Record(7, "a", b'{"topic":"a","seq":7}'), 5)
    assert letter.topic == "$dead.billing%20eu%2E%2A"
    assert msgspec.json.decode(letter.content) == {
        "consumer": "billing eu.*",
        "deliveries": 5,
        "message": {"topic": "a", "seq": 7},
    }
    assert is_topic(dead_letter("." * 128, Record(7, "a", b"{}"), 5).topic)
