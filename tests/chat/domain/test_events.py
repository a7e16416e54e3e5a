"""The events of chat, as they stand in the log."""

import msgspec
import pytest

from chat.domain.events import (
    REVOKED,
    ROOMS,
    SERVERS,
    Beat,
    Chat,
    Deleted,
    Event,
    Here,
    Joined,
    Left,
    ListedMember,
    LoggedEvent,
    Made,
    Revoked,
    read_event,
    room_topic,
)
from fanline.protocol import Message, encode

AUTHOR = "chat"

EVENTS: list[tuple[str, Event, bytes]] = [
    (ROOMS, Made("r", "Room", "k", "ada"), b'{"type":"made","room":"r","name":"Room","key":"k","by":"ada"}'),
    (ROOMS, Deleted("r", "k", "ada"), b'{"type":"deleted","room":"r","key":"k","by":"ada"}'),
    (
        "chat.room.r",
        Chat("k", "m", "Ada", "hi"),
        b'{"type":"chat","key":"k","member":"m","name":"Ada","text":"hi"}',
    ),
    (
        "chat.room.r",
        Joined("k", "m", "Ada", "s"),
        b'{"type":"joined","key":"k","member":"m","name":"Ada","server":"s"}',
    ),
    (
        "chat.room.r",
        Left("k", "m", "Ada", "s"),
        b'{"type":"left","key":"k","member":"m","name":"Ada","server":"s"}',
    ),
    (REVOKED, Revoked("t", 7), b'{"type":"revoked","token":"t","until":7}'),
    (SERVERS, Beat("s"), b'{"type":"beat","server":"s"}'),
    (
        SERVERS,
        Here("s", (ListedMember("r", "k", "m", "Ada", "ada"),)),
        b'{"type":"here","server":"s","members":[["r","k","m","Ada","ada"]]}',
    ),
]


def message(topic: str, content: bytes) -> Message:
    return Message(topic, msgspec.Raw(content), seq=3, time=1_000, sender=AUTHOR)


@pytest.mark.parametrize(("topic", "event", "content"), EVENTS)
def test_written_and_read_back(topic: str, event: Event, content: bytes) -> None:
    """Each event is written as documented, and read back as it was."""
    assert encode(event) == content
    room = "r" if topic == room_topic("r") else ""
    assert read_event(message(topic, content), AUTHOR) == LoggedEvent(3, 1_000, room, event)


@pytest.mark.parametrize(
    ("topic", "content"),
    [
        (ROOMS, EVENTS[2][2]),
        ("chat.room.r", EVENTS[0][2]),
        (SERVERS, EVENTS[5][2]),
        ("chat.other", EVENTS[6][2]),
        ("chat.rooms.r", EVENTS[0][2]),
        (SERVERS, b'{"type":"beat"}'),
        (SERVERS, b'{"type":"beat","server":7}'),
        (SERVERS, b'"beat"'),
        (SERVERS, b"null"),
        ("chat.room.r", b'{"type":"shout","text":"hi"}'),
        ("chat.room.r", b"[" * 60 + b"]" * 60),
    ],
)
def test_other_contents_are_no_events(topic: str, content: bytes) -> None:
    """Whatever else is published on these topics is nothing to chat, and does it no harm (line 6)."""
    assert read_event(message(topic, content), AUTHOR) is None


def test_unknown_fields_are_ignored() -> None:
    """Fields that are not known here do not matter."""
    content = b'{"type":"beat","server":"s","load":[1]}'
    logged = read_event(message(SERVERS, content), AUTHOR)
    assert logged is not None
    assert logged.event == Beat("s")


@pytest.mark.parametrize("sender", [None, "", "Chat", "mallory"])
@pytest.mark.parametrize(("topic", "event", "content"), EVENTS)
def test_messages_of_other_users_are_ignored(
    topic: str, event: Event, content: bytes, sender: str | None
) -> None:
    """Events published by other users make no rooms, members or messages (line 26)."""
    forged = Message(topic, msgspec.Raw(content), seq=3, time=1_000, sender=sender)
    assert read_event(forged, AUTHOR) is None
