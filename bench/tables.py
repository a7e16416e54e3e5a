"""The tables of a run: each a setting to a row, and a figure of a server to a column."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import rich.table

from bench.samples import Sample, Setting, Summary
from bench.stats import Spread

# Above this share of a core a figure is large enough to be held to the target.
BUSY: Final = 0.1


class Column(NamedTuple):
    """A figure of one server.

    Attributes:
        title: What stands above it.
        peer: The server.
        figure: The name of the figure.
        scale: What it is multiplied with.
        digits: How many follow the point.
    """

    title: str
    peer: str
    figure: str
    scale: float = 1.0
    digits: int = 1


class Ratio(NamedTuple):
    """How many times one figure is as large as another."""

    title: str
    over: tuple[str, str]
    under: tuple[str, str]


class Table(NamedTuple):
    """One table, all in words.

    Attributes:
        part: What was measured.
        title: What it shows.
        header: What stands above each column.
        rows: The cells.
        notes: What there is to say below it.
    """

    part: str
    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]

    def rich(self) -> rich.table.Table:
        """Return it for a terminal."""
        table = rich.table.Table(title=self.title, caption="\n".join(self.notes) or None)
        for title in self.header:
            table.add_column(title, justify="right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return it for a page."""
        lines = [self.header, ["---:"] * len(self.header), *self.rows]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"**{self.title}**\n\n{text}\n{notes and chr(10) + notes[1:] + chr(10)}"


def tables(samples: Sequence[Sample]) -> Iterator[Table]:
    """Yield the tables of every part that was measured."""
    for part, make in _TABLES.items():
        summary = Summary(sample for sample in samples if sample.part == part)
        if summary.peers():
            yield from make(summary)


def compare(
    part: str,
    title: str,
    summary: Summary,
    columns: Sequence[Column],
    ratios: Sequence[Ratio] = (),
) -> Table:
    """Return a table of those columns whose server was measured."""
    shown = [column for column in columns if column.peer in summary.peers()]
    settings = list(summary.cases())
    names = list(settings[0])
    apart = [ratio for ratio in ratios if {ratio.over[0], ratio.under[0]} <= set(summary.peers())]
    header = names + [column.title for column in shown] + [ratio.title for ratio in apart]
    rows = []
    for setting in settings:
        row = [_plain(value) for value in setting.values()]
        row += [_cell(summary, setting, column) for column in shown]
        row += [_quotient(summary, setting, ratio) for ratio in apart]
        rows.append(row)
    return Table(part, title, header, rows, _notes(summary))


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,g}" if value < 1e6 else f"{value:,.0f}"


def _cell(summary: Summary, setting: Setting, column: Column) -> str:
    found = summary.figure(setting, column.peer, column.figure)
    doubt = " †" if summary.is_doubtful(setting, column.peer) else ""
    if found is None:
        return f"-{doubt}"
    return written(Spread(*(column.scale * value for value in found)), column.digits) + doubt


def written(values: Spread, digits: int) -> str:
    """Return a median, and behind it least and most if they can be told from it."""
    middle, low, high = (f"{value:,.{digits}f}" for value in values)
    return middle if low == high else f"{middle} ({low} to {high})"


def _quotient(summary: Summary, setting: Setting, ratio: Ratio) -> str:
    over = summary.figure(setting, *ratio.over)
    under = summary.figure(setting, *ratio.under)
    if over is None or under is None or not under.median:
        return "-"
    return f"{over.median / under.median:.2f}"


def _notes(summary: Summary) -> list[str]:
    if any(summary.is_doubtful(setting, peer) for setting in summary.cases() for peer in summary.peers()):
        return ["† with a reservation: see the list of them"]
    return []


def _of_each(peers: Iterable[str], title: str, figure: str, scale: float, digits: int) -> list[Column]:
    """Return the columns of one figure, one for each server."""
    return [Column(f"{peer} {title}", peer, figure, scale, digits) for peer in peers]


def _fanout(summary: Summary) -> Iterator[Table]:
    costs = [
        Column("fanline µs", "fanline", "cpu", 1e6, 2),
        Column("its three services µs", "fanline", "cpu_all", 1e6, 2),
        *_of_each(("nats", "mosquitto", "naive"), "µs", "cpu", 1e6, 2),
    ]
    ratio = Ratio("nats ÷ fanline", ("nats", "cpu"), ("fanline", "cpu"))
    table = compare("fanout", "CPU of a delivery", summary, costs, [ratio])
    yield table._replace(notes=[*table.notes, *_verdict(summary)])
    waits = [
        Column(f"{peer} {name} ms", peer, name, 1e3, 1)
        for peer in ("fanline", "nats", "mosquitto", "naive")
        for name in ("p50", "p99")
    ]
    yield compare("fanout", "From the moment a message is due until a subscriber has it", summary, waits)


def _verdict(summary: Summary) -> Iterator[str]:
    """Yield at how many points the target for the CPU of a delivery is met."""
    if not {"fanline", "nats"} <= set(summary.peers()):
        return
    busy = [setting for setting in summary.cases() if _is_busy(summary, setting)]
    met = sum(_ratio(summary, setting) >= 2 for setting in busy)
    where = f"the {len(busy)} points where either uses over {BUSY:.0%} of a core"
    yield f"at most half of NATS's at {met} of {where}"


def _is_busy(summary: Summary, setting: Setting) -> bool:
    shares = [summary.figure(setting, peer, "cores") for peer in ("fanline", "nats")]
    return all(share is not None for share in shares) and any(
        share is not None and share.median > BUSY for share in shares
    )


def _ratio(summary: Summary, setting: Setting) -> float:
    nats, fanline = (summary.figure(setting, peer, "cpu") for peer in ("nats", "fanline"))
    assert nats is not None
    assert fanline is not None
    return nats.median / fanline.median


def _peak(summary: Summary) -> Iterator[Table]:
    peers = summary.peers()
    columns = _of_each(peers, "thousand/s", "rate", 1e-3, 0)
    columns += _of_each(peers, "cores", "cores_all", 1, 2)
    columns += _of_each(peers, "p99 ms", "p99", 1e3, 1)
    ratio = Ratio("fanline ÷ nats", ("fanline", "rate"), ("nats", "rate"))
    yield compare("peak", "Highest rate of deliveries that is sustained", summary, columns, [ratio])


def _durable(summary: Summary) -> Iterator[Table]:
    peers = ("fanline", "jetstream-always", "jetstream")
    ratios = [
        Ratio("fanline ÷ always", ("fanline", "rate"), ("jetstream-always", "rate")),
        Ratio("fanline ÷ default", ("fanline", "rate"), ("jetstream", "rate")),
    ]
    rates = _of_each(peers, "/s", "rate", 1, 0)
    yield compare("durable", "Messages stored and acknowledged a second", summary, rates, ratios)
    costs = _of_each(peers, "µs", "cpu_all", 1e6, 1)
    costs += _of_each(peers, "ack p50 ms", "p50", 1e3, 2)
    costs += _of_each(peers, "p99 ms", "p99", 1e3, 2)
    yield compare("durable", "CPU of such a message, and how long its acknowledgement takes", summary, costs)


def _latency(summary: Summary) -> Iterator[Table]:
    columns = [
        Column(f"{peer} {name} ms", peer, name, 1e3, 2)
        for peer in ("fanline", "jetstream-always", "jetstream")
        for name in ("p50", "p99", "p99.9")
    ]
    yield compare("latency", "From publishing to delivery, stored on the way", summary, columns)


def _idle(summary: Summary) -> Iterator[Table]:
    peers = summary.peers()
    memory = _of_each(peers, "RSS KB", "rss", 1e-3, 1)
    memory += _of_each(peers, "PSS KB", "pss", 1e-3, 1)
    memory += _of_each(peers, "served KB", "served_rss", 1e-3, 1)
    memory += _of_each(peers, "idle cores", "cores_idle", 1, 3)
    yield compare("idle", "Memory of a connection that waits", summary, memory)
    rates = _of_each(peers, "/s", "connections", 1, 0)
    rates += _of_each(peers, "CPU ms", "cpu", 1e3, 2)
    rates += _of_each(peers, "got it", "delivered", 1, 0)
    yield compare("idle", "New connections, and to how many a message then came", summary, rates)


def _reconnect(summary: Summary) -> Iterator[Table]:
    peers = summary.peers()
    columns = _of_each(peers, "s", "seconds", 1, 1)
    columns += _of_each(peers, "CPU ms each", "cpu", 1e3, 2)
    columns += _of_each(peers, "resumed", "resumed", 1, 0)
    yield compare("reconnect", "All come back at once after a SIGKILL", summary, columns)


def _log(summary: Summary) -> Iterator[Table]:
    columns = [
        Column("stored /s", "fanline", "rate", 1, 0),
        Column("µs of CPU each", "fanline", "cpu_all", 1e6, 1),
        Column("ack p50 ms", "fanline", "p50", 1e3, 2),
        Column("resume p50 ms", "fanline", "resume", 1e3, 1),
        Column("slowest ms", "fanline", "resume_worst", 1e3, 1),
    ]
    yield compare("log", "With a longer log", summary, columns)


def _workers(summary: Summary) -> Iterator[Table]:
    peers = summary.peers()
    columns = _of_each(peers, "µs", "cpu", 1e6, 2)
    columns += _of_each(peers, "all services µs", "cpu_all", 1e6, 2)
    yield compare("workers", "CPU of a delivery, with two processes of each edge", summary, columns)


def _chat(summary: Summary) -> Iterator[Table]:
    columns = [
        Column("chat µs", "chat", "cpu", 1e6, 2),
        Column("with the pipeline µs", "chat", "cpu_all", 1e6, 2),
        Column("subscriber µs", "fanline", "cpu", 1e6, 2),
        Column("with the others µs", "fanline", "cpu_all", 1e6, 2),
        Column("KB of a member", "chat", "rss", 1e-3, 1),
        Column("KB of a subscriber", "fanline", "rss", 1e-3, 1),
        Column("chat p50 ms", "chat", "p50", 1e3, 1),
        Column("chat p99 ms", "chat", "p99", 1e3, 1),
        Column("subscriber p50 ms", "fanline", "p50", 1e3, 1),
    ]
    ratio = Ratio("chat ÷ subscriber", ("chat", "cpu"), ("fanline", "cpu"))
    yield compare("chat", "CPU of a message to a member of a room", summary, columns, [ratio])


def _disk(summary: Summary) -> Iterator[Table]:
    columns = [
        Column(f"{what} {name} ms", what, name, 1e3, 3) for what in summary.peers() for name in ("p50", "p99")
    ]
    yield compare("disk", "The disk itself", summary, columns)


_TABLES: Final[dict[str, Callable[[Summary], Iterator[Table]]]] = {
    "fanout": _fanout,
    "peak": _peak,
    "disk": _disk,
    "durable": _durable,
    "latency": _latency,
    "idle": _idle,
    "reconnect": _reconnect,
    "log": _log,
    "workers": _workers,
    "chat": _chat,
}
