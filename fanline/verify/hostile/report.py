"""Report of a hostile client's effect on others, text or JSON."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

# What a well-behaved client may notice, and by how much a service may have grown once an attack has settled.
MAX_WAIT_MS: Final = 250
MAX_GROWTH_MIB: Final = 100

# On a machine that is loaded by something else all waits are longer, also those without an attack.
MAX_SLOWDOWN: Final = 3

# Services are not judged by what they do with less of the machine.
LEAST_SHARE: Final = 0.1


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of one attack.

    Attributes:
        attack: Its name; empty for none.
        ack_p50_ms: Milliseconds that acks took, the median.
        ack_p99_ms: Likewise, of all but one of a hundred.
        delivery_p50_ms: Milliseconds that deliveries took, the median.
        delivery_p99_ms: Likewise, of all but one of a hundred.
        others_share: What share of the machine other programs have used, from 0 to 1.
        peak_mib: By how much each service was larger at most than at the beginning, in MiB.
        growth_mib: Likewise, when the attack was over and had settled.
    """

    attack: str
    ack_p50_ms: float
    ack_p99_ms: float
    delivery_p50_ms: float
    delivery_p99_ms: float
    others_share: float
    peak_mib: Mapping[str, float]
    growth_mib: Mapping[str, float]

    @property
    def slowest_ms(self) -> float:
        """The larger p99 of the two."""
        return max(self.ack_p99_ms, self.delivery_p99_ms)

    def max_wait_ms(self, calm: "Phase") -> float:
        """Return the allowed p99.

        Other programs, and waits without an attack, allow for more.
        """
        left = max(LEAST_SHARE, 1 - self.others_share)
        slowest = calm.slowest_ms
        return max(MAX_WAIT_MS / left, MAX_SLOWDOWN * slowest if slowest < math.inf else 0.0)

    def find_troubles(self, calm: "Phase") -> Iterator[str]:
        """Yield sentences about what a service should not have let happen.

        Args:
            calm: What the same machine does without an attack.
        """
        max_wait_ms = self.max_wait_ms(calm)
        for what, wait in (("acks", self.ack_p99_ms), ("deliveries", self.delivery_p99_ms)):
            if not wait < max_wait_ms:
                yield f"{self.attack}: the p99 of {what} was {wait:,.0f} ms, and may be {max_wait_ms:,.0f}"
        for service, growth in self.growth_mib.items():
            if growth > MAX_GROWTH_MIB:
                yield f"{self.attack}: {service} has grown by {growth:,.0f} MiB"


class HostileReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one run, with the fields of the JSON report.

    Attributes:
        ok: Whether the well-behaved client noticed nothing, and no service grew too much.
        seconds: How long each attack lasted.
        published: Messages that the well-behaved client published.
        received: Messages that came back to it.
        phases: First without an attack, then the effect of each.
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
    yield (
        f"{report.seconds:g} s of each; ms of   ack p50   p99   delivery p50   p99   allowed"
        "   growth (at most), MiB"
    )
    calm, *attacked = report.phases
    yield _line(calm, "")
    for each in attacked:
        yield _line(each, f"{each.max_wait_ms(calm):.0f}")
    yield ""
    yield (
        f"A p99 may be {MAX_WAIT_MS} ms, or {MAX_SLOWDOWN} times that without an attack, and more where other"
        " programs load the machine."
    )
    if used := [each.others_share for each in attacked]:
        yield f"During the attacks they used {min(used):.0%} to {max(used):.0%} of it."
    if report.ok:
        yield "The well-behaved client noticed nothing."
    yield from report.troubles
    if report.folder is not None:
        yield f"Logs and data of the services are in {report.folder}"


def _line(phase: Phase, allowed: str) -> str:
    waits = f"{phase.ack_p50_ms:>7.0f} {phase.ack_p99_ms:>5.0f} {phase.delivery_p50_ms:>14.0f}"
    growth = ", ".join(
        f"{name} {mib:.0f} ({phase.peak_mib[name]:.0f})" for name, mib in phase.growth_mib.items()
    )
    return f"{phase.attack or 'no attack':<24} {waits} {phase.delivery_p99_ms:>5.0f} {allowed:>9}   {growth}"
