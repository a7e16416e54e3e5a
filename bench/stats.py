"""Medians, quantiles, and how far apart the rounds are."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """What several rounds came to.

    Attributes:
        median: The one in the middle.
        low: The least.
        high: The most.
    """

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median, least and most of at least one value."""
    return Spread(median(values), min(values), max(values))


def quantile(in_order: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed; NaN if there are none.

    Args:
        in_order: From the least to the most.
        share: From 0 to 1.
    """
    if not in_order:
        return math.nan
    return in_order[max(0, math.ceil(share * len(in_order)) - 1)]
