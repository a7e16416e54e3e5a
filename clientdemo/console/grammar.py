"""Grammar of the lines of the interactive client.

The forms of a line::

    sub TOPIC [after=N | last=N | latest]
    unsub TOPIC
    TOPIC message words
    exit
"""

from dataclasses import dataclass
from typing import Final

from fanline import Rejected, require_topic

LINE_COMMANDS: Final = ("sub", "unsub", "exit")

# Words that are meant as commands: a message to a topic of such a name is hardly ever meant.
NEAR_MISSES: Final = frozenset(
    {
        "?",
        "bye",
        "h",
        "help",
        "history",
        "leave",
        "logout",
        "ls",
        "list",
        "man",
        "pub",
        "publish",
        "q",
        "quit",
    }
    | {"subscribe", "unsubscribe"}
)

HELP: Final = (
    "type sub TOPIC [after=N | last=N | latest], unsub TOPIC, TOPIC message words to publish, or exit"
)


@dataclass(frozen=True)
class Sub:
    """Subscribe."""

    pattern: str
    after: int | None = None
    last: int | None = None
    latest: bool = False


@dataclass(frozen=True)
class Unsub:
    """Unsubscribe."""

    pattern: str


@dataclass(frozen=True)
class Send:
    """Publish."""

    topic: str
    content: str


@dataclass(frozen=True)
class Leave:
    """End the program."""


@dataclass(frozen=True)
class Mistake:
    """A line of none of these forms, and the reason.

    ``reason`` says what is expected.
    """

    reason: str


Line = Sub | Unsub | Send | Leave | Mistake


def parse(line: str) -> Line | None:
    """Parse a line; return None for an empty one."""
    verb, _, rest = line.strip().partition(" ")
    words = rest.split()
    if not verb:
        return None
    if verb == "exit" and not words:
        return Leave()
    if verb == "sub" and words:
        return _parse_sub(words[0], words[1:])
    if verb == "unsub" and len(words) == 1:
        return Unsub(words[0])
    if verb in LINE_COMMANDS or not words or _is_near_miss(verb):
        return Mistake(f'"{line.strip()}" is not understood: {HELP}')
    return parse_send(line)


def _is_near_miss(verb: str) -> bool:
    """Return whether a word looks like a command.

    What follows such a word is not published.
    """
    word = verb.lower().lstrip("/:-")
    return word in NEAR_MISSES or (word in LINE_COMMANDS and word != verb)


def parse_send(line: str) -> Send | Mistake:
    """Parse a line of the form ``TOPIC message words``."""
    topic, _, content = line.strip().partition(" ")
    try:
        require_topic(topic)
    except Rejected as rejected:
        return Mistake(rejected.reason)
    if not content:
        return Mistake(f"there is nothing to publish on {topic}: expected TOPIC message words")
    return Send(topic, content.lstrip())


def _parse_sub(pattern: str, options: list[str]) -> Sub | Mistake:
    if not options:
        return Sub(pattern)
    if options in (["latest"], ["latest=true"]):
        return Sub(pattern, latest=True)
    name, _, value = options[0].partition("=")
    if len(options) > 1 or name not in ("after", "last") or not (value.isascii() and value.isdigit()):
        found = " ".join(options)
        expected = "after=N or last=N, with a whole number, or latest"
        return Mistake(f'"{found}" after sub {pattern}: expected {expected}')
    return Sub(pattern, after=int(value)) if name == "after" else Sub(pattern, last=int(value))
