"""Rule for which entries the journal may remove. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

# How exactly the age of an entry is known.
MARK_MS: Final = 3_600_000

# A msgqueue that has sent nothing for so long is forgotten.
FORGET_MS: Final = 30 * 86_400_000

# Marks are kept for as long as the age of an entry may matter.
FORGET_MARK_MS: Final = 2 * 86_400_000

# On so many msgqueues must be what the journal gives up.
LEAST_COPIES: Final = 2

Members = Mapping[str, tuple[int, int]]
Marks = Sequence[tuple[int, int]]


class TrimRule(NamedTuple):
    """Rule for the part of the journal that is kept.

    Attributes:
        keep_ms: Age up to which every entry is kept.
        patience_ms: Age of the last frame of a msgqueue up to which all that it has not applied is kept.
    """

    keep_ms: int = 86_400_000
    patience_ms: int = 7 * 86_400_000

    def first_needed(self, members: Members, marks: Marks, now: int) -> int:
        """Return the index of the first needed entry; 0 if all are.

        Args:
            members: Of each msgqueue the entry up to which it has everything on disk, and when it said so.
            marks: Times of some entries, and their indexes, oldest first.
            now: The time of the journal, in milliseconds.
        """
        copies = [index for index, time in members.values() if time >= now - self.patience_ms]
        if len(copies) < LEAST_COPIES:
            return 0
        old = [index for time, index in marks if time <= now - self.keep_ms]
        return min(*copies, old[-1] if old else 0)


def with_member(members: Members, name: str, index: int, now: int) -> dict[str, tuple[int, int]]:
    """Return the msgqueues with what one of them says now."""
    known, _ = members.get(name, (0, 0))
    others = {other: last for other, last in members.items() if last[1] >= now - FORGET_MS}
    return others | {name: (max(known, index), now)}


def with_mark(marks: Marks, index: int, now: int) -> list[tuple[int, int]]:
    """Return the marks with one for an entry added.

    It is added if the last one is old enough. Of the oldest marks only the last is kept.
    """
    if marks and now < marks[-1][0] + MARK_MS:
        return list(marks)
    old = sum(time <= now - FORGET_MARK_MS for time, _ in marks)
    return [*marks[max(0, old - 1) :], (now, index)]
