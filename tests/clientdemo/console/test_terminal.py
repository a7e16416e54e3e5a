"""Tests of completion; the rest of the screen is tested at a terminal."""

from pathlib import Path

import pytest
from prompt_toolkit.history import InMemoryHistory

from clientdemo.console.terminal import Topics, kept_history


def topics(*names: str, limit: int = 1_000) -> Topics:
    seen = Topics(limit)
    for name in names:
        seen.add(name)
    return seen


def test_completes_commands_and_topics() -> None:
    """The first word is a command or a topic; the newest topic comes first."""
    assert topics("su", "stock").complete("s") == ["sub", "stock", "su"]
    assert topics("stock").complete("") == ["sub", "unsub", "exit", "stock"]


def test_completes_topics_behind_sub_and_unsub() -> None:
    """The second word of these commands is a topic."""
    seen = topics("orders.eu", "orders.us")
    assert seen.complete("sub or") == ["orders.us", "orders.eu"]
    assert seen.complete("unsub orders.e") == ["orders.eu"]


def test_does_not_complete_messages_and_options() -> None:
    """Text of messages and complete words are not completed."""
    seen = topics("orders")
    assert seen.complete("orders or") == []
    assert seen.complete("sub orders or") == []
    assert seen.complete("orders") == []


def test_forgets_the_topic_not_seen_for_longest() -> None:
    """However many topics there are, a bounded number is kept."""
    seen = topics("a1", "a2", "a1", "a3", limit=2)
    assert seen.complete("a") == ["a3", "a1"]


def test_needs_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without one, as in a container with a number of its own, got a traceback."""

    def have_none() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert isinstance(kept_history(have_none), InMemoryHistory)
