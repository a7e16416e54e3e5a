"""Reading the log, message by message, without a pipeline."""

import pytest

from chat.domain.events import ROOMS, SERVERS, Beat, Chat, Event, Joined, Made, room_topic
from chat.domain.rooms import LOBBY
from fanline.presence import MISSED_BEATS
from tests.chat.replay import Replay


@pytest.fixture
async def replay() -> Replay:
    """A server that knows a room, with a member on another server."""
    replay = Replay()
    replay.take(ROOMS, Made("a", "A", "k", "ada"))
    replay.take(room_topic("a"), Joined("k", "m", "Ada", "other"))
    return replay


@pytest.mark.parametrize(
    ("topic", "sign"),
    [
        (SERVERS, Beat("other")),
        (room_topic("a"), Chat("k", "m", "Ada", "hi")),
        (room_topic("a"), Joined("k", "n", "Bob", "other")),
    ],
)
async def test_signs_of_life(replay: Replay, topic: str, sign: Event) -> None:
    """A server is alive that beats, or whose members come or speak; silence is its death (line 27)."""
    presence = replay.state.presence
    own = Beat(presence.server)
    replay.take(SERVERS, *[own] * (MISSED_BEATS - 1))
    replay.take(topic, sign)
    replay.take(SERVERS, *[own] * (MISSED_BEATS - 1))
    assert not presence.unsent
    replay.take(SERVERS, own)
    assert presence.unsent == presence.state.sessions > 0


async def test_another_log_replaces_everything(replay: Replay) -> None:
    """Starting over leaves nothing of the earlier log; a server is ready once it knows the lobby."""
    reader, presence = replay.reader, replay.state.presence
    replay.take(ROOMS, Made(LOBBY, "Lobby", "l", "own"))
    assert not reader.is_ready
    replay.take(SERVERS, *[Beat(presence.server)] * MISSED_BEATS)
    assert reader.is_ready
    assert presence.unsent
    reader.start_over()
    assert not reader.is_ready
    assert not replay.state.rooms.by_id
    assert (presence.state.sessions, presence.unsent) == (0, 0)
    assert not reader.caught_up.is_set()
    assert reader.position == 0
    replay.take(SERVERS, Beat(presence.server))
    assert not reader.is_ready
    replay.take(ROOMS, Made(LOBBY, "Lobby", "m", "own"))
    assert reader.is_ready
