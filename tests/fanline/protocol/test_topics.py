"""Tests of topics and patterns: the grammar, matching, and the index of patterns."""

import sys
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ErrorCode, Rejected
from fanline.protocol.topics import (
    MAX_PATTERN_TOKENS,
    MAX_TOPIC_LENGTH,
    PatternIndex,
    covers,
    has_wildcard,
    is_pattern,
    is_system,
    is_topic,
    matches,
    require_pattern,
    require_topic,
)

TOKENS = ("a", "b", "$s")

# All of a small world: deep enough that every pattern below matches something that a shorter one does not.
TOPICS = [".".join(tokens) for depth in (1, 2, 3, 4) for tokens in product((*TOKENS, "other"), repeat=depth)]
PATTERNS = [
    ".".join((*tokens, last))
    for depth in (0, 1, 2)
    for tokens in product((*TOKENS, "*"), repeat=depth)
    for last in (*TOKENS, "*", ">")
]


def naive_match(pattern: list[str], topic: list[str]) -> bool:
    """Match token by token, straight from the definition."""
    if not pattern or not topic:
        return pattern == topic
    if pattern[0] == ">":
        return True
    return pattern[0] in ("*", topic[0]) and naive_match(pattern[1:], topic[1:])


def belongs(pattern: str, topic: str) -> bool:
    hides = topic.startswith("$") and pattern[0] in "*>"
    return not hides and naive_match(pattern.split("."), topic.split("."))


# The grammar


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "orders.eu.new",
        "$sys.load",
        "x" * MAX_TOPIC_LENGTH,
        "käse.日本",
        'a"b\\c',
        "a/b",
        "sub",
        "1",
        "a$",
    ],
)
def test_a_topic_is_tokens_joined_by_dots(text: str) -> None:
    """Tokens may have any character that is not a separator, a wildcard, whitespace or a control."""
    assert is_topic(text)
    assert is_pattern(text)
    assert not has_wildcard(text)
    require_topic(text)
    require_pattern(text)


def test_no_long_text_is_kept() -> None:
    """Texts over the limit, of which a publisher may send any, are not kept by the cache of topics."""
    text = "x" * 1_000
    references = sys.getrefcount(text)
    assert not is_topic(text)
    assert sys.getrefcount(text) == references


@pytest.mark.parametrize("text", ["*", ">", "a.*", "*.a", "a.>", "*.*.>", "a.*.b", "$sys.>"])
def test_wildcards_are_for_subscriptions_only(text: str) -> None:
    """A pattern with wildcards can be subscribed to, and not published on."""
    assert is_pattern(text)
    assert has_wildcard(text)
    require_pattern(text)
    assert not is_topic(text)
    with pytest.raises(Rejected, match="for subscriptions only"):
        require_topic(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("x" * (MAX_TOPIC_LENGTH + 1), "it has 256 characters, and 255 are allowed"),
        ("x" * (MAX_TOPIC_LENGTH - 1) + " ", "whitespace or control"),
        (" ", "whitespace or control"),
        ("a b", "whitespace or control"),
        ("a\n", "whitespace or control"),
        ("a\u2003b", "whitespace or control"),
        ("a\x00", "whitespace or control"),
        ("a\x7f", "whitespace or control"),
        ("a\x85b", "whitespace or control"),
        ("a\x9bb", "whitespace or control"),
        ("a\ud800b", "half of a surrogate pair"),
        (".", "empty token"),
        (".a", "empty token"),
        ("a.", "empty token"),
        ("a..b", "empty token"),
        (">.a", "a whole token at the end"),
        ("a*", "must be a whole token"),
        ("a.b*c", "must be a whole token"),
        ("a.>b", "a whole token at the end"),
        ("**", "must be a whole token"),
        (".".join(["*"] * 17), "may have 16 tokens, and it has 17"),
        (".".join(["a"] * 16 + [">"]), "may have 16 tokens, and it has 17"),
    ],
)
def test_what_is_wrong_with_a_topic_is_said(text: str, problem: str) -> None:
    """A refused topic comes with the reason, and not even as a pattern is it taken."""
    assert not is_topic(text)
    assert not is_pattern(text)
    with pytest.raises(Rejected) as refused:
        require_pattern(text)
    assert refused.value.code == ErrorCode.BAD_TOPIC
    assert problem in refused.value.reason
    with pytest.raises(Rejected):
        require_topic(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a..b", '"a..b"'),
        ("x" * 39 + "*", f'"{"x" * 39}*"'),
        ("x" * 40 + "*", f'"{"x" * 40}…"'),
        ("a\x1b[31m", r"'a\x1b[31m'"),
        ("a\u202eb*", r"'a\u202eb*'"),
    ],
)
def test_a_wrong_topic_is_shown_in_a_way_that_harms_no_terminal(text: str, shown: str) -> None:
    """Its beginning is quoted, and what cannot be printed is escaped."""
    with pytest.raises(Rejected) as refused:
        require_topic(text)
    assert refused.value.reason.startswith(f"{shown} is not a topic: ")


@given(st.text(max_size=300))
def test_a_reason_is_given_exactly_for_what_is_refused(text: str) -> None:
    """Checking and asking agree, and the reason is short and printable whatever the text."""
    for check, require in ((is_topic, require_topic), (is_pattern, require_pattern)):
        if check(text):
            require(text)
            continue
        with pytest.raises(Rejected) as refused:
            require(text)
        assert refused.value.reason.isprintable()
        assert len(refused.value.reason) < 600


def test_names_that_begin_with_a_dollar_are_the_systems_own() -> None:
    """Only the first character of the whole name counts."""
    assert is_system("$sys.load")
    assert is_system("$>")
    assert not is_system("a.$b")


# Matching


@pytest.mark.parametrize("pattern", PATTERNS)
def test_matching_follows_the_definition(pattern: str) -> None:
    """A pattern matches what a naive matcher says, and wildcards do not reach system topics."""
    assert [t for t in TOPICS if matches(pattern, t)] == [t for t in TOPICS if belongs(pattern, t)]


def test_covering_means_matching_all_that_the_other_matches() -> None:
    """One pattern covers another exactly if every topic of the other is one of its own."""
    matched = {pattern: {t for t in TOPICS if belongs(pattern, t)} for pattern in PATTERNS}
    for wide, narrow in product(PATTERNS, repeat=2):
        assert covers(wide, narrow) == (matched[narrow] <= matched[wide]), (wide, narrow)


# The index

filings = st.lists(
    st.tuples(st.booleans(), st.sampled_from(PATTERNS), st.integers(0, 3)), min_size=1, max_size=40
)


@settings(max_examples=60)
@given(filings)
def test_the_index_finds_what_matching_every_pattern_finds(filings: list[tuple[bool, str, int]]) -> None:
    """After any adding and discarding, a topic's values are those under the patterns that match it."""
    index: PatternIndex[int] = PatternIndex()
    filed: set[tuple[str, int]] = set()
    for is_added, pattern, value in filings:
        if is_added:
            index.add(pattern, value)
            filed.add((pattern, value))
        else:
            index.discard(pattern, value)
            filed.discard((pattern, value))
    for topic in TOPICS[::3]:
        expected = Counter(value for pattern, value in filed if belongs(pattern, topic))
        assert Counter(index.match(topic)) == expected
    assert bool(index) == bool(filed)


def test_values_under_one_pattern_keep_their_order() -> None:
    """They are found in the order in which they were filed."""
    index: PatternIndex[int] = PatternIndex()
    for value in (3, 1, 2):
        index.add("a.b", value)
    index.add("a.b", 3)
    assert list(index.match("a.b")) == [3, 1, 2]


def test_an_emptied_index_keeps_nothing() -> None:
    """When the last value is taken out no part of the tree is left (line 8)."""
    index: PatternIndex[int] = PatternIndex()
    for pattern in PATTERNS:
        index.add(pattern, 1)
    for pattern in PATTERNS:
        assert index
        index.discard(pattern, 1)
    assert not index


def test_discarding_what_is_not_there_changes_nothing() -> None:
    """Neither an unknown pattern, nor an unknown value, nor a part of a longer pattern disturbs the rest."""
    index: PatternIndex[int] = PatternIndex()
    index.add("a.b", 1)
    for pattern, value in (("a", 1), ("a.b", 2), ("a.b.c", 1), ("x", 1)):
        index.discard(pattern, value)
    assert list(index.match("a.b")) == [1]


def test_patterns_with_wildcards_are_bounded() -> None:
    """Sixteen tokens with wildcards and any number without are accepted."""
    assert is_pattern(".".join(["*"] * 15 + [">"]))
    assert is_pattern(".".join(["a"] * 128))


def test_matching_visits_each_node_once() -> None:
    """512 patterns that differ in their wildcards alone cost a new route a bounded number of steps.

    With patterns of any length it took 65 to 185 ms, and every subscriber waited.
    """
    index: PatternIndex[str] = PatternIndex()
    patterns = [".".join([*choice, "a.a.a.a.a.a", ">"]) for choice in product("a*", repeat=9)]
    for pattern in patterns:
        index.add(pattern, pattern)
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        found = list(index.match(".".join(["a"] * 17)))
    finally:
        sys.setprofile(None)
    assert len(found) == len(patterns) == 512
    assert steps < 8 * 512 * MAX_PATTERN_TOKENS
