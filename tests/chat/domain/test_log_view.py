"""The conclusions of one server from the log."""

import pytest

from chat.domain.events import Beat, Chat, Event, Joined, LoggedEvent, Made
from chat.domain.log_view import LogView
from chat.domain.room import Membership
from chat.domain.rooms import LOBBY
from fanline.server import MISSED_BEATS


class Log:
    """Apply events to a view, one position after the other."""

    def __init__(self) -> None:
        self.view = LogView()
        self._seq = 0

    def append(self, event: Event, room: str = "") -> list[Membership]:
        """Apply an event; return the members of servers that it shows to be dead."""
        self._seq += 1
        change = self.view.apply(LoggedEvent(self._seq, self._seq * 1_000, room, event))
        return [*change.dead] if change else []

    def own_beats(self, count: int) -> list[Membership]:
        """Apply own beats; return the dead members that the last one shows."""
        return [self.append(Beat(self.view.server)) for _ in range(count)][-1]


@pytest.fixture
def log() -> Log:
    """A log with the lobby, and a member on another server."""
    log = Log()
    log.append(Made(LOBBY, "Lobby", "k", "other"))
    log.append(Joined("k", "m", "Ada", "other"), LOBBY)
    return log


def test_ready_after_the_first_own_beat() -> None:
    """A server is ready once its own beat has come back, and the lobby is there."""
    log = Log()
    log.append(Beat("other"))
    log.append(Made(LOBBY, "Lobby", "k", "other"))
    assert not log.view.is_ready
    log.own_beats(1)
    assert log.view.is_ready
    log.view.clear()
    assert not log.view.is_ready


@pytest.mark.parametrize(
    "sign", [Beat("other"), Chat("k", "m", "Ada", "hi"), Joined("k", "n", "Bob", "other")]
)
def test_signs_of_life_delay_death(log: Log, sign: Event) -> None:
    """A beat, a message and a join are signs of life; a silent server is dead (line 27)."""
    assert log.own_beats(MISSED_BEATS - 1) == []
    log.append(sign, "" if isinstance(sign, Beat) else LOBBY)
    assert log.own_beats(MISSED_BEATS - 1) == []
    dead = log.own_beats(1)
    assert {member.server for _, member in dead} == {"other"}
    assert len(dead) == log.view.rooms.population["other"]


def test_beats_are_needed_by_members_and_others(log: Log) -> None:
    """Beats are needed while there are members and another server is alive (line 29)."""
    assert not LogView().needs_beats
    assert log.view.needs_beats
    log.own_beats(MISSED_BEATS)
    assert not log.view.needs_beats
