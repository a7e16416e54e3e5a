"""The images of the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.samples import Sample, Setting, Summary

_COLOURS: Final = {
    "fanline": "#c2410c",
    "nats": "#1d4ed8",
    "mosquitto": "#15803d",
    "naive": "#737373",
    "jetstream-always": "#1d4ed8",
    "jetstream": "#93c5fd",
}
_INCHES: Final = (10.0, 4.2)


class Image(NamedTuple):
    """An image of the report.

    Attributes:
        part: What it belongs to.
        path: Its file.
        shows: What is to be seen on it.
    """

    part: str
    path: Path
    shows: str


def draw(samples: Sequence[Sample], folder: Path) -> list[Image]:
    """Draw an image of each part that has one and was measured, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for part, (shows, draw_one) in _IMAGES.items():
        summary = Summary(sample for sample in samples if sample.part == part)
        if summary.peers():
            figure = Figure(figsize=_INCHES, layout="constrained")
            draw_one(figure, summary)
            path = folder / f"{part}.png"
            figure.savefig(path)
            images.append(Image(part, path, shows))
    return images


def _draw_fanout(figure: Figure, summary: Summary) -> None:
    """Draw the CPU of a delivery against the rate, and against the number of subscribers."""
    by_rate, by_subscribers = figure.subplots(1, 2, sharey=True)
    smallest = [case for case in summary.cases() if case["topics"] == "one" and int(case["size"]) <= 120]
    hundred = [case for case in smallest if case["subscribers"] == 100]
    _draw_lines(by_rate, summary, hundred, "rate", "cpu")
    by_rate.set_xlabel("messages/s, to 100 subscribers")
    by_rate.set_ylabel("µs of CPU for each delivery")
    steady = [case for case in smallest if case["rate"] == 500]
    _draw_lines(by_subscribers, summary, steady, "subscribers", "cpu")
    by_subscribers.set_xlabel("subscribers, at 500 messages/s")
    by_rate.legend()


def _draw_lines(
    axes: Axes, summary: Summary, settings: Sequence[Setting], against: str, figure: str, scale: float = 1e6
) -> None:
    """Draw a line for each server, with what its rounds differ by."""
    for peer in summary.peers():
        points = sorted(
            (float(setting[against]), found)
            for setting in settings
            if (found := summary.figure(setting, peer, figure)) is not None
        )
        if points:
            places = [place for place, _ in points]
            colour = _COLOURS.get(peer)
            middle = [scale * found.median for _, found in points]
            axes.plot(places, middle, marker="o", label=peer, color=colour)
            low, high = ([scale * found[side] for _, found in points] for side in (1, 2))
            axes.fill_between(places, low, high, alpha=0.15, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(visible=True, which="major", alpha=0.3)


def _draw_peak(figure: Figure, summary: Summary) -> None:
    axes = figure.subplots()
    names = [f"{case['subscribers']:,} subscribers" for case in summary.cases()]
    _draw_bars(axes, summary, names, "rate", 1e-3)
    axes.set_ylabel("thousand deliveries/s")


def _draw_durable(figure: Figure, summary: Summary) -> None:
    axes = figure.subplots()
    names = [_way(case) for case in summary.cases()]
    _draw_bars(axes, summary, names, "rate", 1)
    axes.set_yscale("log")
    axes.set_ylabel("messages stored and acknowledged/s")


def _way(case: Setting) -> str:
    clients = "1 client" if case["clients"] == 1 else f"{case['clients']} clients"
    if case["window"] == 1:
        return f"{clients},\neach ack awaited"
    frames = f"\n{case['together']} to a frame" if case["together"] != 1 else ""
    return f"{clients},\n{case['window']} on the way{frames}"


def _draw_latency(figure: Figure, summary: Summary) -> None:
    """Draw p50 and p99 beside each other."""
    names = [f"{case['rate']:,} messages/s" for case in summary.cases()]
    for axes, quantile in zip(figure.subplots(1, 2, sharey=True), ("p50", "p99"), strict=True):
        _draw_bars(axes, summary, names, quantile, 1e3)
        axes.set_yscale("log")
        axes.set_title(quantile)
    figure.axes[0].set_ylabel("ms from publishing to delivery")


def _draw_bars(axes: Axes, summary: Summary, names: Sequence[str], figure: str, scale: float) -> None:
    """Draw a group of bars for each setting, a bar for each server; none where it has no figure."""
    peers = summary.peers()
    width = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        found = [summary.figure(setting, peer, figure) for setting in summary.cases()]
        heights = [0.0 if each is None else scale * each.median for each in found]
        errors = [
            [0.0 if each is None else scale * abs(each.median - each[side]) for each in found]
            for side in (1, 2)
        ]
        places = [place + number * width for place in range(len(names))]
        axes.bar(places, heights, width, yerr=errors, label=peer, color=_COLOURS.get(peer), capsize=2)
    axes.set_xticks([place + width * (len(peers) - 1) / 2 for place in range(len(names))], names)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend()


_IMAGES: Final = {
    "fanout": ("CPU of a delivery, against messages a second and against subscribers", _draw_fanout),
    "peak": ("highest sustained rate of deliveries", _draw_peak),
    "durable": ("messages stored and acknowledged a second", _draw_durable),
    "latency": ("median and 99th percentile of the time from publishing to delivery", _draw_latency),
}
