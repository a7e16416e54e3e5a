"""Schedule of faults that follows from a seed alone. No I/O."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

TESTED: Final = ("msgqueue", "publisher", "subscriber")

# A link is named for its two ends, the one that connects first.
LINKS: Final = ("clients-publisher", "clients-subscriber", "publisher-msgqueue", "subscriber-msgqueue")

EVERYTHING: Final = "everything"

# The NATS server that leads the journal at that time.
LEADER: Final = "the leader"


@dataclass(frozen=True)
class Targets:
    """The targets of faults.

    Attributes:
        services: The processes.
        links: The connections between them, and those of clients.
        special: Faults that only this kind of installation knows, and what each befalls.
    """

    services: tuple[str, ...]
    links: tuple[str, ...]
    special: tuple[tuple["Fault", str], ...] = ()


PIPELINE_TARGETS: Final = Targets(TESTED, LINKS)


class Fault(StrEnum):
    """Faults of a service or connection, and those of a cluster."""

    KILL = "kill"  # SIGKILL, and started again
    FREEZE = "freeze"  # SIGSTOP, and SIGCONT
    RESTART = "restart"  # SIGTERM, and started again
    CUT = "cut"  # every connection is reset
    TEAR = "tear"  # every connection ends somewhere within what is being sent
    STALL = "stall"  # nothing passes, without an error
    BLOCK = "block"  # every connection is reset, and every new one at once

    PARTITION = "partition"  # nothing passes between a process and all others, without an error
    ISOLATE = "isolate"  # nothing passes between a NATS server and the other ones
    STEP_DOWN = "step-down"  # the leader of the journal is asked to hand over
    FULL_DISK = "full-disk"  # nothing more can be written
    CLOCK = "clock"  # the time of day jumps an hour, and back


# Seconds that a fault lasts: at least, and at most. The longer ones exceed the silence limit of the services.
_LENGTHS: Final = {
    Fault.KILL: (0.0, 1.5),
    Fault.FREEZE: (0.2, 5.0),
    Fault.RESTART: (0.0, 1.0),
    Fault.CUT: (0.0, 0.0),
    Fault.TEAR: (0.5, 1.5),
    Fault.STALL: (0.2, 5.0),
    Fault.BLOCK: (0.2, 3.0),
    Fault.PARTITION: (1.0, 15.0),
    Fault.ISOLATE: (1.0, 15.0),
    Fault.STEP_DOWN: (0.0, 0.0),
    Fault.FULL_DISK: (1.0, 8.0),
    Fault.CLOCK: (2.0, 10.0),
}

_AT_SERVICES: Final = (Fault.KILL, Fault.FREEZE, Fault.RESTART)
_AT_LINKS: Final = (Fault.CUT, Fault.TEAR, Fault.STALL, Fault.BLOCK)


@dataclass(frozen=True)
class Event:
    """One fault.

    Attributes:
        at: When it begins, in seconds from the start.
        fault: What happens.
        target: To whom: a service, a link, or everything.
        seconds: How long it lasts.
    """

    at: float
    fault: Fault
    target: str
    seconds: float


def plan(
    rng: random.Random, *, duration: float, every: float, targets: Targets = PIPELINE_TARGETS
) -> list[Event]:
    """Return faults for so many seconds, in order.

    Each kind comes once on each target, in random order, before any comes again.

    Args:
        rng: Source of randomness; a seeded one makes the plan repeatable.
        duration: No fault begins later, in seconds.
        every: Seconds between the beginnings of two faults, on average.
        targets: What they befall.
    """
    events: list[Event] = []
    deck = _deal(rng, targets)
    at = rng.uniform(0.5, 1.5) * every
    while at < duration:
        fault, target = next(deck)
        events.append(Event(at, fault, target, rng.uniform(*_LENGTHS[fault])))
        at += rng.uniform(0.5, 1.5) * every
    return events


def _deal(rng: random.Random, targets: Targets) -> Iterator[tuple[Fault, str]]:
    cards = [
        (Fault.KILL, EVERYTHING),
        *product(_AT_SERVICES, targets.services),
        *product(_AT_LINKS, targets.links),
        *targets.special,
    ]
    while True:
        yield from rng.sample(cards, len(cards))
