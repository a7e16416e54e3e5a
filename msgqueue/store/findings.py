"""Problems of a log: cause, consequence, and remedy."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from fanline.files import typed

EXAMPLES: Final = 5

_RESTORE: Final = "Stop msgqueue, keep the files, and restore a back-up (docs/operations.md, Restore)."
_REINDEX: Final = "The messages are there: rebuild the index (docs/operations.md, Damage)."


class Kind(NamedTuple):
    """One kind of damage.

    Attributes:
        what: What is wrong; where ``is_counted``, how often follows.
        meaning: What users notice.
        remedy: What the operator can do.
        is_counted: Whether how often it was found says anything.
    """

    what: str
    meaning: str
    remedy: str = _RESTORE
    is_counted: bool = True


NOT_A_LOG: Final = Kind(
    "It is not a log, or its beginning is damaged",
    "msgqueue does not start with it.",
    is_counted=False,
)
WAL_LOST: Final = Kind(
    "Commits in log.sqlite3-wal cannot be read",
    "The newest messages cannot be read, and they may have been acknowledged. msgqueue does not start, and"
    " nothing else was checked.",
    "Keep the files. Restore a back-up, or go on without what is lost (docs/operations.md, Damage).",
    is_counted=False,
)
WAL_UNFINISHED: Final = Kind(
    "A commit at the end of log.sqlite3-wal may be lost",
    "After a power cut that is what it interrupted: it was never acknowledged, and nothing is lost. Otherwise"
    " the newest messages are lost.",
    "After a power cut nothing: start msgqueue, which drops it. Otherwise restore a back-up.",
    is_counted=False,
)
STRUCTURE: Final = Kind(
    "Faults in the structure of the file",
    "Messages cannot be read, or new ones not be stored.",
)
INDEX: Final = Kind(
    "Places where an index differs from its table",
    "Who reads by topic misses messages, or gets an error.",
    _REINDEX,
)
HOLE: Final = Kind(
    "Gaps where messages are missing that were not trimmed",
    "They are lost, and readers pass over them without being told.",
)
BODY: Final = Kind(
    "Messages that are not as they were written",
    "Readers are told of a gap in their place.",
)
LABEL: Final = Kind(
    "Messages filed under another position, topic or time than they bear",
    "Readers are told of a gap in their place.",
)
NO_TOPIC: Final = Kind(
    "Messages of a topic that is not in the table of topics",
    "Who reads them gets an error, and no further.",
)
TOPIC: Final = Kind(
    "Topics whose entry cannot be right",
    "Who reads them may miss messages, or is told of a wrong gap.",
)
TIME: Final = Kind(
    "Messages older than one before them",
    "Ids may count for too long or too short a time; all messages are there.",
)
MARK: Final = Kind(
    "The note of how far the log was trimmed does not fit",
    "New messages may get wrong positions, and readers be told of a wrong gap.",
    is_counted=False,
)
CURSOR: Final = Kind(
    "Consumers whose position cannot be right",
    "They would miss new messages, or cannot go on.",
    f"Start msgqueue and delete them: `{typed('fanline')} consumer delete NAME`. Or restore a back-up.",
)
ID: Final = Kind(
    "Ids that are noted for a message that does not bear them",
    "A message sent again with such an id can be taken for stored, or be stored twice.",
)


class Finding(NamedTuple):
    """Findings of one kind: their number, and the first examples."""

    kind: Kind
    times: int
    examples: list[str]

    def __str__(self) -> str:
        what = f"{self.kind.what} ({self.times:,})" if self.kind.is_counted else self.kind.what
        more = ", …" if self.times > len(self.examples) else ""
        lines = [
            f"{what}: {', '.join(self.examples)}{more}",
            f"What it means: {self.kind.meaning}",
            f"What to do: {self.kind.remedy}",
        ]
        return "\n    ".join(lines)


class LogFindings:
    """LogFindings by kind, in the order of discovery."""

    def __init__(self) -> None:
        self._found: dict[Kind, Finding] = {}

    def add(self, kind: Kind, example: str) -> None:
        """Count one more of a kind."""
        _, times, examples = self._found.get(kind, Finding(kind, 0, []))
        if example not in examples and len(examples) < EXAMPLES:
            examples = [*examples, example]
        self._found[kind] = Finding(kind, times + 1, examples)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)
