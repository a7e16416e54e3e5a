"""The screen of ``fanline top``, as rich draws it. No I/O."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fanline.protocol import ConsumerState
from fanline.server.status.report import ConnectionPage
from subscriber.admin.installation import CLOCK_SECONDS, ServiceEntry, ServiceList

_UNKNOWN: Final = "-"
BARS: Final = "▁▂▃▄▅▆▇█"

Spell = Callable[[float], str]


class Overview(NamedTuple):
    """Everything that one screen shows.

    Attributes:
        services: All services.
        connections: The connections of each, those first that the most bytes wait for.
        consumers: The durable consumers.
    """

    services: ServiceList
    connections: Sequence[ConnectionPage]
    consumers: Sequence[ConsumerState]


def number(value: float) -> str:
    """Spell a number: ``0.3``, ``950``, ``12.3 k``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1_000 if unit == ' k' else size):.1f}{unit}"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def size(value: float) -> str:
    """Spell a number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def seconds(value: float) -> str:
    """Spell a short time."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"


def duration(value: float) -> str:
    """Spell a long time by its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= length:
            return f"{value / length:.0f} {unit}"
    return f"{value:.0f} s"


_PLOTS: Final[Sequence[tuple[str, str, str, Spell]]] = (
    ("received /s", "publisher", "received_per_second", number),
    ("stored /s", "msgqueue", "stored_per_second", number),
    ("delivered /s", "subscriber", "delivered_per_second", number),
    ("commit p99", "msgqueue", "commit_p99_seconds", seconds),
    ("delivery p50", "subscriber", "delivery_p50_seconds", seconds),
    ("delivery p99", "subscriber", "delivery_p99_seconds", seconds),
    ("refused /s", "publisher", "messages_refused_per_second", number),
    ("consumers behind", "msgqueue", "consumers_behind", number),
    ("log", "msgqueue", "log_bytes", size),
    ("disk free", "msgqueue", "disk_free_bytes", size),
)


def render(screen: Overview) -> Group:
    """Return the screen."""
    when = datetime.fromtimestamp(screen.services.time, UTC)
    parts: list[Text | Table] = [
        Text(f"fanline top   {when:%Y-%m-%d %H:%M:%S} UTC"),
        _services(screen.services.services),
        *_problems(screen.services.services),
        _plots(screen.services.services),
    ]
    if screen.consumers:
        parts.append(_consumers(screen.consumers))
    parts.append(_connections(screen.connections))
    return Group(*parts)


def spark(values: Iterable[float | None]) -> str:
    """Draw values as bars from zero up; spaces for unknown ones."""
    drawn = list(values)
    most = max((each for each in drawn if each is not None), default=0) or 1
    return "".join(" " if each is None else BARS[min(7, int(each / most * 7.999))] for each in drawn)


def newest(entry: ServiceEntry, name: str) -> float | None:
    """Return the newest known value of a measurement."""
    series = entry.status.series.get(name, []) if entry.status else []
    return next((each for each in reversed(series[-3:]) if each is not None), None)


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column != "topics")
    return table


def _spelled(value: float | None, spell: Spell) -> str:
    return _UNKNOWN if value is None else spell(value)


def _services(entries: Sequence[ServiceEntry]) -> Table:
    counted = ("up", "clock", "CPU", "memory", "open", "slow", "waiting")
    table = _table("service", "state", *counted, "version", numbers=counted)
    for entry in entries:
        status = entry.status
        if status is None:
            table.add_row(entry.name, Text("no answer", "red"))
            continue
        state = Text("ready", "green") if status.problem is None else Text("not ready", "red")
        table.add_row(
            entry.name,
            state,
            duration(status.time - status.started),
            f"{entry.clock_offset or 0:+.2f} s",
            _spelled(newest(entry, "cpu"), lambda value: f"{value:.0%}"),
            _spelled(newest(entry, "memory_bytes"), size),
            _spelled(newest(entry, "connections"), number),
            _spelled(newest(entry, "slow_consumers"), number),
            _spelled(newest(entry, "waiting_bytes"), size),
            status.version,
        )
    return table


def _problems(entries: Sequence[ServiceEntry]) -> list[Text]:
    found = []
    for entry in entries:
        status = entry.status
        said = [entry.problem or ""] if status is None else [status.problem or "", *status.notices]
        if entry.clock_offset is not None and abs(entry.clock_offset) > CLOCK_SECONDS:
            said.append(f"its clock differs by {entry.clock_offset:+.1f} s from that of subscriber")
        found += [Text(f"{entry.name}: {each}", "yellow") for each in said if each]
    return found


def _plots(entries: Sequence[ServiceEntry]) -> Table:
    table = _table("", "now", "last minutes", numbers=("now",))
    by_kind: dict[str, ServiceEntry] = {}
    for entry in entries:
        by_kind.setdefault(entry.name.partition("-")[0], entry)
    for title, service, name, spell in _PLOTS:
        shown = by_kind.get(service)
        if shown is not None and shown.status is not None and name in shown.status.series:
            table.add_row(title, _spelled(newest(shown, name), spell), spark(shown.status.series[name]))
    return table


def _consumers(consumers: Sequence[ConsumerState]) -> Table:
    counted = ("position", "behind", "connections", "failing")
    table = _table("consumer", *counted, numbers=counted)
    for each in sorted(consumers, key=lambda each: -each.behind)[:10]:
        table.add_row(
            Text(each.name), f"{each.position}", number(each.behind), f"{each.connections}", f"{each.failing}"
        )
    return table


def _connections(pages: Sequence[ConnectionPage]) -> Table:
    table = _table("user", "address", "service", "waiting", "behind", "topics", numbers=("waiting", "behind"))
    found = [(page.service, each) for page in pages for each in page.connections]
    found.sort(key=lambda each: (-each[1].waiting_bytes, -(each[1].behind or 0)))
    for service, each in found[:10]:
        more = f" … {each.topic_count}" if each.topic_count > 3 else ""
        table.add_row(
            Text(each.user or _UNKNOWN),
            f"{each.address}:{each.port}",
            service,
            size(each.waiting_bytes) + (" slow" if each.slow else ""),
            _spelled(each.behind, number),
            Text(" ".join(each.topics[:3]) + more),
        )
    total = sum(page.total for page in pages)
    table.title = f"connections: {total}, those that the most bytes wait for"
    table.title_justify = "left"
    return table
