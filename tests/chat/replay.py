"""A chat server without a pipeline, which is given the log one event after the other."""

import time
from collections.abc import Callable

import msgspec

from chat.domain.events import Event
from chat.domain.rooms import Rooms
from chat.domain.views import encode
from chat.service.event_writer import EventWriter
from chat.service.log_reader import LogReader, ServerState
from chat.service.members import ConnectedMembers
from chat.service.presence import MemberPresence
from chat.service.room_feed import RoomFeed
from fanline.client import Message
from tests.stubs import DEADLINE, USER


class Replay:
    """Feed events to a reader of the log.

    Args:
        clock: Of presence.

    Attributes:
        state: The state that the reader keeps.
        reader: The reader.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        rooms = Rooms()
        presence = MemberPresence(rooms, clock=clock)
        members = ConnectedMembers(presence.state)
        self.state = ServerState(rooms, presence, members, RoomFeed(rooms), EventWriter(DEADLINE))
        self.reader = LogReader(self.state, USER)

    def take(self, topic: str, *events: Event, time: int | None = None) -> None:
        """Pass events of a topic to the reader; ``time`` is in milliseconds, later for later ones if None."""
        for event in events:
            seq = self.reader.position + 1
            self.reader.take(
                Message(topic, msgspec.Raw(encode(event)), seq, time or seq * 1_000, sender=USER)
            )
