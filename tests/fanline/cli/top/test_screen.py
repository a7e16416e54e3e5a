"""The screen of ``fanline top``."""

from io import StringIO

import pytest
from rich.console import Console

from fanline.cli.top.screen import Overview, duration, number, render, seconds, size, spark
from fanline.protocol import ConsumerState
from fanline.server.status.report import ConnectionPage, ConnectionStatus, ServiceStatus
from subscriber.admin.installation import ServiceEntry, ServiceList


def status(service: str, problem: str | None = None, **series: list[float | None]) -> ServiceStatus:
    return ServiceStatus(
        service=service, version="1.2", host="h", pid=1, workers=1, started=0.0, time=7_200.0,
        problem=problem, notices=[], certificate_expires=0.0, step=5.0, taken=1, series=series, facts={},
    )  # fmt: skip


def test_shows_state_rates_consumers_and_the_worst_connection() -> None:
    """A service that is not ready says why, a clock that is wrong is told, markup is text (line 58)."""
    entries = [
        ServiceEntry("publisher", "u", clock_offset=0.0, status=status("publisher", "no msgqueue")),
        ServiceEntry(
            "msgqueue",
            "u",
            clock_offset=-5.0,
            status=status("msgqueue", stored_per_second=[None, 0, 50, 100], log_bytes=[2048]),
        ),
        ServiceEntry("subscriber", "u", problem="it does not answer"),
    ]
    connections = [
        ConnectionStatus("[bold]ann", "::1", 5, "websocket", 0, slow=False),
        ConnectionStatus("bob", "::1", 6, "websocket", 70_000, slow=True, behind=3),
    ]  # fmt: skip
    screen = Overview(
        ServiceList(0.0, entries),
        [ConnectionPage("subscriber", 2, connections)],
        [ConsumerState("billing", 10, 25_000, 2)],
    )
    console = Console(width=120, record=True, file=StringIO())
    console.print(render(screen))
    text = console.export_text()
    assert "publisher: no msgqueue" in text
    assert "msgqueue: its clock differs by -5.0 s" in text
    assert "no answer" in text
    stored = next(line for line in text.splitlines() if line.startswith("stored /s"))
    assert stored.split() == ["stored", "/s", "100", "▁▄█"]
    assert "25.0 k" in next(line for line in text.splitlines() if line.startswith("billing"))
    assert text.index("bob") < text.index("[bold]ann")
    assert "68.4 KiB slow" in text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(0.25), "0.2"),
        (number(3), "3"),
        (number(12_345), "12.3 k"),
        (number(2.5e6), "2.5 M"),
        (size(1_000), "1000 B"),
        (size(3 << 20), "3.0 MiB"),
        (seconds(0.0021), "2.1 ms"),
        (seconds(1.5), "1.5 s"),
        (duration(59), "59 s"),
        (duration(86_400 * 3), "3 d"),
        (spark([]), ""),
        (spark([0, None, 0]), "▁ ▁"),
    ],
)
def test_numbers_are_spelled_for_people(shown: str, expected: str) -> None:
    """Numbers, sizes and times are short, with a unit."""
    assert shown == expected
