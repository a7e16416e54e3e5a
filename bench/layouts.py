"""Who subscribes to what, and which topics are published on in turn."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fanline.protocol.topics import has_wildcard, matches


@dataclass(frozen=True)
class Layout:
    """One arrangement.

    Attributes:
        name: What it is called.
        topics: Those that are published on, each in its turn; all of the same length.
        subscriptions: The topics or patterns of each subscriber; no two of one subscriber overlap.
    """

    name: str
    topics: tuple[str, ...]
    subscriptions: tuple[tuple[str, ...], ...]

    def deliveries(self, subscribers: Sequence[tuple[str, ...]], count: int) -> int:
        """Return how many deliveries ``count`` messages, in turn on each topic, are to these subscribers."""
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
    """Return all on one topic."""
    return Layout("one topic", ("bench.0",), (("bench.0",),) * subscribers)


def own_topics(subscribers: int) -> Layout:
    """Return a topic for each."""
    topics = tuple(f"bench.{number:05}" for number in range(subscribers))
    return Layout("own topics", topics, tuple((topic,) for topic in topics))


def random_topics(subscribers: int, each: int = 10, topics: int = 1_000) -> Layout:
    """Return each on some topics of many, by lot, but the same in each run."""
    names = tuple(f"bench.{number:05}" for number in range(topics))
    lot = random.Random(1)
    return Layout("random topics", names, tuple(tuple(lot.sample(names, each)) for _ in range(subscribers)))


def wildcards(subscribers: int) -> Layout:
    """Return each on one of 101 patterns, which half of the time match by the first part of a topic."""
    patterns = [f"bench.{row}.*" for row in range(10)] + [f"bench.*.{column:02}" for column in range(90)]
    patterns.append("bench.>")
    topics = tuple(f"bench.{number % 10}.{number * 7 % 90:02}" for number in range(90))
    chosen = tuple((patterns[number % len(patterns)],) for number in range(subscribers))
    return Layout("wildcards", topics, chosen)


LAYOUTS = {"one": one_topic, "own": own_topics, "random": random_topics, "wild": wildcards}
