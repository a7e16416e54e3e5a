"""Comparison of what the msgqueues of a cluster computed. No I/O."""

from dataclasses import dataclass
from typing import Final

# So long after its last frame a msgqueue still has a say.
ALIVE_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a comparison with another msgqueue.

    Attributes:
        member: The other one.
        time: The time of the log, in milliseconds.
        index: The entry of the journal up to which both were compared.
        agrees: Whether both had computed the same.
    """

    member: str
    time: int
    index: int
    agrees: bool


class Agreement:
    """Tells whether this msgqueue computes what most of the others do."""

    def __init__(self) -> None:
        self._verdicts: dict[str, Verdict] = {}

    def note(self, verdict: Verdict) -> None:
        """Take a comparison in; the last one with each other msgqueue counts."""
        self._verdicts[verdict.member] = verdict
        self._verdicts = {
            member: last for member, last in self._verdicts.items() if last.time >= verdict.time - ALIVE_MS
        }

    @property
    def problem(self) -> str | None:
        """Return what is wrong if this msgqueue is in the minority.

        That is so if half of all msgqueues, or more, differ from it; else the result is None.
        """
        differing = [verdict for verdict in self._verdicts.values() if not verdict.agrees]
        agreeing = 1 + len(self._verdicts) - len(differing)
        if len(differing) < agreeing:
            return None
        index = min(verdict.index for verdict in differing)
        return (
            f"this msgqueue has computed something else than {len(differing)} other(s) from the journal, at"
            f" entry {index} or before: stop it, put a back-up of a sound one in its data_dir, and start it"
        )
