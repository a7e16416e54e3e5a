"""The findings of a run, as text and as JSON."""

from collections.abc import Iterator

import msgspec

from fanline.verify.verdict.findings import Findings


class Violation(msgspec.Struct, frozen=True):
    """One kind of violation.

    Attributes:
        kind: Its name; see :class:`~fanline.verify.verdict.findings.Breach`.
        meaning: What it is, and the promise that it breaks.
        count: How many there are.
        examples: The first few.
    """

    kind: str
    meaning: str
    count: int
    examples: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one run, with the fields of the JSON report.

    Attributes:
        ok: Whether no promise was broken.
        seed: What the faults and all other choices followed from.
        command: How to run it again.
        seconds: How long the load lasted.
        published: Messages handed over.
        acked: Those that were acknowledged.
        repeats: Messages sent again although they had been acknowledged.
        delivered: Messages received, counted once for each subscriber.
        rate: Messages published a second.
        faults: How often each kind of fault befell each target.
        reconnects: Connections that were made again after a loss.
        longest_ack_wait: The most seconds between a message and its ack.
        longest_delivery_wait: The most seconds between a message and its delivery to a prompt subscriber.
        violations: Most frequent first.
        folder: Where logs and data of the services are kept, if they are.
    """

    ok: bool
    seed: int
    command: str
    seconds: float
    published: int
    acked: int
    repeats: int
    delivered: int
    rate: float
    faults: dict[str, dict[str, int]]
    reconnects: int
    longest_ack_wait: float
    longest_delivery_wait: float
    violations: list[Violation]
    folder: str | None


def violations(findings: Findings) -> list[Violation]:
    """Return what a report says of the findings."""
    return [
        Violation(kind.value, kind.meaning, count, findings.examples[kind])
        for kind, count in findings.counts.most_common()
    ]


def text(report: Report) -> str:
    """Return the report for people."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    pace = f"{report.seconds:.0f} s, {report.rate:,.0f} a second"
    yield f"published        {report.published:,} messages in {pace}"
    yield f"acknowledged     {report.acked:,}, and {report.repeats:,} of them again on purpose"
    yield f"delivered        {report.delivered:,}"
    yield f"faults           {sum(sum(targets.values()) for targets in report.faults.values())}"
    for fault, targets in report.faults.items():
        shares = ", ".join(f"{name} {count}" for name, count in sorted(targets.items()))
        yield f"  {fault:<14} {sum(targets.values())} ({shares})"
    yield f"reconnects       {report.reconnects:,}"
    waits = f"{report.longest_ack_wait:.1f} s for an ack, {report.longest_delivery_wait:.1f} s for a delivery"
    yield f"longest outage   {waits}"
    yield ""
    yield from _verdict(report)


def _verdict(report: Report) -> Iterator[str]:
    if report.ok:
        yield "Every promise was kept."
    else:
        yield f"{sum(violation.count for violation in report.violations):,} violations:"
    for violation in report.violations:
        yield f"  {violation.kind}: {violation.count:,} x {violation.meaning}"
        yield from (f"    {example}" for example in violation.examples)
        if violation.count > len(violation.examples):
            yield "    …"
    yield f"To repeat it: {report.command}"
    if report.folder is not None:
        yield f"Logs and data of the services are in {report.folder}"
