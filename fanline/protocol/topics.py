"""Topics and patterns: the grammar, matching, and an index of patterns.

A *topic* is one or more tokens joined by dots, ``orders.eu.new``: 1 to 255 characters, no whitespace or
control characters, no ``*`` or ``>``. A *pattern* may also have ``*``, which stands for exactly one token,
and ``>`` as its last token, which stands for one or more; with either it has at most 16 tokens. Topics whose
first character is ``$`` belong to the system: a wildcard in the first token does not match them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from fanline.protocol.errors import ErrorCode, Rejected

MAX_TOPIC_LENGTH = 255

# Tokens of a pattern with wildcards. The work to find what matches a topic, and the memory of a subscription,
# grow with it.
MAX_PATTERN_TOKENS = 16

# Bytes that an index and its owner take for a pattern, measured, besides its text: if it shares nothing with
# others, and for each of its tokens if it has wildcards.
PATTERN_BYTES = 400
TOKEN_BYTES = 300

# \s, the C0/C1 controls and halves of surrogate pairs are excluded; so are the separators and wildcards.
_TOKEN = r"[^\s.*>\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
_FORBIDDEN = {
    r"[\s\x00-\x1f\x7f-\x9f]": "it has whitespace or control characters",
    r"[\ud800-\udfff]": "it has half of a surrogate pair",
}
_TOPIC = re.compile(rf"{_TOKEN}(?:\.{_TOKEN})*")
_PATTERN = re.compile(rf"(?:(?:{_TOKEN}|\*)\.)*(?:{_TOKEN}|\*|>)")

PRESENCE_TOPIC = "$presence"
_PRESENCE_PREFIX = f"{PRESENCE_TOPIC}."

T = TypeVar("T")


def is_topic(text: str) -> bool:
    """Return whether messages can be published on ``text`` as a topic."""
    return len(text) <= MAX_TOPIC_LENGTH and _has_tokens(text)  # no long text is kept by the cache


@lru_cache(maxsize=8_192)  # the same few are looked at for every message, twice on its way
def _has_tokens(text: str) -> bool:
    return _TOPIC.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Return whether ``text`` is a topic or a pattern with wildcards."""
    if len(text) > MAX_TOPIC_LENGTH or _PATTERN.fullmatch(text) is None:
        return False
    return text.count(".") < MAX_PATTERN_TOKENS or not has_wildcard(text)


def has_wildcard(pattern: str) -> bool:
    """Return whether a valid pattern matches more than one topic."""
    return "*" in pattern or ">" in pattern


def memory_of(pattern: str) -> int:
    """Return about how many bytes of memory a valid pattern takes."""
    tokens = pattern.count(".") + 1 if has_wildcard(pattern) else 0
    return PATTERN_BYTES + len(pattern) + TOKEN_BYTES * tokens


def is_system(topic: str) -> bool:
    """Return whether a topic or pattern is one of the system's own."""
    return topic.startswith("$")


def presence_topic(topic: str) -> str:
    """Return the topic of the presence events of a topic."""
    return _PRESENCE_PREFIX + topic


def watched_pattern(pattern: str) -> str | None:
    """Return the pattern whose presence events a pattern matches, or None."""
    return pattern[len(_PRESENCE_PREFIX) :] if pattern.startswith(_PRESENCE_PREFIX) else None


def require_topic(text: str) -> None:
    """Raise :class:`~fanline.errors.Rejected` unless ``text`` is a topic."""
    if not is_topic(text):
        problem = _problem(text, wildcards=False)
        raise Rejected(ErrorCode.BAD_TOPIC, f"{_quoted(text)} is not a topic: {problem}")


def require_pattern(text: str) -> None:
    """Raise :class:`~fanline.errors.Rejected` unless ``text`` can be subscribed to."""
    if not is_pattern(text):
        problem = _problem(text, wildcards=True)
        raise Rejected(ErrorCode.BAD_TOPIC, f"{_quoted(text)} is not a topic: {problem}")


def matches(pattern: str, topic: str) -> bool:
    """Return whether a valid ``pattern`` matches a valid ``topic``."""
    if not has_wildcard(pattern):
        return pattern == topic
    return covers(pattern, topic)


def matches_any(patterns: Iterable[str], topic: str) -> bool:
    """Return whether any of the valid patterns matches a valid ``topic``."""
    return any(matches(pattern, topic) for pattern in patterns)


def covers(wide: str, narrow: str) -> bool:
    """Return whether ``wide`` matches every topic that ``narrow`` matches.

    Both must be valid.
    """
    wide_tokens, narrow_tokens = wide.split("."), narrow.split(".")
    if is_system(narrow) and wide_tokens[0] in {"*", ">"}:
        return False
    for position, token in enumerate(wide_tokens):
        if position >= len(narrow_tokens):
            return False
        if token == ">":
            return True
        other = narrow_tokens[position]
        if other == ">" or (token not in ("*", other)):
            return False
    return len(wide_tokens) == len(narrow_tokens)


class PatternIndex(Generic[T]):
    """Values filed under patterns, found by topic.

    Topics are found at once. Patterns with wildcards are a tree with one level per token, of which a topic
    visits the nodes that match its beginning, each once. Not thread-safe.
    """

    __slots__ = ("_root", "_topics")

    def __init__(self) -> None:
        self._topics: dict[str, dict[T, None]] = {}  # dicts for values, so that their order is kept
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, value: T) -> None:
        """File ``value`` under a valid pattern; filing it twice changes nothing."""
        if not has_wildcard(pattern):
            self._topics.setdefault(pattern, {})[value] = None
            return
        node = self._root
        for token in pattern.split("."):
            node = node.children.setdefault(token, _Node())
        if node.values is None:
            node.values = {}
        node.values[value] = None

    def discard(self, pattern: str, value: T) -> None:
        """Take ``value`` from under ``pattern``, if it is there."""
        if has_wildcard(pattern):
            self._root.discard(pattern.split("."), value)
        elif (values := self._topics.get(pattern)) is not None:
            values.pop(value, None)
            if not values:
                del self._topics[pattern]

    def match(self, topic: str) -> Iterator[T]:
        """Yield the values of every pattern that matches ``topic``.

        A value under two patterns comes twice.
        """
        yield from self._topics.get(topic, ())
        if not self._root.children:
            return
        level, is_wild = [self._root], not is_system(topic)
        for token in topic.split("."):
            below: list[_Node[T]] = []
            for node in level:
                children = node.children
                if is_wild:
                    if (rest := children.get(">")) is not None:
                        yield from rest.values or ()
                    if (child := children.get("*")) is not None:
                        below.append(child)
                if (child := children.get(token)) is not None:
                    below.append(child)
            if not below:
                return
            level, is_wild = below, True
        for node in level:
            yield from node.values or ()

    def __bool__(self) -> bool:
        return bool(self._topics or self._root.children)


class _Node(Generic[T]):
    """One token's place in a :class:`PatternIndex`."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] | None = None

    def discard(self, tokens: Sequence[str], value: T) -> None:
        """Take a value from under tokens, and remove what is empty then."""
        path = [self]
        for token in tokens:
            child = path[-1].children.get(token)
            if child is None:
                return
            path.append(child)
        (path[-1].values or {}).pop(value, None)
        for parent, token in zip(reversed(path[:-1]), reversed(tokens), strict=True):
            child = parent.children[token]
            if child.children or child.values:
                return
            del parent.children[token]


def _quoted(text: str) -> str:
    shown = text if len(text) <= 40 else text[:40] + "…"
    return ascii(shown) if not shown.isprintable() else f'"{shown}"'


def _problem(text: str, *, wildcards: bool) -> str:
    if not text:
        return "it is empty"
    if len(text) > MAX_TOPIC_LENGTH:
        return f"it has {len(text)} characters, and {MAX_TOPIC_LENGTH} are allowed"
    for characters, problem in _FORBIDDEN.items():
        if re.search(characters, text):
            return problem
    if "" in text.split("."):
        return "it has an empty token (a dot at an end, or two in a row)"
    return _wildcard_problem(text) if wildcards else 'the wildcards "*" and ">" are for subscriptions only'


def _wildcard_problem(text: str) -> str:
    if _PATTERN.fullmatch(text):
        return f"with wildcards it may have {MAX_PATTERN_TOKENS} tokens, and it has {text.count('.') + 1}"
    return '"*" must be a whole token, and ">" a whole token at the end'
