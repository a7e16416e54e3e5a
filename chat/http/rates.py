"""Rates of people's messages and of guests' new rooms."""

import math
import time
from collections.abc import Callable
from typing import Final

from chat.domain import sentences
from chat.domain.errors import Refused
from chat.settings import ChatSettings
from fanline.server import RateLimiter

# The least time for which a sender rests: its messages are then sent several at a time.
LEAST_REST_SECONDS: Final = 1.0

# Seconds for which the rate of new rooms is saved: a third of an hour.
ROOMS_BURST_SECONDS: Final = 1_200


class ChatRates:
    """Rates of each person, and of all guests of one network together.

    A guest is as many persons as it likes, but has one address.

    Args:
        settings: The rates.
        clock: Returns seconds of a monotonic clock.
    """

    def __init__(self, settings: ChatSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._persons = RateLimiter(settings.chat_messages_per_second)
        self._guests = RateLimiter(settings.chat_guest_messages_per_second)
        self._rooms = RateLimiter(
            settings.chat_guest_rooms_per_hour / 3_600, burst_seconds=ROOMS_BURST_SECONDS
        )
        self._clock = clock

    def message_delay(self, person: str, guest_network: str | None) -> float:
        """Charge a message; return 0, or seconds to wait.

        A message with a wait is not charged.

        Args:
            person: The id of the sender.
            guest_network: The network of a guest; None for a person with a login.
        """
        now = self._clock()
        usages = [self._persons.find(person, now)]
        if guest_network is not None:
            usages.append(self._guests.find(guest_network, now))
        if delay := max(usage.delay(now) for usage in usages):
            return max(delay, LEAST_REST_SECONDS)
        for usage in usages:
            usage.spend((1,), now)
        return 0.0

    def admit_room(self, guest_network: str) -> None:
        """Charge a room that a guest makes.

        Raises:
            Refused: If the guests of the network have made too many in the last hour.
        """
        now = self._clock()
        usage = self._rooms.find(guest_network, now)
        if delay := usage.delay(now):
            raise Refused(sentences.TOO_MANY_NEW_ROOMS, seconds=math.ceil(delay))
        usage.spend((1,), now)
