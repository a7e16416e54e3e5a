"""Metrics: values that are read where they are kept, when ``/metrics`` is asked for."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which is of no use


class _CounterReading(Collector):
    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._name = name
        self._text = text
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._text, value=self._read())


def new_registry() -> CollectorRegistry:
    """Return a registry for one service, with the metrics of its process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def gauge(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """Show a value that goes up and down.

    Args:
        registry: Where to show it.
        name: Its name.
        text: What it is, in a sentence.
        read: Returns it.
    """
    Gauge(name, text, registry=registry).set_function(read)


def counter(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """Show a value that only grows; ``_total`` is added to its name. Otherwise like :func:`gauge`."""
    registry.register(_CounterReading(name, text, read))
