"""Topics that are known, and new ones."""

from collections.abc import Sequence

import msgspec

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import NewMessage
from publisher.known_topics import KnownTopics


def messages(*topics: str) -> Sequence[NewMessage | Rejected]:
    return [NewMessage(topic, msgspec.Raw(b"1")) for topic in topics]


def test_topics_are_new_once() -> None:
    """Each counts once in a frame, and no more when it was added; a refusal has none."""
    known = KnownTopics()
    entries = [*messages("a", "b", "a"), Rejected(ErrorCode.BAD_TOPIC, "no topic")]
    assert known.find_new(entries) == {"a", "b"}
    known.add(["a"])
    assert known.find_new(entries) == {"b"}


def test_old_topics_are_forgotten() -> None:
    """The memory is bounded, and the newest topics stay."""
    known = KnownTopics(max_recent=10)
    for n in range(35):
        known.add([str(n)])
    new = known.find_new(messages(*map(str, range(35))))
    assert new == {str(n) for n in range(20)}
