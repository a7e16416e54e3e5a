"""Agreement of replicas: who stops when some of them differ."""

from msgqueue.store.replica.agreement import ALIVE_MS, Agreement, Verdict


def problem(*verdicts: tuple[str, bool], time: int = 1_000) -> str | None:
    agreement = Agreement()
    for origin, agrees in verdicts:
        agreement.note(Verdict(origin, time, 7, agrees))
    return agreement.problem


def test_the_majority_goes_on() -> None:
    """A replica stops if no more than half of all, itself included, have computed what it has (line 62)."""
    assert problem() is problem(("b", True)) is problem(("b", True), ("c", False)) is None
    assert problem(("b", False))
    assert problem(("b", False), ("c", False))
    assert problem(("b", True), ("c", False), ("d", False))


def test_the_last_comparison_counts() -> None:
    """A replica that has been replaced by a sound one is no reason to stop any more."""
    assert problem(("b", False), ("b", True)) is None


def test_replicas_that_are_gone_do_not_count() -> None:
    """One that was last heard of long ago has no say."""
    agreement = Agreement()
    agreement.note(Verdict("b", 0, 7, agrees=False))
    agreement.note(Verdict("c", ALIVE_MS + 1, 9, agrees=True))
    assert agreement.problem is None
