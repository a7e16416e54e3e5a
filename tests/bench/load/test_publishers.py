"""The schedule of a publisher."""

import time

from bench.load.publishers import paced, schedule


def test_schedule_is_even() -> None:
    assert list(schedule(4.0, 3, 10.0)) == [10.0, 10.25, 10.5]


def test_no_message_is_early() -> None:
    start = time.monotonic() + 0.01
    for moment, late in paced(1_000.0, 5, start):
        assert time.monotonic() >= moment
        assert late >= 0


def test_late_messages_follow_at_once() -> None:
    lateness = [late for _, late in paced(1.0, 5, time.monotonic() - 3_600)]
    assert len(lateness) == 5
    assert min(lateness) > 3_500
