"""The plan of faults."""

import random
from itertools import pairwise

from fanline.verify.plan import EVERYTHING, LEADER, LINKS, TESTED, Event, Fault, Targets, plan


def planned(seed: int, *, duration: float = 600.0, every: float = 2.0) -> list[Event]:
    return plan(random.Random(seed), duration=duration, every=every)


def test_a_seed_repeats_its_plan() -> None:
    """The same seed gives the same faults, another one others."""
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)


def test_a_longer_plan_begins_like_a_shorter_one() -> None:
    """Later faults do not change earlier ones."""
    short = planned(1, duration=60)
    assert planned(1)[: len(short)] == short


def test_faults_come_as_often_as_asked() -> None:
    """In order, within the duration, and at the distance that was asked for on average."""
    events = planned(1)
    assert all(0 < event.at < 600 for event in events)
    assert all(1 <= later.at - earlier.at <= 3 for earlier, later in pairwise(events))
    assert 250 < len(events) < 350


def test_every_fault_happens_to_every_service() -> None:
    """Each kind comes on each target before any comes again."""
    deck = [(event.fault, event.target) for event in planned(3)]
    expected = {(Fault.KILL, EVERYTHING)}
    expected |= {(fault, name) for fault in (Fault.KILL, Fault.FREEZE, Fault.RESTART) for name in TESTED}
    expected |= {
        (fault, name) for fault in (Fault.CUT, Fault.TEAR, Fault.STALL, Fault.BLOCK) for name in LINKS
    }
    assert set(deck[: len(expected)]) == expected
    assert set(deck[len(expected) : 2 * len(expected)]) == expected


def test_a_cluster_has_targets_of_its_own() -> None:
    """Every fault happens to each of its processes and links, and those that only it knows happen as well."""
    special = ((Fault.STEP_DOWN, "the journal"), (Fault.KILL, LEADER))
    targets = Targets(("msgqueue-1", "nats-0"), ("msgqueue-1-nats-0",), special)
    events = plan(random.Random(1), duration=200, every=1, targets=targets)
    hit = {event.target for event in events}
    assert hit == {*targets.services, *targets.links, EVERYTHING, LEADER, "the journal"}
    assert {(event.fault, event.target) for event in events} >= set(special)


def test_too_short_for_any_fault() -> None:
    """A run can end before the first fault."""
    assert planned(1, duration=0.5) == []
