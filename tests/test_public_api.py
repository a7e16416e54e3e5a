"""The public API: exactly the names listed here are exported, and each of them exists."""

from types import ModuleType

import pytest

import fanline
import fanline.hub

FANLINE = """
    Ack Backoff ChatPages ChatRoom CloseCode Closed ConfigurationError Disconnected EarlierMessages
    ErrorCode FanlineError Gap History HistoryPage LoginRefused MAX_POSITION Message Presence PresenceChange
    Publisher PublishResult Rejected RoomClosed RoomEvent Subscriber check_ready client_context parse_position
    publish require_pattern require_service_url require_topic sync
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
