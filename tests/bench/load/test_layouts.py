"""Layouts of topics and subscriptions."""

import pytest

from bench.load.layouts import LAYOUTS
from fanline.protocol.topics import matches


@pytest.mark.parametrize("name", LAYOUTS)
def test_deliveries_are_those_of_matching_pairs(name: str) -> None:
    layout = LAYOUTS[name](120)
    count = 2 * len(layout.topics) + 7
    sent = [layout.topics[number % len(layout.topics)] for number in range(count)]
    expected = sum(
        matches(pattern, topic) for topic in sent for patterns in layout.subscriptions for pattern in patterns
    )
    assert layout.deliveries(layout.subscriptions, count) == expected


@pytest.mark.parametrize("name", LAYOUTS)
def test_topics_of_a_layout_have_one_length(name: str) -> None:
    assert len({len(topic) for topic in LAYOUTS[name](120).topics}) == 1
