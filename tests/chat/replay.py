"""A chat server without a pipeline, which is given the log one event after the other."""

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

    Attributes:
        state: The state that the reader keeps.
        reader: The reader.
    """

    def __init__(self) -> None:
        rooms = Rooms()
        presence = MemberPresence(rooms)
        members = ConnectedMembers(presence.state)
        self.state = ServerState(rooms, presence, members, RoomFeed(rooms), EventWriter(DEADLINE))
        self.reader = LogReader(self.state, USER)

    def take(self, topic: str, *events: Event) -> None:
        """Pass events of a topic to the reader."""
        for event in events:
            seq = self.reader.position + 1
            self.reader.take(Message(topic, msgspec.Raw(encode(event)), seq, seq * 1_000, sender=USER))
