"""Quantiles."""

import math

import pytest

from bench.load.receivers import quantile, quantiles


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_quantile_is_the_least_value_not_exceeded(share: float, value: int) -> None:
    assert quantile(range(1, 101), share) == value


def test_no_values_have_no_quantiles() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantiles([]) == {}
