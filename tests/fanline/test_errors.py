"""Tests of the errors, and of the codes that are a contract with programs elsewhere."""

import pytest

from fanline import errors
from fanline.errors import CloseCode, ErrorCode, FanlineError, LoginRefused, Rejected


def test_the_codes_of_recoverable_errors_do_not_change() -> None:
    """Programs look at these words: one may be added, none renamed."""
    assert [code.value for code in ErrorCode] == [
        "bad-json",
        "bad-message",
        "bad-command",
        "bad-topic",
        "bad-id",
        "bad-position",
        "too-big",
        "too-deep",
        "too-many-subscriptions",
        "forbidden",
        "rate-limited",
        "queue-unavailable",
        "ack-unavailable",
        "resume-unavailable",
    ]


def test_the_close_codes_do_not_change() -> None:
    """Close codes of our own are in the range that RFC 6455 leaves to applications."""
    assert {code.name: code.value for code in CloseCode} == {
        "GOING_AWAY": 1001,
        "POLICY": 1008,
        "TOO_BIG": 1009,
        "TRY_AGAIN_LATER": 1013,
        "LOGGED_OUT": 4001,
        "ROOM_DELETED": 4004,
        "SLOW_CONSUMER": 4008,
        "UNRESPONSIVE": 4009,
    }


def test_every_error_has_the_one_base() -> None:
    """All errors are FanlineErrors."""
    raised = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert len(raised) == 8
    assert all(issubclass(each, FanlineError) for each in raised)
    assert issubclass(LoginRefused, errors.Disconnected)


@pytest.mark.parametrize("id", [None, "a1"])
def test_a_refusal_reads_as_a_sentence_with_its_code(id: str | None) -> None:  # noqa: A002 - wire name
    """The text is made from the attributes."""
    rejected = Rejected(ErrorCode.BAD_ID, "an id has 1 to 128 characters", id)
    assert str(rejected) == "an id has 1 to 128 characters (bad-id)"
    assert (rejected.code, rejected.id) == ("bad-id", id)
