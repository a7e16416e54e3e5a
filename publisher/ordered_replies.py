"""The answers of one publishing connection, kept in the order of its messages. No I/O."""

from collections import deque
from collections.abc import Callable, Sequence

from fanline.protocol import Ack, Refusal

Answer = Ack | Refusal


class Slot:
    """The place of one answer; settled once, and then sent when all before it are settled."""

    __slots__ = ("answer", "answers")

    def __init__(self, answers: "Answers") -> None:
        self.answers = answers
        self.answer: Answer | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the answer is there; a second one would come too late."""
        return self.answer is not None

    def settle(self, answer: Answer) -> None:
        """Put the answer in its place, unless there is one already."""
        if self.answer is None:
            self.answer = answer
            self.answers.on_settled()


class Answers:
    """Slots in order, and the run of settled ones at their head.

    Args:
        on_settled: Called whenever a slot is settled; schedules :meth:`take`.
    """

    def __init__(self, on_settled: Callable[[], None]) -> None:
        self.on_settled = on_settled
        self._slots: deque[Slot] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    def open(self) -> Slot:
        """Return a place behind all others."""
        slot = Slot(self)
        self._slots.append(slot)
        return slot

    def take(self) -> Sequence[Answer]:
        """Remove and return the answers that no unsettled one precedes."""
        taken = []
        while self._slots and (answer := self._slots[0].answer) is not None:
            self._slots.popleft()
            taken.append(answer)
        return taken
