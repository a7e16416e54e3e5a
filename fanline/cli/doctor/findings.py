"""Findings of ``fanline doctor``."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One thing that was checked.

    Attributes:
        level: How bad it is.
        check: The kind of check.
        text: A sentence.
        advice: What to do; empty if nothing is.
    """

    level: Level
    check: str
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Level.OK, check, text)


def warning(check: str, text: str, advice: str) -> Finding:
    """Return a finding that becomes a problem some day."""
    return Finding(Level.WARNING, check, text, advice)


def problem(check: str, text: str, advice: str) -> Finding:
    """Return a finding for which something does not work."""
    return Finding(Level.PROBLEM, check, text, advice)
