"""The report about a hostile client."""

from typing import Any

from fanline.verify.hostile.report import HostileReport, Phase, text


def phase(**changes: Any) -> Phase:
    usual: dict[str, Any] = {
        "attack": "floods",
        "ack_p50_ms": 5.0,
        "ack_p99_ms": 249.0,
        "delivery_p50_ms": 6.0,
        "delivery_p99_ms": 249.0,
        "growth_mib": {"publisher": 100.0},
    }
    return Phase(**(usual | changes))


def test_judges_waits_and_growth() -> None:
    """A wait of a quarter of a second, no delivery at all, and growth over 100 MiB are reported."""
    assert list(phase().troubles) == []
    late = phase(ack_p99_ms=250.0, delivery_p99_ms=float("nan"), growth_mib={"publisher": 101.0})
    assert list(late.troubles) == [
        "floods: the p99 of acks was 250 ms",
        "floods: the p99 of deliveries was nan ms",
        "floods: publisher has grown by 101 MiB",
    ]


def test_shows_each_attack_and_the_verdict() -> None:
    """The text has a line for each attack, and says whether all is well."""
    well: dict[str, Any] = {
        "seconds": 2.0,
        "published": 10,
        "received": 10,
        "phases": [phase()],
        "folder": None,
    }
    assert "noticed nothing" in text(HostileReport(ok=True, troubles=[], **well))
    bad = text(HostileReport(ok=False, troubles=["floods: too slow"], **(well | {"folder": "/tmp/x"})))
    assert "floods: too slow" in bad
    assert "/tmp/x" in bad
    assert any(line.startswith("floods") and "publisher 100" in line for line in bad.splitlines())
