"""The images of the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.samples import Sample, Setting, Spread, Summary

_COLORS: Final = {
    "fanline": "#c2410c",
    "nats": "#1d4ed8",
    "mosquitto": "#15803d",
    "naive": "#737373",
    "centrifugo": "#7e22ce",
    "jetstream-always": "#1d4ed8",
    "jetstream": "#93c5fd",
}


def draw(samples: Sequence[Sample], folder: Path) -> None:
    """Draw an image of each measured part that has one, as ``PART.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, draw_one in _IMAGES.items():
        summary = Summary(sample for sample in samples if sample.part == part)
        if summary.peers:
            figure = Figure(figsize=(10.0, 4.2), layout="constrained")
            draw_one(figure, summary)
            figure.savefig(folder / f"{part}.png")


def _draw_fanout(figure: Figure, summary: Summary) -> None:
    by_rate, by_subscribers = figure.subplots(1, 2, sharey=True)
    small = [case for case in summary.settings if case["topics"] == "one" and int(case["size"]) <= 120]
    _draw_lines(by_rate, summary, [case for case in small if case["subscribers"] == 100], "rate")
    _draw_lines(by_subscribers, summary, [case for case in small if case["rate"] == 500], "subscribers")
    by_rate.set_xlabel("messages/s, to 100 subscribers")
    by_rate.set_ylabel("µs of CPU for each delivery")
    by_subscribers.set_xlabel("subscribers, at 500 messages/s")
    by_rate.legend()


def _draw_lines(axes: Axes, summary: Summary, settings: Sequence[Setting], against: str) -> None:
    """Draw each server's CPU of a delivery as a line.

    It shows the spread of the rounds.
    """
    for peer in summary.peers:
        points = sorted(
            (float(setting[against]), found)
            for setting in settings
            if (found := summary.figure(setting, peer, "cpu")) is not None
        )
        if points:
            places = [place for place, _ in points]
            middle, low, high = ([1e6 * found[side] for _, found in points] for side in range(3))
            axes.plot(places, middle, marker="o", label=peer, color=_COLORS.get(peer))
            axes.fill_between(places, low, high, alpha=0.15, color=_COLORS.get(peer))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, minor in ((axes.xaxis, ""), (axes.yaxis, "{x:g}")):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(minor)
    axes.grid(visible=True, which="major", alpha=0.3)


def _draw_peak(figure: Figure, summary: Summary) -> None:
    names = [f"{case['subscribers']:,} subscribers" for case in summary.settings]
    _draw_bars(figure.subplots(), summary, names, "rate", 1e-3, "thousand deliveries/s")


def _draw_durable(figure: Figure, summary: Summary) -> None:
    names = [
        f"{case['clients']} client{'s' if case['clients'] != 1 else ''},\n"
        + (f"{case['window']} unacknowledged" if case["window"] != 1 else "each ack awaited")
        + (f"\n{case['together']} to a frame" if case["together"] != 1 else "")
        for case in summary.settings
    ]
    axes = figure.subplots()
    _draw_bars(axes, summary, names, "rate", 1, "messages stored and acknowledged/s")
    axes.set_yscale("log")


def _draw_latency(figure: Figure, summary: Summary) -> None:
    names = [f"{case['rate']:,} messages/s" for case in summary.settings]
    for axes, quantile in zip(figure.subplots(1, 2, sharey=True), ("p50", "p99"), strict=True):
        _draw_bars(axes, summary, names, quantile, 1e3, "ms from publishing to delivery")
        axes.set_yscale("log")
        axes.set_title(quantile)


def _draw_bars(
    axes: Axes, summary: Summary, names: Sequence[str], figure: str, scale: float, label: str
) -> None:
    """Draw a group of bars for each setting, one per server."""
    width = 0.8 / len(summary.peers)
    for number, peer in enumerate(summary.peers):
        found = [summary.figure(setting, peer, figure) or Spread(0, 0, 0) for setting in summary.settings]
        heights = [scale * each.median for each in found]
        errors = [[scale * abs(each.median - each[side]) for each in found] for side in (1, 2)]
        places = [place + number * width for place in range(len(names))]
        axes.bar(places, heights, width, yerr=errors, label=peer, color=_COLORS.get(peer), capsize=2)
    axes.set_xticks([place + width * (len(summary.peers) - 1) / 2 for place in range(len(names))], names)
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend()


_IMAGES: Final[dict[str, Callable[[Figure, Summary], None]]] = {
    "fanout": _draw_fanout,
    "peak": _draw_peak,
    "durable": _draw_durable,
    "latency": _draw_latency,
}
