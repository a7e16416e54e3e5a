"""Writes docs/benchmarks.md, and the images that it shows."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Final

from bench import plots
from bench.plots import Image
from bench.samples import Run, Sample
from bench.tables import tables

_DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
_WIDTH: Final = 110

_TITLES: Final = {
    "fanout": "Fan-out",
    "peak": "Highest rate",
    "disk": "The disk",
    "durable": "Durable publishing",
    "latency": "End to end",
    "idle": "Connections that wait",
    "reconnect": "Coming back",
    "log": "A longer log",
    "workers": "More processes",
    "chat": "Chat",
}

_EXPLANATIONS: Final = {
    "fanout": (
        "Messages come evenly, one each 1/rate seconds, and are counted at every subscriber. *topics* is who"
        " subscribes to what: all to *one* topic, each to its *own*, each to ten of a thousand at *random*,"
        " or to *wild*cards. The first column is the subscriber service alone, the one beside it all three"
        " services, which store each message on the way; the other servers store nothing."
    ),
    "peak": (
        "The rate is raised until the last delivery comes more than 250 ms after the last message, or"
        " messages can no longer be sent on time. On few cores the generator has its share in that: *cores*"
        " is what the server had."
    ),
    "disk": "What the disk of this machine takes, without any server: the floor under every acknowledgement.",
    "durable": (
        "Contents of 128 bytes. *window* is how many messages a client has on the way, *together* how many it"
        " puts into one frame. jetstream-always has `sync_interval: always`, and acknowledges as Fanline does"
        " what is on disk; jetstream acknowledges what the kernel has, and loses it in a power cut."
    ),
    "latency": (
        "One publisher, one subscriber; at JetStream with a push consumer. The time counts from the moment a"
        " message was due, so that a server that holds up its publisher gains nothing by it. There is no"
        " figure where not everything was delivered within 5 seconds."
    ),
    "idle": (
        "What the process that holds the connections has grown by, for each of them: RSS and PSS while they"
        " wait, and *served*, the RSS after a message to all. *CPU ms* is what taking one in costs it."
    ),
    "reconnect": (
        "The process that delivers is killed, 100 messages are published (NATS, which keeps none, misses"
        " none), it is started again, and all clients come back as fast as they can. The time counts from the"
        " moment it listens until the last client has everything it missed."
    ),
    "log": (
        "Publishing onto a log of that many messages, on a thousand topics, and subscribing to one of them"
        " `after` a position anywhere in it, until the first 100 missed messages are there."
    ),
    "chat": (
        "One says something, all in the room hear it. Chat is measured alone, and with the three services"
        " below it; beside it the subscriber service with as many subscribers and the same load."
    ),
    "workers": "The same load with `workers` at 1, and at 2.",
}

_INTRODUCTION: Final = """# Measurements

<!-- Written by `python -m bench report`, from the results of a run: do not edit. -->

Fanline beside other servers, on one machine and in one run. `make bench` repeats it, and
[bench/README.md](../bench/README.md) tells how it is done and what to be wary of.

Figures are medians over the rounds, with the least and the most in brackets. In each round the servers take
turns. CPU is that of the server's processes alone, from the accounts of the operating system. All speak TLS
1.3 over loopback, and get messages of the same size from the same load generator.
"""


def write(run: Run, docs: Path = _DOCS) -> None:
    """Write the page and its images into a folder."""
    images = plots.draw(run.samples, docs / "images")
    (docs / "benchmarks.md").write_text("\n".join(_page(run, images)) + "\n")


def _page(run: Run, images: Sequence[Image]) -> Iterator[str]:
    yield _INTRODUCTION
    yield f"    {run.command}\n"
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in run.machine.items())
    for part, found in groupby(tables(run.samples), lambda table: table.part):
        yield f"\n## {_TITLES[part]}\n\n{fill(_EXPLANATIONS[part], _WIDTH)}\n"
        yield from (f"![{image.shows}](images/{image.path.name})\n" for image in images if image.part == part)
        yield "\n\n".join(table.markdown() for table in found)
    doubts = list(_doubts(run.samples))
    if doubts:
        yield "\n## Reservations\n\nMeasurements marked † are to be read with care:\n"
        yield from doubts


def _doubts(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what there is to say against measurements, once for all rounds."""
    doubtful = [sample for sample in samples if sample.warnings]
    order = sorted(doubtful, key=lambda sample: (sample.part, sample.peer, str(sample.case)))
    for (part, peer, _), group in groupby(order, lambda sample: (sample.part, sample.peer, sample.case)):
        rounds = list(group)
        setting = ", ".join(f"{name} {value}" for name, value in rounds[0].setting.items())
        said = dict.fromkeys(warning for sample in rounds for warning in sample.warnings)
        yield f"- {part}, {peer}, {setting}: {'; '.join(said)}"
