"""Rates and quantiles from two readings of the metrics."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from fanline.server.metrics import histogram
from fanline.server.status.series import Series, quantile


def test_rates_and_quantiles_come_from_two_readings() -> None:
    """A counter with labels gives one rate, a histogram the quantiles of what came in between."""
    registry = CollectorRegistry()
    refused = Counter("fanline_messages_refused", "Refused.", ["code"], registry=registry)
    commits = histogram("fanline_commit_seconds", "Commits.", (0.01, 0.1, 1))
    registry.register(commits)
    Gauge("fanline_connections", "Open.", registry=registry).set(7)
    Gauge("fanline_unknown", "Not reported.", registry=registry)
    for _ in range(100):
        commits.observe(0.9)  # before the first reading: does not count
    series = Series()
    series.take(100.0, registry.collect())
    refused.labels("too-big").inc(10)
    refused.labels("bad-json").inc(20)
    for seconds in (0.005, 0.005, 0.05, 0.05):
        commits.observe(seconds)
    series.take(105.0, registry.collect())
    found = series.newest(2)
    assert found.keys() == {
        "connections",
        "messages_refused_per_second",
        "commit_p50_seconds",
        "commit_p99_seconds",
    }
    assert found["connections"] == [7, 7]
    assert found["messages_refused_per_second"] == [None, 6.0]
    assert found["commit_p50_seconds"] == [None, pytest.approx(0.01)]
    assert found["commit_p99_seconds"] == [None, pytest.approx(0.0982)]


def test_only_the_newest_are_kept() -> None:
    """As many samples are kept as there is room for, and as many returned as are asked for."""
    registry = CollectorRegistry()
    connections = Gauge("fanline_connections", "Open.", registry=registry)
    series = Series(kept=3)
    for number in range(5):
        connections.set(number)
        series.take(5.0 * number, registry.collect())
    assert series.newest(10) == {"connections": [2, 3, 4]}
    assert series.newest(1) == {"connections": [4]}
    assert series.newest(0) == {"connections": []}


def test_quantile_of_few_values() -> None:
    """Without values there is no quantile; above the highest bound it is that bound."""
    assert math.isnan(quantile(0.5, []))
    assert math.isnan(quantile(0.5, [(1.0, 0), (math.inf, 0)]))
    assert quantile(0.99, [(1.0, 0), (2.0, 0), (math.inf, 3)]) == 2.0
    assert quantile(0.5, [(1.0, 0), (2.0, 4), (math.inf, 4)]) == 1.5
