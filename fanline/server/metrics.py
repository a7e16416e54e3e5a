"""Metrics that are read where they are kept anyway, only when somebody asks for them."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which nobody looks at


class _Reading(Collector):
    def __init__(self, read: Callable[[], Metric]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield self._read()


def gauge(registry: CollectorRegistry, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
    """Show a value that goes up and down.

    Args:
        registry: Where to show it.
        name: What to call it.
        help: What it is, in a sentence.
        read: Returns it.
    """
    registry.register(_Reading(lambda: GaugeMetricFamily(name, help, value=read())))


def counter(registry: CollectorRegistry, name: str, help: str, read: Callable[[], float]) -> None:  # noqa: A002
    """Show a value that only grows; ``_total`` is added to its name. Otherwise like :func:`gauge`."""
    registry.register(_Reading(lambda: CounterMetricFamily(name, help, value=read())))
