"""Layouts: topics to publish on, and each subscriber's subscriptions.

The topics have their turns.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from fanline.protocol.topics import has_wildcard, matches

TOPIC: Final = "bench.0"


class Layout(NamedTuple):
    """Topics and subscriptions.

    Attributes:
        topics: Published on in turn; all of the same length.
        subscriptions: The topics or patterns of each subscriber; no two of one subscriber overlap.
    """

    topics: tuple[str, ...]
    subscriptions: tuple[tuple[str, ...], ...]

    def deliveries(self, subscribers: Sequence[tuple[str, ...]], count: int) -> int:
        """Return the number of deliveries of ``count`` messages to these subscribers."""
        patterns = Counter(pattern for each in subscribers for pattern in each)
        wild = {pattern: times for pattern, times in patterns.items() if has_wildcard(pattern)}
        whole, rest = divmod(count, len(self.topics))
        total = 0
        for number, topic in enumerate(self.topics):
            per_message = patterns[topic]
            per_message += sum(times for pattern, times in wild.items() if matches(pattern, topic))
            total += per_message * (whole + (number < rest))
        return total


def one_topic(subscribers: int) -> Layout:
    """Return a layout with one topic for all subscribers."""
    return Layout((TOPIC,), ((TOPIC,),) * subscribers)


def _own_topics(subscribers: int) -> Layout:
    topics = tuple(f"bench.{number:05}" for number in range(subscribers))
    return Layout(topics, tuple((topic,) for topic in topics))


def _random_topics(subscribers: int) -> Layout:
    """Return a layout with ten random topics for each subscriber.

    They are of a thousand, the same in each run.
    """
    topics = tuple(f"bench.{number:05}" for number in range(1_000))
    choice = random.Random(1)
    return Layout(topics, tuple(tuple(choice.sample(topics, 10)) for _ in range(subscribers)))


def _wildcards(subscribers: int) -> Layout:
    """Return a layout with one of 101 patterns for each subscriber."""
    patterns = [f"bench.{row}.*" for row in range(10)] + [f"bench.*.{column:02}" for column in range(90)]
    patterns.append("bench.>")
    topics = tuple(f"bench.{number % 10}.{number * 7 % 90:02}" for number in range(90))
    return Layout(topics, tuple((patterns[number % len(patterns)],) for number in range(subscribers)))


LAYOUTS: Final[dict[str, Callable[[int], Layout]]] = {
    "one": one_topic,
    "own": _own_topics,
    "random": _random_topics,
    "wild": _wildcards,
}
