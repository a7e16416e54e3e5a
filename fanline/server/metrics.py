"""Metrics, whose values are read when ``/metrics`` is requested."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# Bounds for what takes from less than a millisecond to longer than a client waits.
SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

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


def histogram(name: str, text: str, buckets: Sequence[float] = SECONDS) -> Histogram:
    """Return a distribution of observed values, which is in no registry yet.

    Args:
        name: Its name.
        text: What it is, in a sentence.
        buckets: Upper bounds to count by.
    """
    return Histogram(name, text, buckets=buckets, registry=None)


class LabeledGauge(Collector):
    """Values that rise and fall, one per label, read on request.

    Args:
        name: Its name.
        text: What it is, in a sentence.
        label: What the things are.
        read: Returns the value of each thing by its name.
    """

    def __init__(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name = name
        self._text = text
        self._label = label
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the values at present."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for name, value in self._read().items():
            family.add_metric([name], value)
        yield family


def gauge(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """Show a value that goes up and down.

    Args:
        registry: Where to show it.
        name: Its name.
        text: What it is, in a sentence.
        read: Returns it.
    """
    Gauge(name, text, registry=registry).set_function(read)


def show_reconnects(registry: CollectorRegistry, read: Callable[[], float]) -> None:
    """Show how many connections to msgqueue replaced a lost one."""
    counter(
        registry, "fanline_reconnects", "Connections to msgqueue that took the place of a lost one.", read
    )


def counter(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """Show a value that only grows, like :func:`gauge`.

    ``_total`` is added to its name.
    """
    registry.register(_CounterReading(name, text, read))
