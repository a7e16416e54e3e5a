"""The gate: connections go to another msgqueue while this one has a reason to send them there."""

from collections.abc import Iterator
from typing import Any

from fanline.errors import CloseCode
from fanline.tasks import running_task
from msgqueue.gate import Gate
from tests.conftest import until


class CutConnection:
    """Stands in for a connection, and notes why it is cut."""

    def __init__(self) -> None:
        self.cuts: list[tuple[int, str]] = []

    def cut(self, code: int, reason: str) -> None:
        self.cuts.append((code, reason))


async def test_connections_are_ended_while_there_is_a_reason() -> None:
    """New ones at once, open ones soon; without a reason none is."""
    reasons: Iterator[str | None] = iter([None, None, "lags"])
    last: list[str | None] = [None]

    def problem() -> str | None:
        last[0] = next(reasons, last[0])
        return last[0]

    gate = Gate(problem, check_seconds=0.01)
    made: list[Any] = []
    open_one = gate.guard(made.append)  # type: ignore[arg-type]
    early, late = CutConnection(), CutConnection()
    open_one(early)  # type: ignore[arg-type]
    assert made == [early]
    assert early.cuts == []
    async with running_task(gate.run()):
        await until(lambda: bool(early.cuts))
    open_one(late)  # type: ignore[arg-type]
    assert early.cuts[0] == late.cuts[0] == (CloseCode.TRY_AGAIN_LATER, "lags")
