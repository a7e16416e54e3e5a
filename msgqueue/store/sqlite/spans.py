"""Ranges of topic names that patterns can match, to search by name.

A read looks only at the names in these ranges, not at all that there are.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from fanline.protocol.topics import MAX_TOPIC_LENGTH, PatternIndex, has_wildcard

_BEYOND_NAMES: Final = "\U0010ffff" * (MAX_TOPIC_LENGTH + 1)


def span(pattern: str) -> tuple[str, str]:
    """Return the bounds of the names that a pattern can match.

    They lie from the first bound to before the second. A space is less than every character of a name, and
    "/" follows ".".
    """
    if not has_wildcard(pattern):
        return pattern, f"{pattern} "
    prefix = re.split("[*>]", pattern, maxsplit=1)[0]
    return prefix, f"{prefix[:-1]}/" if prefix else _BEYOND_NAMES


def merged_spans(patterns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the spans of patterns in order, those that overlap as one."""
    low = high = ""
    for next_low, next_high in sorted(map(span, patterns)):
        if next_low > high:
            if high:
                yield low, high
            low = next_low
        high = max(high, next_high)
    if high:
        yield low, high


def pattern_index(patterns: Iterable[str]) -> PatternIndex[bool]:
    """Return an index of the topics that any of the patterns matches."""
    index: PatternIndex[bool] = PatternIndex()
    for pattern in patterns:
        index.add(pattern, value=True)
    return index
