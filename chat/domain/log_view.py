"""The conclusions of one server from the log: rooms, dead servers, and whether it has caught up."""

from chat.domain.events import Beat, Chat, Joined, LoggedEvent
from chat.domain.names import new_key
from chat.domain.room import Change
from chat.domain.rooms import LOBBY, Rooms
from fanline.server import ServerLiveness


class LogView:
    """The state of one server, as of the position up to which it has read the log.

    Attributes:
        server: The id of this server, unique for each run.
        rooms: The rooms, which are the same on every server.
        liveness: Which of the other servers are alive.
        caught_up: Whether the first own beat has come back; all events before this server's start are read.
    """

    def __init__(self) -> None:
        self.server = new_key()
        self.rooms = Rooms()
        self.liveness = ServerLiveness(self.server)
        self.caught_up = False

    @property
    def is_ready(self) -> bool:
        """True if commands can be executed."""
        return self.caught_up and LOBBY in self.rooms.by_id

    @property
    def needs_beats(self) -> bool:
        """True while there are members, and another server is alive."""
        return bool(self.rooms.population) and not self.liveness.is_alone

    def apply(self, logged: LoggedEvent) -> Change | None:
        """Apply an event, and return its effect; None if it does not count."""
        change = self.rooms.apply(logged)
        if change is None:
            return None
        match change.event:
            case Chat() | Joined() as event if change.room is not None:
                member = change.room.members.get(event.member)
                if member is not None:
                    self.liveness.record_sign(member.server)
            case Beat(server) if server == self.server:
                return self._apply_own_beat(change)
            case Beat(server):
                self.liveness.record_sign(server)
        return change

    def clear(self) -> None:
        """Forget everything, to begin with another log."""
        self.caught_up = False
        self.rooms.clear()

    def _apply_own_beat(self, change: Change) -> Change:
        self.caught_up = True
        servers = self.liveness.record_own_beat(self.rooms.population)
        return change._replace(dead=[each for server in servers for each in self.rooms.members_of(server)])
