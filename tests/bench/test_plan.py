"""The default measurements, and the search for the highest rate."""

import pytest

from bench.parts import highest_rate
from bench.plan import MAX_BYTES, MAX_DELIVERIES, PLANS, Scope, grid


def test_grid_keeps_to_its_limits() -> None:
    loads = [(case.subscribers * case.rate, case.size) for case in grid()]
    assert len(loads) > 30
    assert max(deliveries for deliveries, _ in loads) <= MAX_DELIVERIES
    assert max(deliveries * size for deliveries, size in loads) <= MAX_BYTES


@pytest.mark.parametrize("name", PLANS)
def test_quick_plan_is_smaller(name: str) -> None:
    full, quick = (
        sum(case.seconds * case.subscribers for step in steps for group in step.groups for case in group)
        for steps in (PLANS[name](Scope()), PLANS[name](Scope(is_quick=True)))
    )
    assert 0 < quick <= full


@pytest.mark.parametrize("sustained", [100.0, 150.0, 777.0, 5_000.0])
def test_finds_highest_rate(sustained: float) -> None:
    found = highest_rate(lambda rate: rate <= sustained, 100.0, 10_000.0)
    assert sustained / 1.1 <= found <= sustained


def test_highest_rate_is_zero_if_none_is_sustained() -> None:
    assert highest_rate(lambda _: False, 100.0, 10_000.0) == 0.0


def test_search_stops_at_the_limit() -> None:
    tried: list[float] = []

    def sustains(rate: float) -> bool:
        tried.append(rate)
        return True

    assert highest_rate(sustains, 100.0, 300.0) == 200.0
    assert tried == [100.0, 200.0]
