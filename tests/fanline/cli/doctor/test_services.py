"""``fanline doctor``: what running services say, against each other."""

import msgspec

from fanline.cli.doctor.findings import Level
from fanline.cli.doctor.services import check_services
from fanline.server.status.report import ServiceStatus
from subscriber.admin.installation import ServiceEntry

STATUS = ServiceStatus(
    service="publisher", version="1.2", host="h", pid=1, workers=1, started=0.0, time=0.0, problem=None,
    notices=[], certificate_expires=0.0, step=5.0, taken=1, series={}, facts={},
)  # fmt: skip


def entry(name: str, clock_offset: float = 0.0, **changes: object) -> ServiceEntry:
    status = msgspec.structs.replace(STATUS, service=name, **changes)
    return ServiceEntry(name, "u", clock_offset=clock_offset, status=status)


def bad(*entries: ServiceEntry) -> list[tuple[Level, str]]:
    found = check_services(entries, "1.2")
    return [(each.level, each.text) for each in found if each.level is not Level.OK]


def test_services_in_order_have_no_finding() -> None:
    """Ready, of one version, with clocks that agree."""
    assert not bad(entry("publisher"), entry("msgqueue"))


def test_versions_and_clocks_are_compared() -> None:
    """Another version is a warning; a clock that differs by a minute breaks tokens."""
    ((level, text),) = bad(entry("publisher"), entry("msgqueue", version="1.1"))
    assert (level, "msgqueue 1.1" in text) == (Level.WARNING, True)
    ((level, text),) = bad(entry("publisher", 2.0), entry("msgqueue"))
    assert (level, "msgqueue and publisher differ by 2.0 s" in text) == (Level.WARNING, True)
    assert bad(entry("publisher", -90.0), entry("msgqueue"))[0][0] is Level.PROBLEM


def test_services_that_are_away_or_not_ready_are_told() -> None:
    """The reasons are passed on; where nothing runs, it is said once."""
    away = ServiceEntry("chat", "u", problem="it does not answer")
    found = bad(entry("publisher", problem="no msgqueue", notices=["a jump"]), away)
    assert [level for level, _ in found] == [Level.PROBLEM, Level.WARNING, Level.PROBLEM]
    assert "no msgqueue" in found[0][1]
    assert [level for level, _ in bad(away)] == [Level.WARNING]
    ((_, late),) = bad(entry("publisher", series={"loop_lag_p99_seconds": [None, 0.5]}))
    assert "late by up to 0.5 s" in late
