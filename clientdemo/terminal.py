"""What the interactive client reads from and writes to: a terminal, or plain lines in a pipe."""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
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

from clientdemo.grammar import COMMANDS
from clientdemo.lines import STDIN, read_lines


class Kind(StrEnum):
    """What a line on the screen is about; gives it its colour."""

    SENT = "sent"
    ARRIVED = "arrived"
    DETAIL = "detail"
    NOTICE = "notice"
    PROBLEM = "problem"


STYLE = Style.from_dict(
    {
        "prompt": "bold",
        Kind.SENT: "ansigreen",
        Kind.ARRIVED: "ansicyan",
        Kind.DETAIL: "ansibrightblack",
        Kind.NOTICE: "ansiyellow",
        Kind.PROBLEM: "ansired",
    }
)


class Topics:
    """The topics seen so far, newest first, for completion."""

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._topics: dict[str, None] = {}

    def add(self, topic: str) -> None:
        """Note a topic; the one not seen for longest makes room."""
        self._topics.pop(topic, None)
        self._topics[topic] = None
        if len(self._topics) > self._limit:
            del self._topics[next(iter(self._topics))]

    def complete(self, text: str) -> Iterable[str]:
        """Return how the last word of ``text`` could go on: as a command or a topic."""
        *before, word = text.split(" ")
        words: list[str] = []
        if not before:
            words = [*COMMANDS, *reversed(self._topics)]
        elif before in (["sub"], ["unsub"]):
            words = [*reversed(self._topics)]
        return [each for each in words if each.startswith(word) and each != word]


class Screen(ABC):
    """Where lines come from, and where they are shown."""

    @abstractmethod
    def show(self, kind: Kind, text: str) -> None:
        """Show one line."""

    @abstractmethod
    def lines(self) -> AsyncIterator[str]:
        """Yield what is typed, line by line, until its end.

        Raises:
            KeyboardInterrupt: On Ctrl-C.
            ConfigurationError: If there is nothing to read from.
        """

    def open(self) -> AbstractContextManager[None]:
        """Return what must be open while lines are read or shown."""
        return nullcontext()


class Pipe(Screen):
    """Standard input and output, where one of them is no terminal."""

    def show(self, kind: Kind, text: str) -> None:
        """Write one line, at once."""
        print(text, flush=True)  # noqa: T201 - this is a command line

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of standard input; what is not UTF-8 in them comes as escapes."""
        async for line in read_lines(STDIN):
            yield "" if line is None else line.decode(errors="backslashreplace")


class Terminal(Screen):
    """A prompt at the foot of a terminal, with history and completion; lines appear above it.

    Args:
        hint: What can be typed.
        history: What was typed before.
        topics: What can be completed.
    """

    def __init__(self, hint: str, history: History, topics: Topics | None = None) -> None:
        self._hint = hint
        self._session: PromptSession[str] = PromptSession(
            message=[("class:prompt", "> ")],
            style=STYLE,
            history=history,
            completer=None if topics is None else _Completer(topics),
            complete_while_typing=False,
            erase_when_done=True,  # what was typed is shown again, as what it became
        )

    def open(self) -> AbstractContextManager[None]:
        """Keep what is shown above the prompt."""
        return patch_stdout(raw=True)

    def show(self, kind: Kind, text: str) -> None:
        """Show one line above the prompt, in the colour of its kind."""
        print_formatted_text(FormattedText([(f"class:{kind}", text)]), style=STYLE)

    async def lines(self) -> AsyncIterator[str]:
        """Say what can be typed, and yield it until Ctrl-D."""
        self.show(Kind.DETAIL, f"[clientdemo] {self._hint}")
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


def kept_history() -> History:
    """Return the lines typed before, kept in the user's folder for state if there can be one."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = state / "fanline" / "clientdemo-history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
