"""Report what a hostile client could do to a well-behaved one, as text and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

# What a well-behaved client may notice, and by how much a service may grow.
MAX_WAIT_MS: Final = 250
MAX_GROWTH_MIB: Final = 100


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of one attack.

    Attributes:
        attack: Its name; empty for none.
        ack_p50_ms: Milliseconds that acks took, the median.
        ack_p99_ms: Likewise, of all but one of a hundred.
        delivery_p50_ms: Milliseconds that deliveries took, the median.
        delivery_p99_ms: Likewise, of all but one of a hundred.
        growth_mib: By how much each service has grown at most since the beginning, in MiB.
    """

    attack: str
    ack_p50_ms: float
    ack_p99_ms: float
    delivery_p50_ms: float
    delivery_p99_ms: float
    growth_mib: Mapping[str, float]

    @property
    def troubles(self) -> Iterator[str]:
        """Sentences about what a service should not have let happen."""
        for what, wait in (("acks", self.ack_p99_ms), ("deliveries", self.delivery_p99_ms)):
            if not wait < MAX_WAIT_MS:
                yield f"{self.attack}: the p99 of {what} was {wait:,.0f} ms"
        for service, growth in self.growth_mib.items():
            if growth > MAX_GROWTH_MIB:
                yield f"{self.attack}: {service} has grown by {growth:,.0f} MiB"


class HostileReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run; its fields are those of the JSON report.

    Attributes:
        ok: Whether the well-behaved client noticed nothing, and no service grew too much.
        seconds: How long each attack lasted.
        published: Messages that the well-behaved client published.
        received: Messages that came back to it.
        phases: The effect of each attack.
        troubles: What is wrong, in sentences.
        folder: Where logs and data of the services are kept, if they are.
    """

    ok: bool
    seconds: float
    published: int
    received: int
    phases: list[Phase]
    troubles: list[str]
    folder: str | None


def text(report: HostileReport) -> str:
    """Return the report for people."""
    return "\n".join(_lines(report))


def _lines(report: HostileReport) -> Iterator[str]:
    yield f"{report.published:,} messages published by a well-behaved client, {report.received:,} received"
    yield ""
    yield f"{report.seconds:g} s of each; ms of   ack p50   p99   delivery p50   p99   growth, MiB"
    for each in report.phases:
        waits = f"{each.ack_p50_ms:>7.0f} {each.ack_p99_ms:>5.0f} {each.delivery_p50_ms:>14.0f}"
        growth = ", ".join(f"{name} {mib:.0f}" for name, mib in each.growth_mib.items())
        yield f"{each.attack or 'no attack':<24} {waits} {each.delivery_p99_ms:>5.0f}      {growth}"
    yield ""
    if report.ok:
        yield "The well-behaved client noticed nothing."
    yield from report.troubles
    if report.folder is not None:
        yield f"Logs and data of the services are in {report.folder}"
