"""Checks of the running services: readiness, versions, and clocks."""

from collections.abc import Iterator, Sequence
from typing import Final

from fanline.cli.doctor.findings import Finding, ok, problem, warning
from fanline.files import typed
from fanline.server.status.report import ServiceStatus
from subscriber.admin.installation import CLOCK_SECONDS, ServiceEntry

# Tokens are valid from the second in which they were issued, with a minute to spare.
_TOKEN_SECONDS: Final = 60.0

SLOW_LOOP_SECONDS: Final = 0.2


def check_services(entries: Sequence[ServiceEntry], version: str) -> Iterator[Finding]:
    """Check what the services of an installation say of themselves.

    Args:
        entries: The services.
        version: Version of this program.
    """
    running = {each.name: each.status for each in entries if each.status is not None}
    if not running:
        yield warning(
            "services",
            "no service answers: what they say of themselves is not checked",
            f"`{typed('fanline')} up`",
        )
        return
    for entry in entries:
        if entry.status is None:
            text = f"{entry.name} does not answer at {entry.url}: {entry.problem}"
            yield problem("services", text, "start it, or correct the setting with its address")
        else:
            yield from _check_status(entry.name, entry.status)
    yield from _check_versions(running, version)
    yield from _check_clocks(entries)


def _check_status(name: str, status: ServiceStatus) -> Iterator[Finding]:
    if status.problem is not None:
        yield problem("services", f"{name} is not ready: {status.problem}", "until then it refuses its work")
    else:
        yield ok("services", f"{name} is ready")
    for notice in status.notices:
        yield warning("services", f"{name}: {notice}", "see docs/operations.md")
    lags = [each for each in status.series.get("loop_lag_p99_seconds", []) if each is not None]
    if lags and max(lags) > SLOW_LOOP_SECONDS:
        text = f"{name} was late by up to {max(lags):.1f} s in the last minutes: its CPU does not suffice"
        yield warning("services", text, "give it a core of its own, or more `workers`")


def _check_versions(running: dict[str, ServiceStatus], version: str) -> Iterator[Finding]:
    versions = {name: status.version for name, status in running.items()}
    if set(versions.values()) == {version}:
        yield ok("versions", f"all services are of version {version}")
        return
    listed = ", ".join(f"{name} {each}" for name, each in versions.items())
    text = f"versions differ: {listed}; this program is {version}"
    yield warning("versions", text, "restart what is older, once all have been updated")


def _check_clocks(entries: Sequence[ServiceEntry]) -> Iterator[Finding]:
    offsets = {each.name: each.clock_offset for each in entries if each.clock_offset is not None}
    names = sorted(offsets, key=offsets.__getitem__)
    apart = offsets[names[-1]] - offsets[names[0]]
    text = f"the clocks of {names[0]} and {names[-1]} differ by {apart:.1f} s"
    advice = "keep the time of all machines with chrony or systemd-timesyncd"
    if apart > _TOKEN_SECONDS:
        yield problem("clocks", f"{text}: tokens are refused, and times of messages are wrong", advice)
    elif apart > CLOCK_SECONDS:
        yield warning("clocks", f"{text}: delivery times that are measured are wrong by this", advice)
    else:
        yield ok("clocks", "the clocks of the services agree within a second")
