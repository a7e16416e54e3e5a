"""The public API: exactly the names listed here are exported, and each of them exists."""

from types import ModuleType

import pytest

import fanline
import fanline.hub

FANLINE = """
    Ack Closed ConfigurationError Disconnected ErrorCode FanlineError Gap LoginRefused Message Publisher
    PublishResult Rejected Subscriber
"""
HUB = """
    Attachment BadLimit DuplicateSession Event EventType Hub HubClosed HubError JsonLinesFile Listener Missed
    Stream UnknownSession
"""


@pytest.mark.parametrize(("module", "names"), [(fanline, FANLINE), (fanline.hub, HUB)])
def test_exactly_these_names_are_exported(module: ModuleType, names: str) -> None:
    """A change of the public API changes this list, and CHANGELOG.md with it."""
    assert sorted(module.__all__, key=str.lower) == sorted(names.split(), key=str.lower)
    assert all(hasattr(module, name) for name in module.__all__)
