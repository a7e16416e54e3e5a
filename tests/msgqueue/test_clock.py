"""The clock of the log: what it does when the wall clock jumps, and what msgqueue does with it."""

import ssl
from functools import partial

import httpx
import pytest

from msgqueue.app import open_msgqueue
from msgqueue.clock import ACCEPT_SECONDS, LogClock
from tests.conftest import Dial, StartService
from tests.msgqueue.service.conftest import push
from tests.stubs import DEADLINE, PASSWORD, USER

START = 1_700_000_000.0
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0


class Time:
    """A wall clock that can be set, and time that passes, as a test says."""

    def __init__(self) -> None:
        self.wall = START
        self.steady = 5.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def clock(self) -> LogClock:
        return LogClock(lambda: self.wall, lambda: self.steady)


@pytest.fixture
def time() -> Time:
    return Time()


def test_follows_the_wall_clock(time: Time) -> None:
    """While the wall clock is right this is the time."""
    clock = time.clock()
    time.pass_by(1000)
    assert clock() == START + 1000
    assert clock.oldest_time == START + 1000
    assert clock.problem is None


@pytest.mark.parametrize("offset", [30.0, -30.0])
def test_small_corrections_are_smooth(time: Time, offset: float) -> None:
    """A correction of less than a minute is followed within minutes, never by a step or by going back."""
    clock = time.clock()
    time.wall += offset
    before = clock()
    assert before == START
    for _ in range(400):
        time.pass_by(1)
        now = clock()
        assert 0.89 < now - before < 1.11
        before = now
    assert now == pytest.approx(time.wall)


@pytest.mark.parametrize("offset", [2 * DAY, HOUR, -2 * DAY, 3 * YEAR])
def test_a_short_jump_changes_nothing(time: Time, offset: float, caplog: pytest.LogCaptureFixture) -> None:
    """A clock that is wrong for seconds gives no message another time, and none is removed for its age."""
    clock = time.clock()
    time.pass_by(10)
    time.wall += offset
    time.pass_by(3)
    assert clock() == START + 13
    assert clock.jump == pytest.approx(offset)
    assert clock.oldest_time is None
    assert clock.problem is not None
    assert "the clock has jumped by" in caplog.text
    time.wall -= offset
    time.pass_by(3)
    assert clock() == START + 16
    assert clock.oldest_time == START + 16
    assert clock.problem is None
    assert clock.jumps == 1


def test_a_lasting_jump_ahead_is_accepted(time: Time) -> None:
    """A clock that is an hour later still what it was set to is right."""
    clock = time.clock()
    time.wall += 2 * DAY
    assert clock() == START
    for _ in range(60):
        time.pass_by(ACCEPT_SECONDS / 60)
        clock()
    assert clock() == time.wall
    assert clock.oldest_time == time.wall


def test_a_clock_set_back_is_waited_for(time: Time) -> None:
    """The time goes on, more slowly once that is accepted, until the wall clock is there again."""
    clock = time.clock()
    time.wall -= HOUR
    before = clock()
    for _ in range(4 * 60):
        time.pass_by(60)
        now = clock()
        assert now > before
        before = now
    assert now == pytest.approx(time.wall, abs=61)


def test_another_jump_has_an_hour_of_its_own(time: Time) -> None:
    """A clock that keeps jumping is not believed."""
    clock = time.clock()
    for days in range(1, 5):
        time.wall = START + days * DAY
        assert clock() < START + DAY
        time.steady += 0.9 * ACCEPT_SECONDS
    assert clock.jumps == 4


def test_an_operator_can_accept_a_jump(time: Time) -> None:
    """A jump that an operator confirms is accepted at once."""
    clock = time.clock()
    time.wall += 3 * YEAR
    assert clock() == START
    clock.accept()
    assert clock() == time.wall
    assert clock.oldest_time == time.wall
    time.wall += DAY
    assert clock() == START + 3 * YEAR  # one confirmation is for one jump


def test_time_goes_on_after_a_message_of_the_future(time: Time) -> None:
    """A log with a message of a clock that was three years ahead gets new times, not the same for ever."""
    clock = time.clock()
    clock.resume(START + 3 * YEAR)
    first = clock()
    assert first == START + 3 * YEAR
    for _ in range(100):
        time.pass_by(60)
        clock()
    assert 40 * 60 < clock() - first < 100 * 60
    assert clock.oldest_time == time.wall


def test_a_start_with_a_wrong_clock_removes_nothing(time: Time) -> None:
    """After a start two days later no message is removed for its age for an hour; new ones get the time."""
    time.wall += 2 * DAY
    clock = time.clock()
    clock.resume(START)
    assert clock() == time.wall
    assert clock.oldest_time is None
    time.pass_by(ACCEPT_SECONDS)
    assert clock.oldest_time == time.wall


def test_a_start_years_later_is_not_believed(time: Time) -> None:
    """After a start with a clock three years ahead, messages get the time of the log at first."""
    time.wall += 3 * YEAR
    clock = time.clock()
    clock.resume(START)
    assert clock() == START
    clock.accept()
    assert clock() == time.wall


async def test_msgqueue_keeps_its_time(
    start_service: StartService, dial: Dial, tls: ssl.SSLContext, time: Time
) -> None:
    """A clock two days ahead stores no id again and removes nothing; it is shown, and can be confirmed."""
    rule = {"topics": ">", "max_age": DAY}
    queue = await start_service(partial(open_msgqueue, make_clock=time.clock), retention=[rule])
    publisher = await dial(queue, "/pushmsg")
    assert await push(publisher, {"topic": "a", "content": 1, "id": "x"}) == [{"ok": "x", "seq": 1}]
    time.wall += 2 * DAY
    assert await push(publisher, {"topic": "a", "content": 1, "id": "x"}) == [
        {"ok": "x", "seq": 1, "duplicate": True}
    ]
    url = f"https://localhost:{queue.port}"
    login = httpx.BasicAuth(USER, PASSWORD)
    async with httpx.AsyncClient(
        base_url=url, verify=tls, auth=login, trust_env=False, timeout=DEADLINE
    ) as http:
        ready = await http.get("/readyz?verbose")
        assert ready.status_code == 200
        assert ready.text == ("ok\nthe clock was set ahead by 172,800 s; no message is removed for its age\n")
        metrics = (await http.get("/metrics")).text
        assert "fanline_clock_jumps_total 1.0" in metrics
        assert "fanline_clock_jump_seconds 172800.0" in metrics
        assert (await http.post("/clock")).status_code == 200
        assert (await http.get("/readyz?verbose")).text == "ok\n"
    (ack,) = await push(publisher, {"topic": "a", "content": 2, "id": "y"})
    assert ack["seq"] == 2
