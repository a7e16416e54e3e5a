"""Reading the log, message by message, without a pipeline."""

import pytest

from chat.domain.events import ROOMS, SERVERS, Beat, Chat, Event, Joined, Left, Made, room_topic
from chat.domain.rooms import LOBBY
from fanline.server import MISSED_BEATS
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
    own = Beat(replay.state.view.server)
    replay.take(SERVERS, *[own] * (MISSED_BEATS - 1))
    replay.take(topic, sign)
    replay.take(SERVERS, *[own] * (MISSED_BEATS - 1))
    assert not replay.state.leaves
    replay.take(SERVERS, own)
    assert len(replay.state.leaves) == replay.state.view.rooms.population["other"] > 0


async def test_a_leave_written_by_another_server_settles(replay: Replay) -> None:
    """A leave that another server writes first is no longer pending."""
    replay.take(SERVERS, *[Beat(replay.state.view.server)] * MISSED_BEATS)
    assert len(replay.state.leaves) == 1
    replay.take(room_topic("a"), Left("k", "m", "Ada", "other"))
    assert not replay.state.leaves


async def test_another_log_replaces_everything(replay: Replay) -> None:
    """Starting over leaves nothing of the earlier log."""
    view = replay.state.view
    replay.take(ROOMS, Made(LOBBY, "Lobby", "l", "own"))
    replay.take(SERVERS, *[Beat(view.server)] * MISSED_BEATS)
    assert view.is_ready
    assert replay.state.leaves
    assert replay.reader.caught_up.is_set()
    replay.reader.start_over()
    assert not view.is_ready
    assert not view.rooms.by_id
    assert not replay.state.leaves
    assert not replay.reader.caught_up.is_set()
    assert replay.reader.position == 0
    replay.take(ROOMS, Made(LOBBY, "Lobby", "m", "own"))
    assert not view.is_ready
