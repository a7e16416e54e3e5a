"""Measurements of a service over time, derived from its metrics. No I/O.

Every few seconds the metrics are read. From two readings come rates and, of the values observed in between,
quantiles; the newest of both are kept for half an hour.
"""

import math
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from prometheus_client.core import Metric

STEP_SECONDS: Final = 5.0
KEPT: Final = 360


class Kind(Enum):
    """Derivation of a measurement from a metric."""

    VALUE = "value"
    RATE = "rate"
    MEDIAN = 0.5
    P99 = 0.99


class _Measurement(NamedTuple):
    metric: str
    kind: Kind


# What a service that has the metric reports; metrics with labels count as their sum.
MEASUREMENTS: Final[Mapping[str, _Measurement]] = {
    "received_per_second": _Measurement("fanline_messages_received", Kind.RATE),
    "stored_per_second": _Measurement("fanline_log_head", Kind.RATE),
    "delivered_per_second": _Measurement("fanline_messages_delivered", Kind.RATE),
    "messages_refused_per_second": _Measurement("fanline_messages_refused", Kind.RATE),
    "requests_refused_per_second": _Measurement("fanline_requests_refused", Kind.RATE),
    "trimmed_per_second": _Measurement("fanline_messages_trimmed", Kind.RATE),
    "in_flight": _Measurement("fanline_messages_in_flight", Kind.VALUE),
    "commit_p50_seconds": _Measurement("fanline_commit_seconds", Kind.MEDIAN),
    "commit_p99_seconds": _Measurement("fanline_commit_seconds", Kind.P99),
    "delivery_p50_seconds": _Measurement("fanline_delivery_seconds", Kind.MEDIAN),
    "delivery_p99_seconds": _Measurement("fanline_delivery_seconds", Kind.P99),
    "loop_lag_p99_seconds": _Measurement("fanline_event_loop_lag_seconds", Kind.P99),
    "connections": _Measurement("fanline_connections", Kind.VALUE),
    "slow_consumers": _Measurement("fanline_slow_consumers", Kind.VALUE),
    "waiting_bytes": _Measurement("fanline_write_buffer_bytes", Kind.VALUE),
    "log_head": _Measurement("fanline_log_head", Kind.VALUE),
    "log_bytes": _Measurement("fanline_log_bytes", Kind.VALUE),
    "disk_free_bytes": _Measurement("fanline_disk_free_bytes", Kind.VALUE),
    "consumers_behind": _Measurement("fanline_consumer_behind_messages", Kind.VALUE),
    "cpu": _Measurement("process_cpu_seconds", Kind.RATE),
    "memory_bytes": _Measurement("process_resident_memory_bytes", Kind.VALUE),
}


class _Reading(NamedTuple):
    """Metrics at a time: sums of samples, and buckets.

    Buckets have cumulative counts by their upper bounds.
    """

    time: float
    values: Mapping[str, float]
    buckets: Mapping[str, Mapping[float, float]]


class Series:
    """The measurements of a service, the newest last.

    Args:
        kept: How many of each.

    Attributes:
        taken: How many samples were taken so far.
    """

    def __init__(self, *, kept: int = KEPT) -> None:
        self.taken = 0
        self._rows: deque[array[float]] = deque(maxlen=kept)
        self._last: _Reading | None = None

    def take(self, now: float, metrics: Iterable[Metric]) -> None:
        """Take a reading of the metrics; the first one gives values only.

        Args:
            now: Seconds of a clock that never goes back.
            metrics: All of them.
        """
        reading = _read(now, metrics)
        last = self._last or reading
        self._rows.append(array("d", [_derive(each, last, reading) for each in MEASUREMENTS.values()]))
        self._last = reading
        self.taken += 1

    def newest(self, count: int) -> dict[str, list[float | None]]:
        """Return the newest values of each measurement that the service has.

        A value is None where it is unknown.

        Args:
            count: How many, at most.
        """
        rows = list(self._rows)[-count:] if count > 0 else []
        columns = {name: [row[index] for row in rows] for index, name in enumerate(MEASUREMENTS)}
        return {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in columns.items()
            if self._last is not None and _is_known(MEASUREMENTS[name], self._last)
        }


def _is_known(measurement: _Measurement, reading: _Reading) -> bool:
    return measurement.metric in reading.values or measurement.metric in reading.buckets


def _read(now: float, metrics: Iterable[Metric]) -> _Reading:
    wanted = {each.metric for each in MEASUREMENTS.values()}
    values: dict[str, float] = {}
    buckets: dict[str, dict[float, float]] = {}
    for family in metrics:
        if family.name not in wanted:
            continue
        if family.type == "histogram":
            found = buckets.setdefault(family.name, {})
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    bound = float(sample.labels["le"])
                    found[bound] = found.get(bound, 0) + sample.value
        else:
            shown = f"{family.name}_total" if family.type == "counter" else family.name
            values[family.name] = sum(each.value for each in family.samples if each.name == shown)
    return _Reading(now, values, buckets)


def _derive(measurement: _Measurement, last: _Reading, reading: _Reading) -> float:
    """Return a measurement; NaN where it is unknown."""
    metric, kind = measurement
    if kind is Kind.VALUE:
        return reading.values.get(metric, math.nan)
    if kind is Kind.RATE:
        passed = reading.time - last.time
        if passed <= 0 or metric not in reading.values:
            return math.nan
        grown = reading.values[metric] - last.values.get(metric, 0)
        return max(0.0, grown) / passed  # a log that was replaced begins again
    before = last.buckets.get(metric, {})
    counts = sorted((bound, n - before.get(bound, 0)) for bound, n in reading.buckets.get(metric, {}).items())
    return quantile(kind.value, counts)


def quantile(share: float, counts: Sequence[tuple[float, float]]) -> float:
    """Estimate a quantile, with values spread evenly within their bucket.

    Args:
        share: The quantile, from 0 to 1.
        counts: Upper bounds of buckets, ascending, each with the number of values up to it.

    Returns:
        NaN without values; the highest bound but infinity for what lies above it.
    """
    if not counts or not counts[-1][1]:
        return math.nan
    rank = share * counts[-1][1]
    lower = below = 0.0
    for bound, count in counts:
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
