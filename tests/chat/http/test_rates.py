"""Rates of messages and rooms, without a server."""

import pytest

from chat.domain.errors import Refused
from chat.http.rates import ChatRates
from tests.chat.conftest import MakeSettings

HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_person_sends_a_burst_and_then_at_a_rate(make_chat_settings: MakeSettings) -> None:
    """One person flooded a room at the speed of its link; now five seconds' worth go at once."""
    clock = Clock()
    rates = ChatRates(make_chat_settings(chat_messages_per_second=2), clock=clock)
    assert [rates.message_delay("ada", None) for _ in range(11)] == [0] * 10 + [1]
    assert rates.message_delay("bob", None) == 0
    clock.now += 1
    assert [rates.message_delay("ada", None) for _ in range(3)] == [0, 0, 1]


def test_guests_of_an_address_share_a_rate(make_chat_settings: MakeSettings) -> None:
    """A guest could be as many persons as it liked, and each had a rate of its own."""
    rates = ChatRates(make_chat_settings(chat_guest_messages_per_second=2), clock=Clock())
    assert [rates.message_delay(f"guest {number}", HOME) for number in range(11)] == [0] * 10 + [1]
    assert rates.message_delay("guest 1", ELSEWHERE) == 0
    assert rates.message_delay("ada", None) == 0


def test_guests_of_an_address_make_rooms_at_a_rate(make_chat_settings: MakeSettings) -> None:
    """Guests filled all 10,000 rooms in 12 seconds, as many persons with a hundred each."""
    clock = Clock()
    rates = ChatRates(make_chat_settings(chat_guest_rooms_per_hour=60), clock=clock)
    for _ in range(20):
        rates.admit_room(HOME)
    with pytest.raises(Refused, match="Wait 60 seconds") as refused:
        rates.admit_room(HOME)
    assert refused.value.retry_ms == 60_000
    rates.admit_room(ELSEWHERE)
    clock.now += 60
    rates.admit_room(HOME)
