"""The JSON objects of the API."""

import pytest

from chat.domain.events import Chat, Joined, Left, LoggedEvent, RoomEvent
from chat.domain.room import Room, RoomMember
from chat.domain.views import entry_of, summary_of
from fanline.protocol import encode

TIME = 1_795_209_095_123


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (Chat("k", "m", "Ada", 'say "hi"\n'), "chat", 'say \\"hi\\"\\n'),
        (Joined("k", "m", "Ada", "s"), "joined", ""),
        (Left("k", "m", "Ada", "s"), "left", ""),
    ],
)
def test_an_entry(event: RoomEvent, kind: str, message: str) -> None:
    """An entry has these fields (line 22)."""
    expected = (
        '{"id":"42","seq":42,"roomId":"a","memberId":"m","memberName":"Ada","userId":"m",'
        f'"type":"{kind}","message":"{message}","sent":"2026-11-20T21:11:35.123Z"}}'
    )
    assert encode(entry_of(LoggedEvent(42, TIME, "a", event), event)) == expected.encode()


@pytest.mark.parametrize(
    ("time", "sent"), [(0, "1970-01-01T00:00:00.000Z"), (TIME + 877, "2026-11-20T21:11:36.000Z")]
)
def test_the_time(time: int, sent: str) -> None:
    """Times are in UTC with milliseconds, also where those are zero."""
    event = Joined("k", "m", "Ada", "s")
    assert entry_of(LoggedEvent(42, time, "a", event), event)["sent"] == sent


def test_a_summary() -> None:
    """A list shows how many are in a room, how much was said, and where it ends."""
    room = Room(
        "a",
        "A",
        "k",
        made=1,
        last=9,
        count=3,
        members={"m": RoomMember("m", "Ada", "s")},
        creator="Ada",
        owner="u",
    )
    assert encode(summary_of(room)) == (
        b'{"roomId":"a","roomName":"A","creatorId":"u","creatorName":"Ada","members":1,"messages":3,"senderId":"","seq":9}'
    )
