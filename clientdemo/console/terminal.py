"""The interactive client's input and output: a terminal, or a pipe's lines."""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from clientdemo.console.grammar import LINE_COMMANDS
from clientdemo.console.lines import STDIN, read_lines


class LineKind(StrEnum):
    """Kind of a line on the screen, which decides its color."""

    SENT = "sent"
    ARRIVED = "arrived"
    DETAIL = "detail"
    NOTICE = "notice"
    PROBLEM = "problem"


STYLE = Style.from_dict(
    {
        "prompt": "bold",
        LineKind.SENT: "ansigreen",
        LineKind.ARRIVED: "ansicyan",
        LineKind.DETAIL: "ansibrightblack",
        LineKind.NOTICE: "ansiyellow",
        LineKind.PROBLEM: "ansired",
    }
)


class Topics:
    """Topics seen so far, newest first, for completion."""

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._topics: dict[str, None] = {}

    def add(self, topic: str) -> None:
        """Add a topic, and drop the oldest if there are too many.

        The oldest is the one not seen for the longest time.
        """
        self._topics.pop(topic, None)
        self._topics[topic] = None
        if len(self._topics) > self._limit:
            del self._topics[next(iter(self._topics))]

    def complete(self, text: str) -> Iterable[str]:
        """Return the commands and topics that complete the last word of ``text``."""
        *before, word = text.split(" ")
        words: list[str] = []
        if not before:
            words = [*LINE_COMMANDS, *reversed(self._topics)]
        elif before in (["sub"], ["unsub"]):
            words = [*reversed(self._topics)]
        return [each for each in words if each.startswith(word) and each != word]


class Screen(ABC):
    """Source of typed lines, and destination of shown ones."""

    @abstractmethod
    def show(self, kind: LineKind, text: str) -> None:
        """Show one line."""

    @abstractmethod
    def lines(self) -> AsyncIterator[str]:
        """Yield typed lines until the end of input.

        Raises:
            KeyboardInterrupt: On Ctrl-C.
            ConfigurationError: If standard input cannot be read.
        """

    def open(self) -> AbstractContextManager[None]:
        """Return the context in which lines are read and shown."""
        return nullcontext()


class Pipe(Screen):
    """Standard input and output, if one of them is not a terminal."""

    def show(self, kind: LineKind, text: str) -> None:
        """Write one line and flush it."""
        print(text, flush=True)  # noqa: T201 - this is a command line

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of standard input; invalid UTF-8 is escaped."""
        async for line in read_lines(STDIN):
            yield "" if line is None else line.decode(errors="backslashreplace")


class Terminal(Screen):
    """A prompt at the foot of a terminal; lines appear above.

    It has history and completion.

    Args:
        hint: Forms of a line, shown at the start.
        history: Lines typed before.
        topics: Topics to complete.
    """

    def __init__(self, hint: str, history: History, topics: Topics | None = None) -> None:
        self._hint = hint
        self._session: PromptSession[str] = PromptSession(
            message=[("class:prompt", "> ")],
            style=STYLE,
            history=history,
            completer=None if topics is None else _Completer(topics),
            complete_while_typing=False,
            erase_when_done=True,  # typed lines are shown again in their final form
        )

    def open(self) -> AbstractContextManager[None]:
        """Return a context that keeps output above the prompt."""
        return patch_stdout(raw=True)

    def show(self, kind: LineKind, text: str) -> None:
        """Show one line above the prompt, in the color of its kind."""
        print_formatted_text(FormattedText([(f"class:{kind}", text)]), style=STYLE)

    async def lines(self) -> AsyncIterator[str]:
        """Show the hint; yield typed lines until Ctrl-D."""
        self.show(LineKind.DETAIL, f"[clientdemo] {self._hint}")
        while True:
            try:
                yield await self._session.prompt_async()
            except EOFError:
                return


class _Completer(Completer):
    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        start = -len(text.rpartition(" ")[2])
        return (Completion(word, start_position=start) for word in self._topics.complete(text))


def kept_history(home: Callable[[], Path] = Path.home) -> History:
    """Return the history of typed lines, kept on disk if possible.

    It is in the user's state folder.

    Args:
        home: Returns the user's home folder; RuntimeError if there is none.
    """
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state")
        path = state / "fanline" / "clientdemo-history"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return FileHistory(str(path))
