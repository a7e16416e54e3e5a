"""The report about a hostile client."""

from typing import Any

import pytest

from fanline.verify.hostile.report import HostileReport, Phase, text


def phase(**changes: Any) -> Phase:
    usual: dict[str, Any] = {
        "attack": "floods",
        "ack_p50_ms": 5.0,
        "ack_p99_ms": 249.0,
        "delivery_p50_ms": 6.0,
        "delivery_p99_ms": 249.0,
        "others_share": 0.0,
        "peak_mib": {"publisher": 150.0},
        "growth_mib": {"publisher": 100.0},
    }
    return Phase(**(usual | changes))


CALM = phase(attack="", ack_p99_ms=5.0, delivery_p99_ms=9.0)


def test_judges_waits_and_growth() -> None:
    """A wait of a quarter of a second, no delivery at all, and growth over 100 MiB are reported."""
    assert list(phase().find_troubles(CALM)) == []
    late = phase(ack_p99_ms=250.0, delivery_p99_ms=float("nan"), growth_mib={"publisher": 101.0})
    assert list(late.find_troubles(CALM)) == [
        "floods: the p99 of acks was 250 ms, and may be 250",
        "floods: the p99 of deliveries was nan ms, and may be 250",
        "floods: publisher has grown by 101 MiB",
    ]


@pytest.mark.parametrize(
    ("acks", "deliveries", "others", "limit"),
    [
        (5.0, 9.0, 0.0, 250.0),
        (260.0, 90.0, 0.0, 780.0),
        (90.0, 300.0, 0.5, 900.0),
        (5.0, 9.0, 0.5, 500.0),
        (5.0, 9.0, 1.0, 2_500.0),
        (5.0, float("nan"), 0.0, 250.0),
    ],
)
def test_a_loaded_machine_may_be_slower(acks: float, deliveries: float, others: float, limit: float) -> None:
    """The limit of a p99 follows from that without an attack, and from what other programs use."""
    calm = phase(attack="", ack_p99_ms=acks, delivery_p99_ms=deliveries)
    assert phase(others_share=others).max_wait_ms(calm) == pytest.approx(limit)


def test_shows_each_attack_and_the_verdict() -> None:
    """The text has a line for each attack, and says what is allowed, why, and whether all is well."""
    well: dict[str, Any] = {
        "seconds": 2.0,
        "published": 10,
        "received": 10,
        "phases": [CALM, phase(), phase(attack="guessing", others_share=0.5)],
        "folder": None,
    }
    good = text(HostileReport(ok=True, troubles=[], **well))
    assert "noticed nothing" in good
    assert "they used 0% to 50% of it" in good
    lines = [line.split() for line in good.splitlines()]
    assert ["no", "attack", "5", "5", "6", "9", "publisher", "100", "(150)"] in lines
    assert ["floods", "5", "249", "6", "249", "250", "publisher", "100", "(150)"] in lines
    assert ["guessing", "5", "249", "6", "249", "500", "publisher", "100", "(150)"] in lines
    bad = text(HostileReport(ok=False, troubles=["floods: too slow"], **(well | {"folder": "/tmp/x"})))
    assert "floods: too slow" in bad
    assert "/tmp/x" in bad
