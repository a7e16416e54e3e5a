"""The tables of a run, in Markdown."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bench.samples import Sample, Setting, Spread, Summary

# The target for the CPU of a delivery counts where a server uses more than this share of a core.
_BUSY: Final = 0.1


class Unit(NamedTuple):
    """Presentation of a figure: title, factor, and digits after the point."""

    title: str
    scale: float = 1.0
    digits: int = 0


UNITS: Final = {
    "cpu": Unit("µs", 1e6, 2),
    "cpu_all": Unit("all processes µs", 1e6, 2),
    "rate": Unit("/s"),
    "cores_all": Unit("cores", digits=2),
    "p50": Unit("p50 ms", 1e3, 2),
    "p99": Unit("p99 ms", 1e3, 2),
    "p99.9": Unit("p99.9 ms", 1e3, 2),
    "fsync_p50": Unit("fsync p50 ms", 1e3, 3),
    "fsync_p99": Unit("fsync p99 ms", 1e3, 3),
    "commit_p50": Unit("commit p50 ms", 1e3, 3),
    "commit_p99": Unit("commit p99 ms", 1e3, 3),
    "rss": Unit("RSS KB", 1e-3, 1),
    "pss": Unit("PSS KB", 1e-3, 1),
    "served_rss": Unit("served KB", 1e-3, 1),
    "cores_idle": Unit("idle cores", digits=3),
    "connections": Unit("new /s"),
    "delivered": Unit("delivered"),
    "seconds": Unit("s", digits=1),
    "resumed": Unit("resumed"),
    "resume": Unit("resume p50 ms", 1e3, 1),
    "resume_worst": Unit("slowest ms", 1e3, 1),
}


class Table(NamedTuple):
    """A table of a part.

    Attributes:
        part: The part.
        title: What it shows.
        figures: The names of the figures, each a column for each server.
        ratio: A figure that is also shown divided by Fanline's, if any.
    """

    part: str
    title: str
    figures: str
    ratio: str = ""


TABLES: Final = (
    Table("fanout", "CPU of a delivery", "cpu cpu_all", "cpu"),
    Table("fanout", "From the scheduled moment of a message until a subscriber has it", "p50 p99"),
    Table("peak", "Highest rate of deliveries that is sustained", "rate cores_all p99", "rate"),
    Table("disk", "fsync of 4 KiB, and commit of SQLite", "fsync_p50 fsync_p99 commit_p50 commit_p99"),
    Table("durable", "Messages stored and acknowledged", "rate", "rate"),
    Table("durable", "CPU of such a message, and time to its acknowledgement", "cpu_all p50 p99", "cpu_all"),
    Table("latency", "From publishing to delivery, stored on the way", "p50 p99 p99.9"),
    Table("idle", "Memory of an idle connection", "rss pss served_rss cores_idle", "rss"),
    Table(
        "idle", "New connections, and deliveries of one message", "connections cpu delivered", "connections"
    ),
    Table("reconnect", "All come back at once after a SIGKILL", "seconds cpu resumed"),
    Table("log", "With a longer log", "rate cpu_all p50 resume resume_worst"),
    Table("workers", "CPU of a delivery, with two processes of publisher and subscriber", "cpu cpu_all"),
    Table("events", "CPU of a delivery, by WebSocket and by server-sent events", "cpu p50 p99", "cpu"),
    Table("streams", "Memory of an idle connection of each kind", "rss pss served_rss", "rss"),
    Table("post", "Stored, one message at a time on each connection", "rate p50 p99 cpu_all", "rate"),
    Table(
        "presence",
        "A connection that subscribes, and one whose user is present",
        "cpu cpu_all rss cores_idle",
    ),
    Table("latest", "The newest message of each topic, read by one subscriber", "seconds cpu cpu_all rss"),
    Table("chat", "CPU of a message to a member of a room", "cpu cpu_all rss p50 p99", "cpu"),
)


def tables(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the tables of every measured part, and reservations."""
    notes = list[str]()
    for part in dict.fromkeys(table.part for table in TABLES):
        summary = Summary(sample for sample in samples if sample.part == part)
        if summary.peers:
            yield from (_markdown(table, summary) for table in TABLES if table.part == part)
            notes += _reservations(part, summary)
    notes += _verdict(Summary(sample for sample in samples if sample.part == "fanout"))
    if notes:
        yield "\n".join(f"- {note}" for note in notes)


def _markdown(table: Table, summary: Summary) -> str:
    columns = [
        (peer, figure)
        for figure in table.figures.split()
        for peer in summary.peers
        if any(_has(summary, setting, peer, figure) for setting in summary.settings)
    ]
    others = [
        peer for peer in summary.peers if table.ratio and peer != "fanline" and "fanline" in summary.peers
    ]
    header = [*summary.settings[0], *(f"{peer} {UNITS[figure].title}" for peer, figure in columns)]
    lines = [[*header, *(f"{peer} ÷ fanline" for peer in others)]]
    lines.append(["---:"] * len(lines[0]))
    for setting in summary.settings:
        row = [value if isinstance(value, str) else f"{value:,.10g}" for value in setting.values()]
        row += [_cell(summary, setting, *each) for each in columns]
        row += [_ratio(summary, setting, peer, table.ratio) for peer in others]
        lines.append(row)
    return "\n".join([f"**{table.title}**\n", *(f"| {' | '.join(cells)} |" for cells in lines)])


def _has(summary: Summary, setting: Setting, peer: str, figure: str) -> bool:
    """Return whether a figure exists and is worth a column.

    That of all processes is, where it says more than that of one.
    """
    found, alone = summary.figure(setting, peer, figure), summary.figure(setting, peer, "cpu")
    return found is not None and not (figure == "cpu_all" and found == alone)


def _cell(summary: Summary, setting: Setting, peer: str, figure: str) -> str:
    found, unit = summary.figure(setting, peer, figure), UNITS[figure]
    text = "-" if found is None else written(Spread(*(unit.scale * each for each in found)), unit.digits)
    return f"{text} †" if summary.warnings(setting, peer) else text


def written(values: Spread, digits: int) -> str:
    """Return the median, with least and greatest value in brackets.

    The brackets are left out if all are the same.
    """
    middle, low, high = (f"{value:,.{digits}f}" for value in values)
    return middle if low == high else f"{middle} ({low} to {high})"


def _ratio(summary: Summary, setting: Setting, peer: str, figure: str) -> str:
    over, under = summary.figure(setting, peer, figure), summary.figure(setting, "fanline", figure)
    return f"{over.median / under.median:.2f}" if over and under and under.median else "-"


def _reservations(part: str, summary: Summary) -> Iterator[str]:
    for setting in summary.settings:
        for peer in summary.peers:
            if warnings := summary.warnings(setting, peer):
                words = [part, peer, *(f"{name} {value}" for name, value in setting.items())]
                yield f"† {', '.join(words)}: {'; '.join(warnings)}"


def _verdict(summary: Summary) -> Iterator[str]:
    """Yield how often the fan-out's CPU meets the target.

    The target is at most half of NATS's.
    """
    ratios = []
    for setting in summary.settings:
        cores = [summary.figure(setting, peer, "cores") for peer in ("fanline", "nats")]
        if all(cores) and any(each.median > _BUSY for each in cores if each):
            ratios.append(float(_ratio(summary, setting, "nats", "cpu")))
    if ratios:
        met = sum(ratio >= 2 for ratio in ratios)
        where = f"the {len(ratios)} points where either uses over {_BUSY:.0%} of a core"
        yield f"at most half of NATS's at {met} of {where}"
